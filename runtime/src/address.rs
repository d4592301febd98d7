//! What an actor is called, and where that name falls on the ring.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The tenant of a caller who names none.
pub const DEFAULT_TENANT: &str = "default";

/// Longest tenant, type or id in bytes. Names travel in every envelope and key every table, so they are kept
/// to the length of a file name.
pub const NAME_BYTES_MAX: usize = 255;

/// The position of an actor on the ring: a 64-bit hash of its address, the same on every build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Token(pub u64);

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The number of a shard. Numbers are never reused; how many there are may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ShardId(pub u32);

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The full name of an actor: tenant, type and id. Cheap to clone, ordered by tenant, type, id.
///
/// Written `type/id`, or `tenant:type/id` where the tenant is not the default one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActorAddress {
    // One allocation for all three, `tenant \0 type \0 id`: a million of these stay in memory.
    text: Arc<str>,
    type_start: u16,
    id_start: u16,
}

impl ActorAddress {
    /// An address in the default tenant.
    ///
    /// # Errors
    /// If the type or the id is not a valid name.
    pub fn new(actor_type: &str, id: &str) -> Result<Self, AddressError> {
        Self::in_tenant(DEFAULT_TENANT, actor_type, id)
    }

    /// An address in a tenant.
    ///
    /// # Errors
    /// If a part is empty, longer than [`NAME_BYTES_MAX`], or holds a character it may not.
    pub fn in_tenant(tenant: &str, actor_type: &str, id: &str) -> Result<Self, AddressError> {
        check_word("tenant", tenant)?;
        check_word("type", actor_type)?;
        check_id(id)?;
        let mut text = String::with_capacity(tenant.len() + actor_type.len() + id.len() + 2);
        text.push_str(tenant);
        text.push('\0');
        text.push_str(actor_type);
        text.push('\0');
        text.push_str(id);
        Ok(Self {
            text: text.into(),
            type_start: tenant.len() as u16 + 1,
            id_start: (tenant.len() + actor_type.len()) as u16 + 2,
        })
    }

    /// The outermost part of the address.
    pub fn tenant(&self) -> &str {
        &self.text[..usize::from(self.type_start) - 1]
    }

    /// The actor type, as registered.
    pub fn actor_type(&self) -> &str {
        &self.text[usize::from(self.type_start)..usize::from(self.id_start) - 1]
    }

    /// The id within the type.
    pub fn id(&self) -> &str {
        &self.text[usize::from(self.id_start)..]
    }

    /// The address as one byte string, `tenant \0 type \0 id`: its form in keys and on the wire.
    pub fn as_key(&self) -> &str {
        &self.text
    }

    /// Reads the form written by [`Self::as_key`].
    ///
    /// # Errors
    /// If the text has not three valid parts.
    pub fn from_key(key: &str) -> Result<Self, AddressError> {
        let mut parts = key.splitn(3, '\0');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(tenant), Some(actor_type), Some(id)) => Self::in_tenant(tenant, actor_type, id),
            _ => Err(AddressError::Shape),
        }
    }

    /// Where the address falls on the ring.
    pub fn token(&self) -> Token {
        let hash = blake3::hash(self.text.as_bytes());
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&hash.as_bytes()[..8]);
        Token(u64::from_be_bytes(bytes))
    }
}

fn check_word(part: &'static str, word: &str) -> Result<(), AddressError> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    check_length(part, word)?;
    match word.chars().find(|c| !fits(*c)) {
        Some(character) => Err(AddressError::Character { part, character }),
        None => Ok(()),
    }
}

fn check_id(id: &str) -> Result<(), AddressError> {
    check_length("id", id)?;
    match id.chars().find(|c| c.is_control()) {
        Some(character) => Err(AddressError::Character { part: "id", character }),
        None => Ok(()),
    }
}

fn check_length(part: &'static str, name: &str) -> Result<(), AddressError> {
    match name.len() {
        0 => Err(AddressError::Empty { part }),
        1..=NAME_BYTES_MAX => Ok(()),
        bytes => Err(AddressError::TooLong { part, bytes }),
    }
}

impl FromStr for ActorAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (head, id) = text.split_once('/').ok_or(AddressError::Shape)?;
        match head.split_once(':') {
            Some((tenant, actor_type)) => Self::in_tenant(tenant, actor_type, id),
            None => Self::new(head, id),
        }
    }
}

impl fmt::Display for ActorAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.tenant() != DEFAULT_TENANT {
            write!(f, "{}:", self.tenant())?;
        }
        write!(f, "{}/{}", self.actor_type(), self.id())
    }
}

impl fmt::Debug for ActorAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Why a text is not an actor's address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not of the form `type/id`.
    #[error("an actor is addressed as `type/id` or `tenant:type/id`")]
    Shape,
    /// A part is empty.
    #[error("the {part} of an actor's address must not be empty")]
    Empty {
        /// Which part.
        part: &'static str,
    },
    /// A part is too long.
    #[error("the {part} has {bytes} bytes; at most {NAME_BYTES_MAX} are allowed")]
    TooLong {
        /// Which part.
        part: &'static str,
        /// How long it is.
        bytes: usize,
    },
    /// A part holds a character that it may not.
    #[error("the {part} must not contain {character:?}")]
    Character {
        /// Which part.
        part: &'static str,
        /// The first such character.
        character: char,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parts_and_display() {
        let address: ActorAddress = "counter/alice/phone".parse().unwrap();
        assert_eq!(address.tenant(), "default");
        assert_eq!((address.actor_type(), address.id()), ("counter", "alice/phone"));
        assert_eq!(address.to_string(), "counter/alice/phone");
        let other: ActorAddress = "acme:counter/alice".parse().unwrap();
        assert_eq!(other.to_string(), "acme:counter/alice");
        assert_ne!(other.token(), "counter/alice".parse::<ActorAddress>().unwrap().token());
    }

    #[test]
    fn bad_addresses_are_named() {
        for (text, error) in [
            ("counter", AddressError::Shape),
            ("/x", AddressError::Empty { part: "type" }),
            ("counter/", AddressError::Empty { part: "id" }),
            ("coun ter/x", AddressError::Character { part: "type", character: ' ' }),
            ("counter/a\0b", AddressError::Character { part: "id", character: '\0' }),
        ] {
            assert_eq!(text.parse::<ActorAddress>(), Err(error), "{text:?}");
        }
        let long = "x".repeat(256);
        assert!(matches!(ActorAddress::new(&long, "a"), Err(AddressError::TooLong { bytes: 256, .. })));
    }

    #[test]
    fn tokens_are_pinned() {
        // Every build of every version must place an actor alike.
        let token = "counter/alice".parse::<ActorAddress>().unwrap().token();
        assert_eq!(token.to_string(), PINNED);
    }

    const PINNED: &str = "f0b8427ca043f2eb";

    proptest! {
        #[test]
        fn key_and_display_round_trip(tenant in "[a-z]{1,9}", kind in "[a-zA-Z_.-]{1,9}", id in "[^\\p{C}]{1,30}") {
            let address = ActorAddress::in_tenant(&tenant, &kind, &id).unwrap();
            prop_assert_eq!(&ActorAddress::from_key(address.as_key()).unwrap(), &address);
            prop_assert_eq!(&address.to_string().parse::<ActorAddress>().unwrap(), &address);
        }

        #[test]
        fn no_text_panics(text in ".{0,600}") {
            let _ = text.parse::<ActorAddress>();
            let _ = ActorAddress::from_key(&text);
        }
    }
}

//! The keys of everything that a shard keeps.
//!
//! **Problem.** A shard must be one range of keys in every table, an actor one range within it, and no actor's rows
//! may be taken for those of another whose name begins alike.
//!
//! **Design.** Every key of an actor begins with its [`ActorKey`]: the token, eight bytes big-endian, the address as
//! `tenant \0 type \0 id`, and one more zero byte. No part of an address holds a zero byte, so no actor key is a
//! prefix of another. What follows depends on the table:
//!
//! | table | key | value |
//! |---|---|---|
//! | Head | actor | [`HeadRow`](crate::HeadRow) |
//! | Object | token, id of a step | that step's pack |
//! | Object | token, id of another object | the id of the step whose pack has it |
//! | Outbox | sender, receiver, sequence (8 BE) | [`OutboxRow`](crate::OutboxRow) |
//! | Reminder | actor, name | [`ReminderRow`](crate::ReminderRow) |
//! | Answer | actor, idempotency key as [`answer_suffix`] gives it | [`AnswerRow`](crate::AnswerRow) |
//! | Letter | receiver, sender, sequence (8 BE) | [`LetterRow`](crate::LetterRow) |
//! | Paused | actor | [`PausedRow`](crate::PausedRow) |
//! | Group | shard (4 BE), `applied` | index, then term, 8 LE each |
//!
//! The tenant is the outermost part of the address, so it is part of every key.

use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use gritmesh_actor::KEY_BYTES_MAX;
use gritmesh_runtime::{ActorAddress, NAME_BYTES_MAX, Token};
use gritmesh_store::ObjectId;

use crate::StateError;

/// Bytes of a token in front of a key.
pub(crate) const TOKEN_BYTES: usize = 8;
/// Bytes of an object's id.
pub(crate) const ID_BYTES: usize = 32;
/// Longest actor key: the token, three names and three zero bytes.
pub const ACTOR_KEY_BYTES_MAX: usize = TOKEN_BYTES + 3 * NAME_BYTES_MAX + 3;
/// Longest idempotency key that stands in a key as it is. Derived ones grow with every call on the way, and a long
/// key is paid in every row and every comparison; a longer one is replaced by its hash.
pub const PLAIN_ANSWER_KEY_BYTES_MAX: usize = 128;
/// Longest idempotency key that is taken at all: a caller's own, and what calls of handlers add to it.
pub const ANSWER_KEY_BYTES_MAX: usize = KEY_BYTES_MAX + 2 * ACTOR_KEY_BYTES_MAX;

/// Where the rows of one actor begin, in every table. Cheap to clone, ordered as the tables are.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActorKey(Bytes);

impl ActorKey {
    /// The key of an actor.
    pub fn of(address: &ActorAddress) -> Self {
        Self::at(address, address.token())
    }

    /// The key of an actor whose token is known already.
    pub fn at(address: &ActorAddress, token: Token) -> Self {
        let text = address.as_key().as_bytes();
        let mut key = Vec::with_capacity(TOKEN_BYTES + text.len() + 1);
        key.extend_from_slice(&token.0.to_be_bytes());
        key.extend_from_slice(text);
        key.push(0);
        Self(key.into())
    }

    /// Reads a key that came from elsewhere.
    ///
    /// # Errors
    /// If it is not the key of any actor.
    pub fn read(bytes: Bytes) -> Result<Self, StateError> {
        let key = Self(bytes);
        if key.address()?.token() != key.token() {
            return Err(StateError::Malformed { what: "the token of an actor's key" });
        }
        Ok(key)
    }

    /// Splits a key into that of the actor and what follows.
    ///
    /// # Errors
    /// If it does not begin with the key of an actor.
    pub fn split(bytes: &Bytes) -> Result<(Self, Bytes), StateError> {
        let zeros = bytes.iter().enumerate().skip(TOKEN_BYTES).filter(|(_, byte)| **byte == 0);
        let end = zeros.map(|(at, _)| at + 1).nth(2).ok_or(MALFORMED)?;
        Ok((Self::read(bytes.slice(..end))?, bytes.slice(end..)))
    }

    /// Where the actor falls on the ring.
    pub fn token(&self) -> Token {
        let mut token = [0; TOKEN_BYTES];
        token.copy_from_slice(&self.0[..TOKEN_BYTES]);
        Token(u64::from_be_bytes(token))
    }

    /// The actor's address.
    ///
    /// # Errors
    /// If the bytes are no key.
    pub fn address(&self) -> Result<ActorAddress, StateError> {
        let text = self.0.get(TOKEN_BYTES..).and_then(|text| text.strip_suffix(&[0])).ok_or(MALFORMED)?;
        let text = std::str::from_utf8(text).map_err(|_| MALFORMED)?;
        ActorAddress::from_key(text).map_err(|_| MALFORMED)
    }

    /// The key itself: that of the rows of tables with one row per actor.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// A copy that holds no larger buffer alive.
    pub fn detached(&self) -> Self {
        Self(Bytes::copy_from_slice(&self.0))
    }

    /// The key of a row of this actor.
    pub fn with(&self, suffix: &[u8]) -> Vec<u8> {
        [self.as_bytes(), suffix].concat()
    }

    /// All keys that begin with this one.
    pub fn rows(&self) -> (Vec<u8>, Vec<u8>) {
        starting_with(self.as_bytes())
    }
}

const MALFORMED: StateError = StateError::Malformed { what: "the key of an actor" };

impl fmt::Debug for ActorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address() {
            Ok(address) => write!(f, "{address}"),
            Err(_) => write!(f, "{:?}", self.0),
        }
    }
}

/// The range of keys that begin with a prefix that ends in a zero byte or is the number of something.
pub(crate) fn starting_with(prefix: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            break;
        }
    }
    (prefix.to_vec(), end)
}

/// The range of keys of a range of tokens, both included, in every table of actors. The last one of all ends behind
/// every key.
pub fn token_range(first: Token, last: Token) -> Range<Vec<u8>> {
    let end = match last.0.checked_add(1) {
        Some(next) => next.to_be_bytes().to_vec(),
        None => vec![u8::MAX; ACTOR_KEY_BYTES_MAX],
    };
    first.0.to_be_bytes().to_vec()..end
}

/// The key of an object.
pub fn object(token: Token, id: &ObjectId) -> Vec<u8> {
    let mut key = Vec::with_capacity(TOKEN_BYTES + ID_BYTES);
    key.extend_from_slice(&token.0.to_be_bytes());
    key.extend_from_slice(id.as_bytes());
    key
}

/// The key of one message that is not acknowledged yet.
pub fn outbox(sender: &ActorKey, receiver: &ActorKey, sequence: u64) -> Vec<u8> {
    numbered(sender, receiver, sequence)
}

/// Where the messages of a pair lie that are not acknowledged yet.
pub fn outbox_pair(sender: &ActorKey, receiver: &ActorKey) -> (Vec<u8>, Vec<u8>) {
    starting_with(&sender.with(receiver.as_bytes()))
}

/// The sender, the receiver and the sequence of a row of the table Outbox.
///
/// # Errors
/// If the key has another form.
pub fn read_outbox(key: &Bytes) -> Result<(ActorKey, ActorKey, u64), StateError> {
    read_numbered(key)
}

/// The key of a message that its receiver could not read.
pub fn letter(receiver: &ActorKey, sender: &ActorKey, sequence: u64) -> Vec<u8> {
    numbered(receiver, sender, sequence)
}

/// The receiver, the sender and the sequence of a row of the table Letter.
///
/// # Errors
/// If the key has another form.
pub fn read_letter(key: &Bytes) -> Result<(ActorKey, ActorKey, u64), StateError> {
    read_numbered(key)
}

fn numbered(owner: &ActorKey, other: &ActorKey, sequence: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(owner.0.len() + other.0.len() + 8);
    key.extend_from_slice(&owner.0);
    key.extend_from_slice(&other.0);
    key.extend_from_slice(&sequence.to_be_bytes());
    key
}

fn read_numbered(key: &Bytes) -> Result<(ActorKey, ActorKey, u64), StateError> {
    let (owner, rest) = ActorKey::split(key)?;
    let (other, rest) = ActorKey::split(&rest)?;
    let sequence = rest.as_ref().try_into().map_err(|_| MALFORMED)?;
    Ok((owner, other, u64::from_be_bytes(sequence)))
}

/// The key of a reminder.
pub fn reminder(actor: &ActorKey, name: &str) -> Vec<u8> {
    actor.with(name.as_bytes())
}

/// What an idempotency key adds to its actor's: a zero byte and the key, or a one and the key's hash if it is long.
pub fn answer_suffix(key: &[u8]) -> Vec<u8> {
    let mut suffix = Vec::with_capacity(1 + key.len().min(PLAIN_ANSWER_KEY_BYTES_MAX));
    if key.len() <= PLAIN_ANSWER_KEY_BYTES_MAX {
        suffix.push(0);
        suffix.extend_from_slice(key);
    } else {
        suffix.push(1);
        suffix.extend_from_slice(ObjectId::of(gritmesh_store::ObjectKind::Blob, key).as_bytes());
    }
    suffix
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(text: &str) -> ActorKey {
        ActorKey::of(&text.parse().unwrap())
    }

    #[test]
    fn no_key_is_a_prefix_of_another() {
        let (short, long) = (key("counter/a"), key("counter/ab"));
        assert!(!long.as_bytes()[TOKEN_BYTES..].starts_with(&short.as_bytes()[TOKEN_BYTES..]));
        let (from, to) = short.rows();
        assert!(from <= short.with(b"x") && short.with(&[0xff; 9]) < to);
    }

    #[test]
    fn keys_of_pairs_round_trip() {
        let (sender, receiver) = (key("acme:account/alice"), key("account/bob"));
        let row = Bytes::from(outbox(&sender, &receiver, 7));
        assert_eq!(read_outbox(&row).unwrap(), (sender.clone(), receiver.clone(), 7));
        let (from, to) = outbox_pair(&sender, &receiver);
        assert!(from.as_slice() < &row[..] && row[..] < to[..]);
        let row = Bytes::from(letter(&receiver, &sender, 9));
        assert_eq!(read_letter(&row).unwrap(), (receiver, sender, 9));
    }

    #[test]
    fn a_key_under_a_foreign_token_is_refused() {
        let address: ActorAddress = "counter/alice".parse().unwrap();
        let wrong = ActorKey::at(&address, Token(7));
        assert!(ActorKey::read(wrong.0).is_err());
        assert!(ActorKey::read(ActorKey::of(&address).0).is_ok());
    }

    #[test]
    fn long_idempotency_keys_are_hashed_and_distinct() {
        let (one, two) = (vec![1; 500], vec![2; 500]);
        assert_eq!(answer_suffix(&one).len(), 33);
        assert_ne!(answer_suffix(&one), answer_suffix(&two));
        assert_eq!(answer_suffix(b"k"), b"\0k");
    }

    #[test]
    fn the_last_token_has_its_keys_in_the_range() {
        let range = token_range(Token(u64::MAX), Token(u64::MAX));
        let address: ActorAddress = "counter/alice".parse().unwrap();
        let last = ActorKey::at(&address, Token(u64::MAX));
        assert!(range.contains(&last.with(&[0xff; 40])));
        assert!(
            range.contains(&object(Token(u64::MAX), &ObjectId::of(gritmesh_store::ObjectKind::Blob, b"")))
        );
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let bytes = Bytes::from(bytes);
            let _ = ActorKey::read(bytes.clone());
            let _ = ActorKey::split(&bytes);
            let _ = read_outbox(&bytes);
        }
    }
}

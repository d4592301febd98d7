//! The bytes of gossip: a hand-written codec, because a ping is sent several times a second to say almost
//! nothing, and its size is then the cost of the whole cluster.
//!
//! Numbers are LEB128, texts and lists carry their length, and every reader checks what it reads: a peer may
//! send anything, and gets a typed error for it.

use std::net::{IpAddr, SocketAddr};

/// Reads one message. Nothing here panics, whatever the bytes are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// Bytes not read yet.
    pub(crate) const fn remaining(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self.bytes.split_at_checked(length).ok_or(WireError::Truncated)?;
        self.bytes = rest;
        Ok(taken)
    }

    /// Everything that is left.
    pub(crate) const fn rest(&mut self) -> &'a [u8] {
        let rest = self.bytes;
        self.bytes = &[];
        rest
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let taken = self.take(N)?;
        Ok(taken.try_into().expect("exactly N bytes were taken"))
    }

    pub(crate) fn byte(&mut self) -> Result<u8, WireError> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn fixed_u16(&mut self) -> Result<u16, WireError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(crate) fn fixed_u64(&mut self) -> Result<u64, WireError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A LEB128 number in its shortest form; longer forms are refused so that equal values have equal bytes.
    pub(crate) fn number(&mut self) -> Result<u64, WireError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 || (byte == 0 && shift > 0) {
                return Err(WireError::Number);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(WireError::Number)
    }

    /// A number that fits a smaller type.
    pub(crate) fn small<T: TryFrom<u64>>(&mut self) -> Result<T, WireError> {
        T::try_from(self.number()?).map_err(|_| WireError::Number)
    }

    /// A text of at most `limit` bytes.
    pub(crate) fn text(&mut self, limit: usize) -> Result<&'a str, WireError> {
        let length = self.count(limit)?;
        std::str::from_utf8(self.take(length)?).map_err(|_| WireError::Text)
    }

    /// A count of at most `limit`.
    pub(crate) fn count(&mut self, limit: usize) -> Result<usize, WireError> {
        let count: usize = self.small()?;
        if count > limit { Err(WireError::TooMany { count, limit }) } else { Ok(count) }
    }

    pub(crate) fn ip(&mut self, v6: bool) -> Result<IpAddr, WireError> {
        Ok(if v6 { IpAddr::from(self.array::<16>()?) } else { IpAddr::from(self.array::<4>()?) })
    }

    /// Makes sure that nothing is left.
    pub(crate) const fn finish(&self) -> Result<(), WireError> {
        if self.bytes.is_empty() { Ok(()) } else { Err(WireError::Trailing) }
    }
}

pub(crate) fn put_number(buffer: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        buffer.push(value as u8 | 0x80);
        value >>= 7;
    }
    buffer.push(value as u8);
}

pub(crate) fn put_text(buffer: &mut Vec<u8>, text: &str) {
    put_number(buffer, text.len() as u64);
    buffer.extend_from_slice(text.as_bytes());
}

pub(crate) fn put_ip(buffer: &mut Vec<u8>, ip: IpAddr) {
    match ip {
        IpAddr::V4(ip) => buffer.extend_from_slice(&ip.octets()),
        IpAddr::V6(ip) => buffer.extend_from_slice(&ip.octets()),
    }
}

pub(crate) fn put_port(buffer: &mut Vec<u8>, address: SocketAddr) {
    buffer.extend_from_slice(&address.port().to_le_bytes());
}

/// Why bytes are not a message. The message is ignored as a whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WireError {
    /// The bytes end too early.
    #[error("the message is cut short")]
    Truncated,
    /// There are bytes after the end.
    #[error("the message has bytes after its end")]
    Trailing,
    /// A number is too large for its field or not in its shortest form.
    #[error("a number is out of range")]
    Number,
    /// A text is not UTF-8.
    #[error("a text is not UTF-8")]
    Text,
    /// A tag that this version does not know.
    #[error("unknown {what} {tag}")]
    Tag {
        /// What the tag tells apart.
        what: &'static str,
        /// The tag.
        tag: u8,
    },
    /// A list or text is longer than allowed.
    #[error("{count} items; at most {limit} are allowed")]
    TooMany {
        /// How many were announced.
        count: usize,
        /// How many are allowed.
        limit: usize,
    },
    /// The same value could be written in another way.
    #[error("a value is not in its canonical form")]
    NotCanonical,
    /// The member table has no room for a newcomer.
    #[error("the member table is full")]
    MembersFull,
    /// There is no room in the packet that is being written.
    #[error("the packet is full")]
    PacketFull,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn long_forms_of_a_number_are_refused() {
        assert_eq!(Reader::new(&[0x81, 0x00]).number(), Err(WireError::Number));
        assert_eq!(Reader::new(&[0xff; 11]).number(), Err(WireError::Number));
        assert_eq!(Reader::new(&[0x80]).number(), Err(WireError::Truncated));
        assert_eq!(Reader::new(&[0]).number(), Ok(0));
    }

    proptest! {
        #[test]
        fn numbers_round_trip(value: u64) {
            let mut buffer = Vec::new();
            put_number(&mut buffer, value);
            let mut reader = Reader::new(&buffer);
            prop_assert_eq!(reader.number(), Ok(value));
            prop_assert_eq!(reader.finish(), Ok(()));
        }
    }
}

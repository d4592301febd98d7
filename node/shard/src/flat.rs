//! Flat bytes: fixed-width numbers little-endian, and byte strings behind their length.
//!
//! Reading takes slices of what is there and copies nothing; a length is believed only as far as there are bytes.

use bytes::{Buf, Bytes};

use crate::StateError;

/// Appends to bytes that are being written.
pub(crate) trait Write {
    fn u8(&mut self, value: u8);
    fn u16(&mut self, value: u16);
    fn u32(&mut self, value: u32);
    fn u64(&mut self, value: u64);
    /// A length of 16 bits, and the bytes.
    fn short(&mut self, bytes: &[u8]);
    /// A length of 32 bits, and the bytes.
    fn long(&mut self, bytes: &[u8]);
}

impl Write for Vec<u8> {
    fn u8(&mut self, value: u8) {
        self.push(value);
    }

    fn u16(&mut self, value: u16) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn short(&mut self, bytes: &[u8]) {
        self.u16(u16::try_from(bytes.len()).expect("the writer keeps to the limits of its format"));
        self.extend_from_slice(bytes);
    }

    fn long(&mut self, bytes: &[u8]) {
        self.u32(u32::try_from(bytes.len()).expect("the writer keeps to the limits of its format"));
        self.extend_from_slice(bytes);
    }
}

/// Reads from the front.
#[derive(Debug)]
pub(crate) struct Reader {
    rest: Bytes,
    what: &'static str,
}

impl Reader {
    /// A reader of something that is called `what` if it is malformed.
    pub(crate) const fn new(bytes: Bytes, what: &'static str) -> Self {
        Self { rest: bytes, what }
    }

    /// That the bytes are malformed.
    pub(crate) const fn malformed(&self) -> StateError {
        StateError::Malformed { what: self.what }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn take(&mut self, bytes: usize) -> Result<Bytes, StateError> {
        if bytes > self.rest.len() {
            return Err(self.malformed());
        }
        Ok(self.rest.split_to(bytes))
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], StateError> {
        let bytes = self.rest.first_chunk::<N>().copied().ok_or_else(|| self.malformed())?;
        self.rest.advance(N);
        Ok(bytes)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, StateError> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, StateError> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, StateError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, StateError> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn short(&mut self) -> Result<Bytes, StateError> {
        let length = self.u16()?;
        self.take(usize::from(length))
    }

    pub(crate) fn long(&mut self) -> Result<Bytes, StateError> {
        let length = self.u32()?;
        self.take(length as usize)
    }

    pub(crate) fn text(&mut self, bytes: Bytes) -> Result<String, StateError> {
        String::from_utf8(bytes.into()).map_err(|_| self.malformed())
    }

    /// A byte that is 0 or 1.
    pub(crate) fn flag(&mut self) -> Result<bool, StateError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.malformed()),
        }
    }

    /// The first byte of every record: the version of its form.
    pub(crate) fn version(&mut self, version: u8) -> Result<(), StateError> {
        if self.u8()? == version { Ok(()) } else { Err(self.malformed()) }
    }

    /// All that is left.
    pub(crate) fn rest(&mut self) -> Bytes {
        std::mem::take(&mut self.rest)
    }

    /// That nothing is left.
    pub(crate) fn end(&self) -> Result<(), StateError> {
        if self.is_empty() { Ok(()) } else { Err(self.malformed()) }
    }
}

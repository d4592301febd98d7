//! Frames: how envelopes lie in a byte stream.
//!
//! ```text
//! length of body, u32 little-endian │ body
//! ```
//!
//! Frames follow each other without padding, so a queue of envelopes *is* the bytes to write, and a read buffer
//! is walked without copying. The body's meaning, and its version, are settled at admission
//! ([`WIRE_VERSION`](crate::WIRE_VERSION)).

/// Largest body of a frame in bytes. Larger values travel as objects, not as calls.
pub const FRAME_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes in front of every body.
pub const HEADER_BYTES: usize = 4;

/// Appends one frame.
///
/// # Panics
/// If the body is larger than [`FRAME_BYTES_MAX`]; the sender has to check.
pub fn append(buffer: &mut Vec<u8>, body: &[u8]) {
    assert!(body.len() <= FRAME_BYTES_MAX, "the sender checks the size of a frame");
    buffer.extend_from_slice(&(body.len() as u32).to_le_bytes());
    buffer.extend_from_slice(body);
}

/// Whole frames in a read buffer, already checked. Iterates over their bodies.
#[derive(Clone, Copy, Debug)]
pub struct Frames<'a> {
    bytes: &'a [u8],
}

impl<'a> Frames<'a> {
    /// Finds the whole frames at the start of `bytes` and how many bytes they cover.
    ///
    /// # Errors
    /// If a frame announces more than [`FRAME_BYTES_MAX`] bytes; nothing after it can be trusted.
    pub fn split(bytes: &'a [u8]) -> Result<(Self, usize), OversizedFrame> {
        let mut end = 0;
        while let Some(length) = length_at(bytes, end) {
            if length > FRAME_BYTES_MAX {
                return Err(OversizedFrame { bytes: length });
            }
            if bytes.len() - end < HEADER_BYTES + length {
                break;
            }
            end += HEADER_BYTES + length;
        }
        Ok((Self { bytes: &bytes[..end] }, end))
    }

    /// Whether there is no frame.
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The frames as they lie in the stream.
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let length = length_at(self.bytes, 0)?;
        let (frame, rest) = self.bytes.split_at(HEADER_BYTES + length);
        self.bytes = rest;
        Some(&frame[HEADER_BYTES..])
    }
}

fn length_at(bytes: &[u8], at: usize) -> Option<usize> {
    let header = bytes.get(at..at + HEADER_BYTES)?;
    Some(u32::from_le_bytes(header.try_into().expect("the slice has the header's length")) as usize)
}

/// A frame that announces more bytes than allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame announces {bytes} bytes; at most {FRAME_BYTES_MAX} are allowed")]
pub struct OversizedFrame {
    /// How many it announces.
    pub bytes: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_oversized_length_is_refused_before_it_is_awaited() {
        let bytes = u32::MAX.to_le_bytes();
        assert_eq!(Frames::split(&bytes).unwrap_err().bytes, u32::MAX as usize);
    }

    proptest! {
        #[test]
        fn frames_round_trip_at_every_cut(
            bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut buffer = Vec::new();
            bodies.iter().for_each(|body| append(&mut buffer, body));
            let cut = cut.index(buffer.len() + 1);
            let (first, used) = Frames::split(&buffer[..cut]).unwrap();
            let mut read: Vec<Vec<u8>> = first.map(<[u8]>::to_vec).collect();
            let (rest, end) = Frames::split(&buffer[used..]).unwrap();
            read.extend(rest.map(<[u8]>::to_vec));
            prop_assert_eq!(read, bodies);
            prop_assert_eq!(used + end, buffer.len());
        }

        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok((frames, used)) = Frames::split(&bytes) {
                prop_assert!(used <= bytes.len());
                prop_assert_eq!(frames.map(|body| body.len() + HEADER_BYTES).sum::<usize>(), used);
            }
        }
    }
}

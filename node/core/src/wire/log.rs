//! Messages of logs: those of many shards share one envelope.
//!
//! ```text
//! length of message, u32 little-endian │ message │ length │ message │ …
//! ```
//!
//! What a message is, its shard included, is known to the logs alone. An empty one says that the disk of the node that sends
//! the envelope is full; without it, there is room.

use gritmesh_runtime::frame::FRAME_BYTES_MAX;

/// Bytes of messages that share an envelope, if one alone is not larger: enough to share the cost of a write, and
/// little enough not to delay a heartbeat behind it.
const SHARED_BYTES: usize = 512 * 1024;

/// Bytes in front of each message.
const LENGTH_BYTES: usize = 4;

pub(crate) struct LogMessages;

impl LogMessages {
    /// Envelopes with these messages, in order. A message that no envelope can hold is left out; logs keep their
    /// messages far below that.
    pub(crate) fn frames(messages: Vec<Vec<u8>>, full: bool) -> impl Iterator<Item = Vec<u8>> {
        let mut messages = messages.into_iter().peekable();
        let begin: &[u8] = if full { &[0; LENGTH_BYTES] } else { &[] };
        std::iter::from_fn(move || {
            let mut body = begin.to_vec();
            while let Some(message) = messages.peek() {
                let grown = body.len() + LENGTH_BYTES + message.len();
                if grown > FRAME_BYTES_MAX && body.len() == begin.len() {
                    messages.next();
                    continue;
                }
                if body.len() > begin.len() && grown > SHARED_BYTES {
                    break;
                }
                body.extend_from_slice(&(message.len() as u32).to_le_bytes());
                body.extend_from_slice(message);
                messages.next();
            }
            (body.len() > begin.len()).then_some(body)
        })
    }

    /// The messages of an envelope, up to where it can be read.
    pub(crate) fn read(mut body: &[u8]) -> impl Iterator<Item = &[u8]> {
        std::iter::from_fn(move || {
            let (length, rest) = body.split_first_chunk::<LENGTH_BYTES>()?;
            let (message, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            body = rest;
            Some(message)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn large_messages_do_not_share() {
        let frames: Vec<_> =
            LogMessages::frames(vec![vec![1; 10], vec![2; SHARED_BYTES], vec![3; 10]], false).collect();
        let lengths: Vec<usize> = frames.iter().map(Vec::len).collect();
        assert_eq!(lengths, [14, SHARED_BYTES + 4, 14]);
    }

    #[test]
    fn what_no_frame_can_hold_is_left_out() {
        let messages = vec![vec![1; FRAME_BYTES_MAX], vec![2; 3]];
        let frames: Vec<_> = LogMessages::frames(messages.clone(), false).collect();
        assert_eq!(frames, [vec![3, 0, 0, 0, 2, 2, 2]]);
        let frames: Vec<_> = LogMessages::frames(messages, true).collect();
        assert_eq!(frames, [vec![0, 0, 0, 0, 3, 0, 0, 0, 2, 2, 2]]);
        assert_eq!(LogMessages::frames(Vec::new(), true).count(), 0, "it is not worth an envelope");
    }

    #[test]
    fn every_envelope_says_that_the_disk_is_full() {
        let messages = vec![vec![1; SHARED_BYTES], vec![2; 10]];
        let frames: Vec<_> = LogMessages::frames(messages.clone(), true).collect();
        let read: Vec<Vec<&[u8]>> = frames.iter().map(|frame| LogMessages::read(frame).collect()).collect();
        assert_eq!(read, [[&[][..], &messages[0]], [&[][..], &messages[1]]]);
    }

    proptest! {
        #[test]
        fn messages_round_trip(messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..20)) {
            let frames: Vec<Vec<u8>> = LogMessages::frames(messages.clone(), false).collect();
            let read: Vec<Vec<u8>> =
                frames.iter().flat_map(|frame| LogMessages::read(frame)).map(<[u8]>::to_vec).collect();
            prop_assert_eq!(read, messages);
        }

        #[test]
        fn hostile_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(LogMessages::read(&bytes).map(<[u8]>::len).sum::<usize>() <= bytes.len());
        }
    }
}

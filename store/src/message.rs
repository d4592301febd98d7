//! A message between durable actors.

use std::sync::Arc;

use gritmesh_runtime::ActorAddress;

use crate::archive;
use crate::error::{ObjectError, at_most};
use crate::id::{ObjectId, ObjectKind};
use crate::text::{self, Headers, check_word};

use record::{ArchivedMessageRecord, CONTENT_IS_BLOB, MessageRecord, PREVIOUS};

/// Longest content that lies in the message itself. What is longer is a blob that the message names; a message
/// stays below the size at which objects travel on their own.
pub const CONTENT_BYTES_MAX: usize = 48 * 1024;

/// A message. Sender, receiver and sequence are part of it, so two equal ones have two ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who sent it.
    pub sender: ActorAddress,
    /// Who shall read it.
    pub receiver: ActorAddress,
    /// Counts the messages of this sender to this receiver, from 1.
    pub sequence: u64,
    /// The message before it of the same pair.
    pub previous: Option<ObjectId>,
    /// Which method shall run.
    pub method: String,
    /// Which snapshot the message falls under.
    pub snapshot_epoch: u64,
    /// Texts for those between the two ends.
    pub headers: Headers,
    /// The arguments.
    pub content: Content,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Bytes, at most [`CONTENT_BYTES_MAX`].
    Bytes(Vec<u8>),
    /// A blob.
    Blob(ObjectId),
}

impl Message {
    /// The canonical bytes.
    pub fn encode(&self) -> Arc<[u8]> {
        let headers = text::records(&self.headers);
        let previous = self.previous.map(|id| (PREVIOUS, *id.as_bytes()));
        let (content, blob) = match &self.content {
            Content::Bytes(bytes) => (bytes.as_slice(), None),
            Content::Blob(id) => (&[][..], Some((CONTENT_IS_BLOB, *id.as_bytes()))),
        };
        let present: Vec<(u8, [u8; 32])> = previous.into_iter().chain(blob).collect();
        let ids: Vec<[u8; 32]> = present.iter().map(|(_, id)| *id).collect();
        let record = MessageRecord {
            sequence: self.sequence,
            snapshot_epoch: self.snapshot_epoch,
            present: present.iter().map(|(bit, _)| bit).sum(),
            ids: &ids,
            sender: self.sender.as_key(),
            receiver: self.receiver.as_key(),
            method: &self.method,
            headers: &headers,
            content,
        };
        let texts = self.sender.as_key().len() + self.receiver.as_key().len() + self.method.len();
        let varying = ids.len() * 32 + texts + text::size_hint(&self.headers) + content.len();
        archive::encode(&record, size_of::<ArchivedMessageRecord<'_>>() + varying)
    }

    /// The id.
    pub fn id(&self) -> ObjectId {
        ObjectId::of(ObjectKind::Message, &self.encode())
    }

    /// Reads a message from outside and checks that its bytes are canonical.
    ///
    /// # Errors
    /// If they are not.
    pub fn decode(bytes: &[u8]) -> Result<Self, ObjectError> {
        let message = Self::view(bytes)?.to_message()?;
        if *message.encode() != *bytes {
            return Err(ObjectError::NotCanonical { kind: ObjectKind::Message });
        }
        Ok(message)
    }

    /// Looks into a message without copying. Lengths, texts and the order of headers are checked, the canonical
    /// form is not.
    ///
    /// # Errors
    /// If the bytes are no message.
    pub fn view(bytes: &[u8]) -> Result<MessageView<'_>, ObjectError> {
        let archived: &ArchivedMessageRecord<'static> = archive::access(ObjectKind::Message, bytes)?;
        let is_blob = archived.present & CONTENT_IS_BLOB != 0;
        if archived.present & !(PREVIOUS | CONTENT_IS_BLOB) != 0
            || archived.ids.len() != archived.present.count_ones() as usize
            || (is_blob && !archived.content.is_empty())
        {
            return Err(ObjectError::Malformed { kind: ObjectKind::Message });
        }
        let view = MessageView { archived };
        if view.sequence() == 0 || (view.sequence() == 1 && view.previous().is_some()) {
            return Err(ObjectError::Invalid { what: "a message's sequence" });
        }
        at_most("a message's content", archived.content.len() as u64, CONTENT_BYTES_MAX as u64)?;
        check_word("a message's method", view.method())?;
        text::check(view.headers())?;
        Ok(view)
    }
}

/// A message in its bytes.
#[derive(Clone, Copy)]
pub struct MessageView<'a> {
    archived: &'a ArchivedMessageRecord<'static>,
}

impl<'a> MessageView<'a> {
    /// Who sent it: tenant, type and id, with zero bytes between.
    pub fn sender_key(&self) -> &'a str {
        &self.archived.sender
    }

    /// Who shall read it: tenant, type and id, with zero bytes between.
    pub fn receiver_key(&self) -> &'a str {
        &self.archived.receiver
    }

    /// Counts the messages of this sender to this receiver, from 1.
    pub fn sequence(&self) -> u64 {
        self.archived.sequence.into()
    }

    /// The message before it of the same pair.
    pub fn previous(&self) -> Option<ObjectId> {
        (self.archived.present & PREVIOUS != 0).then(|| ObjectId::from_bytes(self.archived.ids[0]))
    }

    /// Which method shall run.
    pub fn method(&self) -> &'a str {
        &self.archived.method
    }

    /// Which snapshot the message falls under.
    pub fn snapshot_epoch(&self) -> u64 {
        self.archived.snapshot_epoch.into()
    }

    /// Names and texts, ascending.
    pub fn headers(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        text::pairs(&self.archived.headers)
    }

    /// The blob that is the content, if it lies outside.
    pub fn content_blob(&self) -> Option<ObjectId> {
        let last = self.archived.ids.last().filter(|_| self.archived.present & CONTENT_IS_BLOB != 0);
        last.map(|id| ObjectId::from_bytes(*id))
    }

    /// A copy that stands alone.
    ///
    /// # Errors
    /// If the name of the sender or the receiver is none.
    pub fn to_message(&self) -> Result<Message, ObjectError> {
        let address =
            |key: &str, what| ActorAddress::from_key(key).map_err(|_| ObjectError::Invalid { what });
        Ok(Message {
            sender: address(self.sender_key(), "a message's sender")?,
            receiver: address(self.receiver_key(), "a message's receiver")?,
            sequence: self.sequence(),
            previous: self.previous(),
            method: self.method().to_owned(),
            snapshot_epoch: self.snapshot_epoch(),
            headers: self.headers().map(|(name, text)| (name.to_owned(), text.to_owned())).collect(),
            content: match self.content_blob() {
                Some(id) => Content::Blob(id),
                None => Content::Bytes(self.archived.content.to_vec()),
            },
        })
    }
}

impl std::fmt::Debug for MessageView<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MessageView")
            .field("sender", &self.sender_key())
            .field("receiver", &self.receiver_key())
            .field("sequence", &self.sequence())
            .finish_non_exhaustive()
    }
}

mod record {
    use rkyv::with::InlineAsBox;
    use rkyv::{Archive, Serialize};

    use crate::text::HeaderRecord;

    pub(super) const PREVIOUS: u8 = 1;
    pub(super) const CONTENT_IS_BLOB: u8 = 2;

    #[derive(Debug, Archive, Serialize)]
    pub(super) struct MessageRecord<'a> {
        pub(super) sequence: u64,
        pub(super) snapshot_epoch: u64,
        /// Which of the optional ids are there.
        pub(super) present: u8,
        /// Those that are there.
        #[rkyv(with = InlineAsBox)]
        pub(super) ids: &'a [[u8; 32]],
        #[rkyv(with = InlineAsBox)]
        pub(super) sender: &'a str,
        #[rkyv(with = InlineAsBox)]
        pub(super) receiver: &'a str,
        #[rkyv(with = InlineAsBox)]
        pub(super) method: &'a str,
        #[rkyv(with = InlineAsBox)]
        pub(super) headers: &'a [HeaderRecord<'a>],
        #[rkyv(with = InlineAsBox)]
        pub(super) content: &'a [u8],
    }
}

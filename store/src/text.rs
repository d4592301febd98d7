//! Headers: texts by name that travel with a blob or a message.

use rkyv::with::InlineAsBox;
use rkyv::{Archive, Serialize};

use gritmesh_runtime::NAME_BYTES_MAX;

use crate::error::{ObjectError, at_most};

/// Names and texts, ascending by name, each name once.
pub type Headers = Vec<(String, String)>;

/// Largest sum of the lengths of all names and texts. Headers are for machines between the two ends, as content
/// types and traces are; what is longer belongs into the content.
pub const HEADERS_BYTES_MAX: usize = 4 * 1024;

/// One header as it lies in an archive.
#[derive(Clone, Copy, Debug, Archive, Serialize)]
pub(crate) struct HeaderRecord<'a> {
    #[rkyv(with = InlineAsBox)]
    name: &'a str,
    #[rkyv(with = InlineAsBox)]
    text: &'a str,
}

/// Headers for an archive.
pub(crate) fn records(headers: &Headers) -> Vec<HeaderRecord<'_>> {
    headers.iter().map(|(name, text)| HeaderRecord { name, text }).collect()
}

/// How many bytes headers take in an archive, about.
pub(crate) fn size_hint(headers: &Headers) -> usize {
    headers.iter().map(|(name, text)| name.len() + text.len() + size_of::<ArchivedHeaderRecord<'_>>()).sum()
}

/// The names and texts of an archive.
pub(crate) fn pairs<'a>(
    archived: &'a [ArchivedHeaderRecord<'static>],
) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
    archived.iter().map(|header| (&*header.name, &*header.text))
}

/// Checks order and sizes.
pub(crate) fn check<'a>(headers: impl Iterator<Item = (&'a str, &'a str)>) -> Result<(), ObjectError> {
    let mut bytes = 0;
    let mut last: Option<&str> = None;
    for (name, text) in headers {
        bytes += name.len() + text.len();
        at_most("the headers", bytes as u64, HEADERS_BYTES_MAX as u64)?;
        check_word("a header's name", name)?;
        match last {
            Some(last) if last == name => return Err(ObjectError::Duplicate { what: "the headers" }),
            Some(last) if last > name => return Err(ObjectError::Unsorted { what: "the headers" }),
            _ => last = Some(name),
        }
    }
    Ok(())
}

/// Checks a name that must not be empty and is no longer than any other name.
pub(crate) fn check_word(what: &'static str, word: &str) -> Result<(), ObjectError> {
    if word.is_empty() {
        return Err(ObjectError::Invalid { what });
    }
    at_most(what, word.len() as u64, NAME_BYTES_MAX as u64)
}

//! What went wrong in a run.

use std::any::Any;
use std::fmt;

use gritmesh_runtime::Instant;

use crate::NodeIndex;

/// Code of a finding: code of a node panicked.
pub const PANIC: &str = "panic";
/// Code of a finding: tasks of a node woke each other for a second without waiting for anything.
pub const SPIN: &str = "spin";

/// Something that must not happen and did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Virtual time.
    pub at: Instant,
    /// Where, if it concerns one node.
    pub node: Option<NodeIndex>,
    /// What kind: [`PANIC`], [`SPIN`] or the name of a broken invariant.
    pub code: &'static str,
    /// What exactly.
    pub detail: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.at)?;
        if let Some(node) = self.node {
            write!(f, "{node} ")?;
        }
        write!(f, "{}: {}", self.code, self.detail)
    }
}

/// The words of a panic.
pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a value that is not text")
        .to_owned()
}

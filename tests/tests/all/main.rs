//! The tests of the workspace as a whole, in one binary: linking once is cheaper than linking per topic.
//!
//! * `tidy`: rules about the source that no compiler holds
//! * `docs`: what the documents say can be typed, exists

mod docs;
mod tidy;
mod tree;

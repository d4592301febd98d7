//! Tests of the workspace as a whole live in `tests/all/`; this library is empty on purpose.

//! What opens administrative requests to other machines.

use std::sync::Arc;

use arc_swap::ArcSwapOption;

/// A node's token, if it has one. Another one may take its place while requests come in.
#[derive(Clone)]
pub(crate) struct Token(Arc<ArcSwapOption<String>>);

impl Token {
    pub(crate) fn new(token: Option<String>) -> Self {
        Self(Arc::new(ArcSwapOption::from_pointee(token)))
    }

    pub(crate) fn replace(&self, token: Option<String>) {
        self.0.store(token.map(Arc::new));
    }

    pub(super) fn get(&self) -> Option<Arc<String>> {
        self.0.load_full()
    }
}

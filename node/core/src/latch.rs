//! Something that happens once, and whoever waits for it.

use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::Shared;
use parking_lot::Mutex;

/// Set once, awaited by any number of tasks, before and after.
pub(crate) struct Latch<T: Clone> {
    sender: Mutex<Option<oneshot::Sender<T>>>,
    receiver: Shared<oneshot::Receiver<T>>,
}

impl<T: Clone> Latch<T> {
    pub(crate) fn new() -> Self {
        let (sender, receiver) = oneshot::channel();
        Self { sender: Mutex::new(Some(sender)), receiver: receiver.shared() }
    }

    /// The first value stays.
    pub(crate) fn set(&self, value: T) {
        if let Some(sender) = self.sender.lock().take() {
            // The latch itself holds a receiver, so there always is one.
            let _ = sender.send(value);
        }
    }

    pub(crate) fn is_set(&self) -> bool {
        self.sender.lock().is_none()
    }

    pub(crate) fn wait(&self) -> impl Future<Output = T> + Send + use<T>
    where
        T: Send + Sync,
    {
        let receiver = self.receiver.clone();
        async move {
            match receiver.await {
                Ok(value) => value,
                // The node was dropped: what was waited for will never happen.
                Err(oneshot::Canceled) => std::future::pending().await,
            }
        }
    }
}

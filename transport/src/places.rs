//! Places for strangers: so many, and a newcomer always gets one.

use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::crowd::Crowd;

#[derive(Debug)]
pub(crate) struct Places {
    max: usize,
    /// Who has one. What stands for it is dropped when it is lost.
    taken: Mutex<Crowd<oneshot::Sender<()>>>,
}

impl Places {
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max, taken: Mutex::default() })
    }

    /// Takes a place. If all are taken, another one is lost.
    pub(crate) fn enter(self: &Arc<Self>, from: IpAddr) -> Place {
        let (sender, lost) = oneshot::channel();
        let mut taken = self.taken.lock();
        let number = taken.enter(from, sender);
        while taken.len() > self.max {
            drop(taken.make_room());
        }
        Place { places: Arc::clone(self), from, number, lost }
    }
}

/// Given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    from: IpAddr,
    number: u64,
    lost: oneshot::Receiver<()>,
}

impl Place {
    /// Waits until the place is lost. May be cancelled.
    pub(crate) async fn lost(&mut self) {
        // Nothing is ever sent.
        let _ = (&mut self.lost).await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken.lock().leave(self.from, self.number);
    }
}

/// Waits until a place is lost, if there is one.
pub(crate) async fn lost(place: Option<Place>) {
    match place {
        Some(mut place) => place.lost().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn is_lost(place: &mut Place) -> bool {
        place.lost().now_or_never().is_some()
    }

    #[test]
    fn a_newcomer_gets_the_place_of_the_oldest() {
        let places = Places::new(2);
        let enter = || places.enter([127, 0, 0, 1].into());
        let mut taken = [enter(), enter(), enter()];
        assert_eq!(taken.each_mut().map(is_lost), [true, false, false]);
        let [first, second, mut third] = taken;
        drop((first, second));
        let mut fourth = enter();
        assert!(!is_lost(&mut third) && !is_lost(&mut fourth), "what was given back is free");
    }
}

//! Messages that wait for their time. They wait in memory: a node that stops loses them, and says so.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use gritmesh_core::DynamicCall;
use gritmesh_runtime::{Failure, FailureCode};
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::problem::Problem;

/// Memory of all waiting messages, in KiB, and with it their number: each takes at least one.
const WAITING_KIB_MAX: usize = 64 * 1024;

/// What one tenant may have of it. It may neither have more than it leaves to the others, so that one who has nothing
/// waiting still finds room when many have taken theirs.
const TENANT_KIB_MAX: usize = 16 * 1024;

/// Messages of one node that wait for their time. Dropping it drops them.
#[derive(Debug)]
pub(super) struct Delayed {
    room: Arc<Mutex<Room>>,
    timers: Mutex<JoinSet<()>>,
}

impl Delayed {
    pub(super) fn new() -> Self {
        Self { room: Arc::default(), timers: Mutex::default() }
    }

    /// Sends a message after a delay, if the node still runs then.
    pub(super) fn send_after(
        &self,
        core: &Arc<gritmesh_core::Node>,
        delay: Duration,
        call: DynamicCall,
    ) -> Result<(), Problem> {
        let kib = call.arguments.len() / 1024 + 1;
        let taken = Taken::from(&self.room, call.address.tenant(), kib)?;
        let core: Weak<gritmesh_core::Node> = Arc::downgrade(core);
        let mut timers = self.timers.lock();
        while timers.try_join_next().is_some() {}
        timers.spawn(async move {
            sleep(delay).await;
            drop(taken);
            if let Some(core) = core.upgrade() {
                core.send_dynamic(call);
            }
        });
        Ok(())
    }
}

impl Drop for Delayed {
    fn drop(&mut self) {
        let timers = self.timers.get_mut();
        while timers.try_join_next().is_some() {}
        if !timers.is_empty() {
            let messages = timers.len();
            tracing::warn!(messages, "delayed messages were waiting in this node, and are gone with it");
        }
    }
}

/// Room that a message takes while it waits.
struct Taken {
    room: Arc<Mutex<Room>>,
    tenant: String,
    kib: usize,
}

impl Taken {
    fn from(room: &Arc<Mutex<Room>>, tenant: &str, kib: usize) -> Result<Self, Failure> {
        room.lock().take(tenant, kib)?;
        Ok(Self { room: Arc::clone(room), tenant: tenant.to_owned(), kib })
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.room.lock().give_back(&self.tenant, self.kib);
    }
}

/// How much of the room is taken, and by whom.
#[derive(Debug, Default)]
struct Room {
    taken_kib: usize,
    by_tenant: BTreeMap<String, usize>,
}

impl Room {
    fn take(&mut self, tenant: &str, kib: usize) -> Result<(), Failure> {
        let own = self.by_tenant.get(tenant).copied().unwrap_or_default() + kib;
        let free = WAITING_KIB_MAX - self.taken_kib;
        if own > TENANT_KIB_MAX.min(free) {
            let detail = match own > TENANT_KIB_MAX {
                true => format!(
                    "the delayed messages of tenant `{tenant}` that wait on this node may have {} MiB",
                    TENANT_KIB_MAX / 1024
                ),
                false => "too many delayed messages wait on this node".to_owned(),
            };
            return Err(Failure::new(FailureCode::Overloaded, detail));
        }
        self.taken_kib += kib;
        self.by_tenant.insert(tenant.to_owned(), own);
        Ok(())
    }

    fn give_back(&mut self, tenant: &str, kib: usize) {
        self.taken_kib -= kib;
        if let Some(own) = self.by_tenant.get_mut(tenant) {
            *own -= kib;
            if *own == 0 {
                self.by_tenant.remove(tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes as much as there is for a tenant, in messages of this size.
    fn fill(room: &mut Room, tenant: &str, kib: usize) -> usize {
        (0..).take_while(|_| room.take(tenant, kib).is_ok()).count()
    }

    #[test]
    fn one_tenant_leaves_room_to_the_others() {
        let mut room = Room::default();
        let largest = 2049;
        assert_eq!(fill(&mut room, "a", largest), TENANT_KIB_MAX / largest);
        assert!(room.take("a", largest).unwrap_err().detail.contains("tenant `a`"));
        for tenant in ["b", "c", "d", "e"] {
            assert!(fill(&mut room, tenant, largest) > 0, "{tenant}");
        }
        for tenant in 0..8 {
            assert!(fill(&mut room, &tenant.to_string(), 1) > 0, "{tenant} has nothing waiting");
        }
        assert!(room.taken_kib <= WAITING_KIB_MAX);
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let mut room = Room::default();
        let count = fill(&mut room, "a", 100);
        (0..count).for_each(|_| room.give_back("a", 100));
        assert_eq!((room.taken_kib, room.by_tenant.len()), (0, 0));
        assert_eq!(fill(&mut room, "a", 100), count);
    }
}

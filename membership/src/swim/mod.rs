//! Foca, wrapped: its packets in bytes, what it wants done as plain lists, and the few things that are asked of
//! it beyond its own protocol.

mod codec;
mod witness;

use std::num::{NonZeroU8, NonZeroUsize};
use std::time::Duration;

use foca::{Config, Foca, Notification, PeriodicParams, State, Timer};
use gritmesh_runtime::{NodeId, NodeInfo, Rng};

use crate::identity::Identity;
use crate::message::{Member, Message};
use crate::options::Options;

pub use codec::{BROADCAST_BYTES_MAX, BROADCAST_KEYS_MAX, MEMBERS_MAX};
pub(crate) use codec::{Broadcasts, Shared, SwimCodec, encode_broadcast};
pub(crate) use witness::{Contact, RENEWALS_JUMP_MAX};

/// Largest packet of foca in bytes. Streams carry any size; this bounds how much news rides on one ping.
const PACKET_BYTES_MAX: usize = 8 * 1024;

pub(crate) type SwimTimer = Timer<Identity>;

/// Foca with its surroundings. Every method leaves what it wants done in [`Self::wants`].
pub(crate) struct Swim {
    foca: Foca<Identity, SwimCodec, Rng, Broadcasts>,
    shared: Shared,
    sized_for: usize,
    pub(crate) wants: Wants,
    pub(crate) errors: u64,
}

/// What foca wants done.
#[derive(Debug, Default)]
pub(crate) struct Wants {
    pub(crate) sends: Vec<(NodeId, Vec<u8>)>,
    pub(crate) timers: Vec<(Duration, SwimTimer)>,
    /// Members that may have changed.
    pub(crate) touched: Vec<NodeId>,
    pub(crate) rejoined: bool,
}

impl foca::Runtime<Identity> for Wants {
    fn notify(&mut self, notification: Notification<'_, Identity>) {
        match notification {
            Notification::MemberUp(member)
            | Notification::MemberDown(member)
            | Notification::Rename(_, member) => self.touched.push(member.node_id()),
            Notification::Rejoin(_) => self.rejoined = true,
            Notification::Active | Notification::Idle | Notification::Defunct => {}
        }
    }

    fn send_to(&mut self, to: Identity, data: &[u8]) {
        self.sends.push((to.node_id(), Message::Swim(data).encode()));
    }

    fn submit_after(&mut self, event: SwimTimer, after: Duration) {
        if let Timer::ChangeSuspectToDown { member_id, .. } = &event {
            self.touched.push(member_id.node_id());
        }
        self.timers.push((after, event));
    }
}

impl Swim {
    pub(crate) fn new(info: NodeInfo, options: &Options, rng: Rng) -> Self {
        let own = Identity::new(info);
        let shared = Shared::new(own.clone());
        let foca = Foca::with_custom_broadcast(
            own,
            config(options, 1),
            rng,
            SwimCodec(shared.clone()),
            Broadcasts(shared.clone()),
        );
        Self { foca, shared, sized_for: 1, wants: Wants::default(), errors: 0 }
    }

    pub(crate) const fn shared(&self) -> &Shared {
        &self.shared
    }

    pub(crate) const fn own(&self) -> &Identity {
        self.foca.identity()
    }

    /// How many other members are active.
    pub(crate) const fn active_others(&self) -> usize {
        self.foca.num_members()
    }

    /// Every member that foca keeps, this node excepted.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Member> {
        let own = self.own().node_id();
        self.foca.iter_membership_state().filter(move |member| member.id().node_id() != own)
    }

    /// Reads a packet. `false` if the bytes are none.
    pub(crate) fn receive(&mut self, packet: &[u8]) -> bool {
        let result = self.foca.handle_data(packet, &mut self.wants);
        self.after(result)
    }

    /// Forgets a member that is gone.
    pub(crate) fn forget(&mut self, identity: Identity) {
        self.wants.touched.push(identity.node_id());
        self.fire(Timer::RemoveDown(identity));
    }

    pub(crate) fn fire(&mut self, timer: SwimTimer) {
        let result = self.foca.handle_timer(timer, &mut self.wants);
        self.after(result);
    }

    /// Forgets an identity that others spoke of, for one that has spoken for itself.
    pub(crate) fn replace(&mut self, rumoured: &Member, met: Identity) {
        self.apply([Member::new(rumoured.id().clone(), rumoured.incarnation(), State::Down)], false);
        self.forget(rumoured.id().clone());
        self.apply([Member::alive(met)], true);
    }

    /// Applies members that were learned otherwise. `news` is passed on to others.
    pub(crate) fn apply(&mut self, members: impl IntoIterator<Item = Member>, news: bool) {
        let touched = &mut self.wants.touched;
        let members: Vec<Member> =
            members.into_iter().inspect(|member| touched.push(member.id().node_id())).collect();
        let result = self.foca.apply_many(members.into_iter(), news, &mut self.wants);
        self.after(result);
    }

    /// Calls out to one member, be it down or not: if one of the two takes the other for dead, they find out.
    pub(crate) fn announce(&mut self, to: Identity) {
        let result = self.foca.announce(to, &mut self.wants);
        self.after(result);
    }

    /// Adds something to what is passed on. `false` if a newer version is known or there is no room.
    pub(crate) fn broadcast(&mut self, key: u64, version: u64, bytes: &[u8]) -> bool {
        match self.foca.add_broadcast(&encode_broadcast(key, version, bytes)) {
            Ok(added) => added,
            Err(error) => self.after(Err(error)),
        }
    }

    /// Becomes another identity of this node.
    pub(crate) fn change(&mut self, identity: Identity) {
        let result = self.foca.change_identity(identity, &mut self.wants);
        self.after(result);
    }

    /// Becomes the leaving identity and declares it gone. Foca does nothing afterwards.
    pub(crate) fn leave(&mut self) {
        self.change(self.own().leaving());
        let result = self.foca.leave_cluster(&mut self.wants);
        self.after(result);
    }

    /// Foca goes to rest whenever its identity changes, and would wait for a message to wake up.
    pub(crate) fn resume(&mut self) {
        self.shared.lock().own = self.own().clone();
        let result = self.foca.apply_many(std::iter::empty(), false, &mut self.wants);
        self.after(result);
    }

    /// Adapts to the number of members.
    pub(crate) fn resize(&mut self, options: &Options) {
        let members = self.active_others() + 1;
        if members != self.sized_for {
            self.sized_for = members;
            let result = self.foca.set_config(config(options, members));
            self.after(result);
        }
    }

    fn after(&mut self, result: Result<(), foca::Error>) -> bool {
        let mut shared = self.shared.lock();
        self.wants.touched.append(&mut shared.touched);
        match result {
            Ok(()) => true,
            // Foreign bytes; nothing happened or what was well-formed took effect.
            Err(
                foca::Error::Decode(_)
                | foca::Error::MalformedPacket
                | foca::Error::DataTooBig
                | foca::Error::DataFromOurselves
                | foca::Error::IndirectForOurselves
                | foca::Error::CustomBroadcast(_),
            ) => false,
            Err(
                foca::Error::NotUndead
                | foca::Error::SameIdentity
                | foca::Error::NotConnected
                | foca::Error::IncompleteProbeCycle
                | foca::Error::Encode(_)
                | foca::Error::InvalidConfig,
            ) => {
                self.errors += 1;
                false
            }
        }
    }
}

impl std::fmt::Debug for Swim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Swim").field("own", self.own()).field("others", &self.active_others()).finish()
    }
}

/// Foca's own settings. What it does not do here (joining, calling members that are down, comparing lists) is
/// done by the machine, which knows more than foca about when it is worth while.
fn config(options: &Options, members: usize) -> Config {
    let at_least_one = |count: usize| NonZeroUsize::new(count).unwrap_or(NonZeroUsize::MIN);
    // Four times the logarithm is what memberlist and foca use; below it news dies out before all have it.
    let transmissions = 2 + (4.0 * ((members + 1) as f64).log10()).ceil() as u8;
    Config {
        probe_period: options.probe_period,
        probe_rtt: options.probe_timeout,
        num_indirect_probes: at_least_one(options.indirect_probes),
        max_transmissions: NonZeroU8::new(transmissions).unwrap_or(NonZeroU8::MIN),
        // The machine decides when a suspicion ends; this is only foca's wish.
        suspect_to_down_after: options.suspicion,
        // The machine decides when a member is forgotten, so that a flapping one does not leave a timer each time.
        remove_down_after: None,
        max_packet_size: at_least_one(PACKET_BYTES_MAX),
        notify_down_members: true,
        periodic_announce: None,
        periodic_announce_to_down_members: None,
        periodic_gossip: Some(PeriodicParams {
            frequency: options.gossip_period,
            num_members: at_least_one(options.gossip_fanout),
        }),
    }
}

/// Whether a member takes part in the cluster.
pub(crate) const fn is_active(state: State) -> bool {
    matches!(state, State::Alive | State::Suspect)
}

//! What a member that lies may say: for the simulator, whose nodes have to survive it.

use foca::State;
use gritmesh_runtime::{NodeId, NodeInfo, Rng};

use crate::identity::Identity;
use crate::message::{Member, Message};

/// Members that one lie makes up, at most.
const MADE_UP_MAX: u64 = 40;

/// A message of an admitted member in which nothing is true, about these nodes and some that do not exist.
#[doc(hidden)]
pub fn lie(rng: &mut Rng, about: &[NodeInfo]) -> Vec<u8> {
    let Some(victim) = about.get(rng.below(about.len() as u64) as usize) else { return Vec::new() };
    let members = match rng.below(7) {
        0 => {
            (0..=rng.below(MADE_UP_MAX)).map(|_| Member::alive(Identity::new(made_up(rng, victim)))).collect()
        }
        1 => vec![Member::alive(Identity::new(later(rng, victim)))],
        2 => vec![Member::down(Identity::new(victim.clone()))],
        3 => vec![Member::down(Identity::new(victim.clone()).leaving())],
        4 => vec![Member::new(Identity::new(victim.clone()), u16::MAX, State::Suspect)],
        5 => Identity::new(victim.clone())
            .changed(NodeInfo { weight: 0, ..made_up_address(rng, victim) })
            .map(Member::alive)
            .into_iter()
            .collect(),
        _ => Identity::new(NodeInfo { weight: 0, ..victim.clone() })
            .beyond(u32::MAX - 1 - rng.below(u64::from(u32::MAX)) as u32)
            .map(Member::alive)
            .into_iter()
            .collect(),
    };
    match rng.chance(0.5) {
        true => Message::Verdict { members }.encode(),
        false => Message::Members { members, last: true }.encode(),
    }
}

fn made_up(rng: &mut Rng, like: &NodeInfo) -> NodeInfo {
    let mut id = [0; 32];
    rng.fill(&mut id);
    NodeInfo { node_id: NodeId(id), name: "ghost".into(), ..made_up_address(rng, like) }
}

fn made_up_address(rng: &mut Rng, like: &NodeInfo) -> NodeInfo {
    let mut info = like.clone();
    info.peer_address.set_ip([10, 99, rng.below(256) as u8, rng.below(256) as u8].into());
    info
}

fn later(rng: &mut Rng, like: &NodeInfo) -> NodeInfo {
    let mut info = if rng.chance(0.5) { made_up_address(rng, like) } else { like.clone() };
    let starts = [1, 7, 1 << 40, u64::MAX][rng.below(4) as usize];
    info.incarnation.0 = info.incarnation.0.saturating_add(starts);
    info
}

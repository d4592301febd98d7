//! What every network must do, whatever it is made of: one suite, held against libp2p on real sockets and against
//! the simulator's network. What the simulator shows about a node is worth as much as the two agree.
//!
//! The contract itself stands in `gritmesh_runtime::Network`. Nothing here waits for a length of time; everything
//! waits for an event.

mod admission;
mod delivery;
mod dialling;
mod loss;
mod simulated;
mod sockets;
mod steps;
mod subject;

use simulated::SimulatedNetwork;
use sockets::SocketNetwork;

/// Worlds in which the simulated network is held to the suite. Each draws its own latencies.
const SEEDS: u64 = 25;

macro_rules! conforms {
    ($($part:ident: $($name:ident),+;)+) => {
        mod on_sockets {
            $($(#[test]
            fn $name() {
                super::$part::$name(&mut super::SocketNetwork::default());
            })+)+
        }
        mod in_simulation {
            $($(#[test]
            fn $name() {
                (0..super::SEEDS).for_each(|seed| super::$part::$name(&mut super::SimulatedNetwork::new(seed)));
            })+)+
        }
    };
}

conforms! {
    admission:
        admits_whoever_dials,
        admits_a_joiner_without_a_cluster,
        refuses_another_secret,
        refuses_another_cluster,
        refuses_another_wire_version,
        refuses_a_copied_identity,
        readmits_a_restarted_peer,
        introduces_itself_as_it_is_by_then;
    delivery:
        carries_all_classes_in_order,
        batches_what_is_sent_together,
        carries_the_largest_frame_and_no_larger,
        answers_an_unknown_peer,
        connects_on_demand,
        a_full_queue_says_so_and_recovers;
    dialling:
        settles_simultaneous_dials,
        has_nothing_to_tell_of_a_dial_to_a_connected_peer,
        names_why_a_dial_failed;
    loss:
        reports_a_killed_peer,
        says_goodbye,
        forgets,
        fails_what_cannot_be_delivered,
        fails_what_is_meant_for_a_peer_that_refuses,
        gives_nothing_to_whoever_else_answers,
        reconnects_on_demand;
}

/// Timing decides how far each side has come when the other's connection arrives, so this is tried often.
#[test]
fn sockets_settle_simultaneous_dials_every_time() {
    for _ in 0..20 {
        dialling::settles_simultaneous_dials(&mut SocketNetwork::default());
    }
}

/// What a socket and its window hold is little, so most of a full queue is known not to have been sent.
#[test]
fn most_of_a_full_queue_is_known_to_be_unsent() {
    for (size, kill_after) in [(50_000, 10), (1_000_000, 0), (1_000_000, 2)] {
        let body = vec![7; size];
        assert!(loss::kill_while_sending(&mut SocketNetwork::default(), &body, kill_after) > 0);
        assert!(loss::kill_while_sending(&mut SimulatedNetwork::new(1), &body, kill_after) > 0);
    }
}

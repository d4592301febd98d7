//! Who may be a peer.

use gritmesh_runtime::TrafficClass::Calls;
use gritmesh_runtime::admission::{Hello, Refusal, Secret};
use gritmesh_runtime::{ClusterId, DialError, NodeInfo, WIRE_VERSION};

use super::steps::{connect, hello, receive, send, two};
use super::subject::{Event, Setup, TestNetwork};

pub(super) fn admits_whoever_dials(net: &mut dyn TestNetwork) {
    let ((a, b), c) = (two(net), net.spawn(Setup::default()));
    connect(net, a, b);
    connect(net, c, a);
    connect(net, b, c);
}

pub(super) fn admits_a_joiner_without_a_cluster(net: &mut dyn TestNetwork) {
    let member = net.spawn(Setup { cluster: Some(ClusterId([1; 16])), ..Setup::default() });
    let joiner = net.spawn(Setup::default());
    connect(net, joiner, member);
}

/// Lets the first dial the second. Both hear of the refusal, with the reason of one of them. Returns who refused.
fn refuses(net: &mut dyn TestNetwork, setups: [Setup; 2], expected: impl Fn(&Refusal) -> bool) -> [bool; 2] {
    let [a, b] = setups.map(|setup| net.spawn(setup));
    let dialled = net.info(b).peer_address.to_string();
    net.network(a).dial(&dialled);
    let seen = [(a, b), (b, a)].map(|(endpoint, other)| match net.next_event(endpoint) {
        Event::Refused { address, peer, by_us, refusal } => {
            assert_eq!(peer, Some(net.info(other).node_id));
            assert_eq!(address, Some(dialled.clone()).filter(|_| endpoint == a));
            assert!(expected(&refusal), "{refusal:?}");
            by_us
        }
        event => panic!("expected a refusal, got {event:?}"),
    });
    assert!(seen[0] || seen[1], "somebody refuses, or both do");
    seen
}

pub(super) fn refuses_another_secret(net: &mut dyn TestNetwork) {
    let setups = [Setup::default(), Setup { secret: Secret::from_text("other"), ..Setup::default() }];
    refuses(net, setups, |refusal| *refusal == Refusal::WrongSecret);
}

pub(super) fn refuses_another_cluster(net: &mut dyn TestNetwork) {
    let setups = [1, 2].map(|byte| Setup { cluster: Some(ClusterId([byte; 16])), ..Setup::default() });
    refuses(net, setups, |refusal| matches!(refusal, Refusal::OtherCluster { .. }));
}

pub(super) fn refuses_another_wire_version(net: &mut dyn TestNetwork) {
    let (old, new) = (WIRE_VERSION, WIRE_VERSION + 1);
    let newer = Setup { wire_version: new, ..Setup::default() };
    // Either side may be the first to see it.
    let is_version = |refusal: &Refusal| {
        [(old, new), (new, old)]
            .iter()
            .any(|(ours, theirs)| *refusal == Refusal::WireVersion { ours: *ours, theirs: *theirs })
    };
    refuses(net, [newer.clone(), Setup::default()], is_version);
    refuses(net, [Setup::default(), newer], is_version);
}

/// A copied data directory is noticed by the copy and by a third node; the original keeps its connections.
pub(super) fn refuses_a_copied_identity(net: &mut dyn TestNetwork) {
    let twin = Setup { identity: 1, ..Setup::default() };
    let (original, copy) = (net.spawn(twin.clone()), net.spawn(twin));
    let third = net.spawn(Setup::default());
    let address = net.info(original).peer_address;
    net.network(copy).dial(&address.to_string());
    assert_eq!(
        net.next_event(copy),
        Event::DialFailed(address.to_string(), DialError::DuplicateIdentity { address })
    );
    connect(net, original, third);
    let address = Some(net.info(third).peer_address.to_string());
    net.network(copy).dial(address.as_deref().expect("it was set above"));
    let refused = |address, peer, by_us| Event::Refused {
        address,
        peer: Some(peer),
        by_us,
        refusal: Refusal::DuplicateIdentity,
    };
    assert_eq!(net.next_event(copy), refused(address, net.info(third).node_id, false));
    assert_eq!(net.next_event(third), refused(None, net.info(copy).node_id, true));
    send(net, third, original, 1, b"still here");
    assert_eq!(receive(net, original, Calls, 1), [b"still here"]);
}

/// A process that comes back under the same key takes the place of its dead predecessor.
pub(super) fn readmits_a_restarted_peer(net: &mut dyn TestNetwork) {
    let setup = Setup { identity: 2, ..Setup::default() };
    let (before, other) = (net.spawn(setup.clone()), net.spawn(Setup::default()));
    connect(net, before, other);
    net.kill(before);
    let after = net.spawn(setup);
    net.network(after).dial(&net.info(other).peer_address.to_string());
    assert!(matches!(net.next_event(after), Event::Connected(_)));
    assert!(matches!(net.next_event(other), Event::Lost(..)));
    assert_eq!(net.next_event(other), Event::Connected(hello(net, after)));
    send(net, other, after, 1, b"welcome back");
    assert_eq!(receive(net, after, Calls, 1), [b"welcome back"]);
}

/// A changed hello is what the next peer hears; those that are connected keep the one they heard.
pub(super) fn introduces_itself_as_it_is_by_then(net: &mut dyn TestNetwork) {
    let ((a, b), c) = (two(net), net.spawn(Setup::default()));
    connect(net, a, b);
    let info = NodeInfo { name: "renamed".into(), ..net.info(a) };
    let (cluster, types) = (Some(ClusterId([7; 16])), vec!["echo".into()]);
    let renamed = Hello { cluster, types, ..Hello::new(info) };
    net.network(a).set_hello(renamed.clone());
    net.network(c).dial(&net.info(a).peer_address.to_string());
    assert_eq!(net.next_event(c), Event::Connected(renamed));
    assert_eq!(net.next_event(a), Event::Connected(hello(net, c)));
    send(net, a, b, 1, b"x");
    assert_eq!(receive(net, b, Calls, 1), [b"x"]);
}

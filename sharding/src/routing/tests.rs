use gritmesh_runtime::Epoch;
use proptest::prelude::*;

use super::*;
use crate::table::Descriptor;

const VERSION: Version = Version { term: 7, epoch: Epoch(5) };

fn node(byte: u8) -> NodeId {
    NodeId([byte; 32])
}

fn host(byte: u8, types: &[&str]) -> Host {
    let types = types.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    Host { node: node(byte), weight: 1, alive: true, types: Some(types.into()) }
}

fn unknown(byte: u8) -> Host {
    Host { types: None, ..host(byte, &[]) }
}

/// Four shards, led by nodes 1, 2, 3 and by nobody.
fn routing(hosts: impl IntoIterator<Item = Host>) -> Routing {
    let mut table = ShardTable::initial(4).unwrap();
    for shard in 0..3 {
        table.adopt(Descriptor::led_by(ShardId(shard), VERSION, node(shard as u8 + 1)));
    }
    Routing::new(&table, Arc::new(Hosting::new(hosts)))
}

fn token(shard: u64) -> Token {
    Token((shard << 62) + 77)
}

fn to(byte: u8, shard: u32) -> Route {
    let version = if shard == 3 { Version::ZERO } else { VERSION };
    Route::Node { node: node(byte), shard: ShardId(shard), version }
}

#[test]
fn a_leader_that_hosts_the_type_is_called() {
    let routing = routing([host(1, &["a", "b"]), host(2, &["b", "a"]), host(3, &["a", "b"])]);
    for shard in 0..3 {
        assert_eq!(routing.route(token(shard), "a"), to(shard as u8 + 1, shard as u32));
        assert_eq!(routing.route(token(shard), "b"), to(shard as u8 + 1, shard as u32));
    }
    assert_eq!(routing.route(token(3), "a"), Route::NoLeader { shard: ShardId(3) });
    assert_eq!(routing.route(token(0), "c"), Route::Unhosted { actor_type: "c".into() });
    assert_eq!(routing.route(token(3), ""), Route::Unhosted { actor_type: "".into() });
}

#[test]
fn a_dead_leader_is_no_leader() {
    let dead = Host { alive: false, ..host(1, &["a"]) };
    let routing = routing([dead, host(2, &["a"]), host(3, &["a"])]);
    assert_eq!(routing.route(token(0), "a"), Route::NoLeader { shard: ShardId(0) });
    assert_eq!(routing.hosts_of("a"), [node(2), node(3)]);
}

#[test]
fn a_type_that_few_host_goes_to_the_first_of_them_in_ring_order() {
    let hosts =
        [host(1, &["a"]), host(2, &["a", "b"]), host(3, &["a"]), host(4, &["b"]), host(5, &["a", "b"])];
    let routing = routing(hosts.clone());
    let all = Ring::new(hosts.map(|host| RingMember { node: host.node, weight: 1, zone: String::new() }));
    let hosting = [node(2), node(4), node(5)];
    assert_eq!(routing.hosts_of("b"), hosting);
    assert_eq!(routing.route(token(1), "b"), to(2, 1));
    for step in 0..100u64 {
        let token = Token(step * 1_234_567_890_123);
        let first = all.order(token).find(|node| hosting.contains(node)).unwrap();
        assert_eq!(routing.route(token, "b"), to(first.0[0], 0));
        assert_eq!(routing.route(token, "a"), to(1, 0));
    }
    assert_eq!(routing.route(token(3), "b"), Route::NoLeader { shard: ShardId(3) });
}

#[test]
fn an_unknown_leader_is_believed_to_host_everything() {
    let routing = routing([unknown(1), host(2, &["a"]), host(3, &["a"]), host(4, &["b"])]);
    assert_eq!(routing.route(token(0), "a"), to(1, 0));
    assert_eq!(routing.route(token(0), "never heard of"), to(1, 0));
    // In another leader's place it is only called where nobody else is known to host the type.
    assert_eq!(routing.route(token(1), "b"), to(4, 1));
    assert_eq!(routing.route(token(1), "never heard of"), to(1, 1));
    assert_eq!(routing.hosts_of("never heard of"), []);
    assert_eq!(routing.hosts_of("a"), [node(2), node(3)]);
}

#[test]
fn draining_hosts_are_used_where_there_are_no_others() {
    let draining = |byte| Host { weight: 0, ..host(byte, &["a", "b"]) };
    let only = routing([host(1, &["a"]), host(2, &["a"]), draining(4)]);
    assert_eq!(only.route(token(0), "b"), to(4, 0));
    let other = routing([host(1, &["a"]), host(2, &["a"]), draining(4), host(5, &["b"])]);
    assert!((0..50).all(|step| other.route(Token(step << 56), "b") == to(5, 0)));
}

/// A node's types, if they are known.
fn types() -> impl Strategy<Value = Option<Vec<String>>> {
    prop::option::of(prop::collection::vec("[abc]", 0..3))
}

proptest! {
    #[test]
    fn routes_agree_with_the_plain_definition(
        lists in prop::collection::vec((any::<bool>(), types()), 0..7),
        step in any::<u64>(),
        wanted in "[abcd]",
    ) {
        let hosts: Vec<Host> = lists
            .iter()
            .zip(1u8..)
            .map(|((alive, types), byte)| Host {
                node: node(byte),
                weight: 1,
                alive: *alive,
                types: types.clone().map(Into::into),
            })
            .collect();
        let routing = routing(hosts.clone());
        let shard = (step >> 62) as u8;
        let living = || hosts.iter().filter(|host| host.alive);
        let knows = |host: &&Host| host.types.as_ref().is_some_and(|types| types.contains(&wanted));
        let known: Vec<NodeId> = living().filter(knows).map(|host| host.node).collect();
        prop_assert_eq!(&routing.hosts_of(&wanted), &known);
        let maybe: Vec<NodeId> = match known.is_empty() {
            true => living().filter(|host| host.types.is_none()).map(|host| host.node).collect(),
            false => known,
        };
        let leader = living().find(|host| shard < 3 && host.node == node(shard + 1));
        match routing.route(Token(step), &wanted) {
            Route::Unhosted { .. } => prop_assert!(maybe.is_empty()),
            Route::NoLeader { .. } => prop_assert!(leader.is_none() && !maybe.is_empty()),
            Route::Node { node, .. } => match leader {
                Some(host) if host.types.is_none() || knows(&host) => prop_assert_eq!(node, host.node),
                Some(_) => prop_assert!(maybe.contains(&node)),
                None => prop_assert!(false, "routed without a leader"),
            },
        }
    }
}

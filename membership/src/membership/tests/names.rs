//! One name for all nodes.

use std::net::SocketAddr;

use super::*;

/// Node `number`, whose only seed is a name.
fn named(number: u16, expect: usize) -> Bench {
    let options = Options { expect, ..Options::default() };
    let start = Start {
        info: info(number),
        types: Vec::new(),
        cluster: None,
        seeds: vec!["gm:7946".into()],
        own_addresses: vec![address(number)],
    };
    let machine = Membership::new(Instant::ZERO, Seed::from_number(1).rng(), options, start).unwrap();
    Bench { machine, now: Instant::ZERO }
}

fn founds(effects: &[Effect]) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::PersistCluster { founded: true, .. }))
}

/// Runs, and lets the name show these whenever it is asked.
fn run(bench: &mut Bench, duration: Duration, shows: &[u16]) -> Vec<Effect> {
    let addresses: Vec<SocketAddr> = shows.iter().map(|number| info(*number).peer_address).collect();
    let end = bench.now + duration;
    let mut effects = Vec::new();
    while bench.now < end {
        let fresh = bench.run(millis(50));
        let asks = dialled(&fresh).contains(&"gm:7946");
        effects.extend(fresh);
        if asks {
            effects.extend(bench.handle(Event::Resolved { name: "gm:7946", addresses: &addresses }));
        }
    }
    effects
}

fn answer(bench: &mut Bench, number: u16, cluster: Option<ClusterId>) -> Vec<Effect> {
    let member = SwimMember::alive(Identity::new(info(number)));
    bench.receive(number, &Message::Introduce { cluster, asks: false, member })
}

#[test]
fn all_addresses_are_called_and_none_founds_before_all_have_answered() {
    let mut bench = named(1, 0);
    let effects = run(&mut bench, Duration::from_secs(5), &[2, 1, 3]);
    assert!(
        dialled(&effects).contains(&address(2).as_str()) && dialled(&effects).contains(&address(3).as_str())
    );
    assert!(!dialled(&effects).contains(&address(1).as_str()));
    bench.handle(Event::Connected(&hello(2, None)));
    assert!(!founds(&run(&mut bench, Duration::from_secs(60), &[2, 1, 3])), "one has not answered");
    assert!(!founds(&bench.handle(Event::DialFailed { address: &address(3) })));
    bench.handle(Event::Connected(&hello(3, None)));
    answer(&mut bench, 2, None);
    assert!(founds(&run(&mut bench, Duration::from_secs(1), &[2, 1, 3])));
}

#[test]
fn only_the_lowest_founds() {
    let mut bench = named(2, 0);
    bench.handle(Event::Connected(&hello(1, None)));
    bench.handle(Event::Connected(&hello(3, None)));
    assert!(!founds(&run(&mut bench, Duration::from_secs(60), &[3, 2, 1])));
    let effects = answer(&mut bench, 1, Some(CLUSTER));
    assert!(effects.contains(&Effect::PersistCluster { cluster: CLUSTER, founded: false }));
}

#[test]
fn a_node_that_meets_itself_behind_a_name_does_not_own_it() {
    let mut bench = named(1, 0);
    run(&mut bench, Duration::from_secs(1), &[1, 2]);
    for own in ["gm:7946", &address(1)] {
        assert!(!founds(&bench.handle(Event::OwnAddress { address: own })));
    }
    assert!(!founds(&run(&mut bench, Duration::from_secs(60), &[1, 2])));
}

#[test]
fn a_name_that_comes_late_or_shows_more_later_is_waited_for() {
    let mut bench = named(1, 0);
    for _ in 0..20 {
        assert!(!founds(&bench.run(millis(500))));
        bench.handle(Event::DialFailed { address: "gm:7946" });
    }
    assert!(!founds(&run(&mut bench, Duration::from_secs(2), &[1])));
    assert!(!founds(&run(&mut bench, Duration::from_secs(20), &[1, 2])), "another one was shown in time");
    assert!(founds(&run(&mut bench, Duration::from_secs(9), &[1])), "it is shown no more");
}

#[test]
fn as_many_as_expected_have_to_be_shown() {
    let mut bench = named(1, 2);
    assert!(!founds(&run(&mut bench, Duration::from_secs(60), &[1])));
    bench.handle(Event::Connected(&hello(2, None)));
    let mut effects = run(&mut bench, Duration::from_secs(3), &[1, 2]);
    answer(&mut bench, 2, None);
    assert!(!founds(&effects), "it has to settle");
    effects.extend(run(&mut bench, Duration::from_millis(1900), &[1, 2]));
    assert!(founds(&effects));
}

#[test]
fn what_one_said_before_the_name_had_settled_is_asked_again() {
    let mut bench = named(1, 0);
    bench.handle(Event::Connected(&hello(2, None)));
    bench.now += millis(10);
    let effects = run(&mut bench, Duration::from_secs(10), &[1, 2]);
    assert!(!founds(&effects), "an old answer");
    let asks = |(to, message): &(NodeId, Message<'_>)| {
        *to == info(2).node_id && matches!(message, Message::Introduce { asks: true, .. })
    };
    assert!(sent(&effects).iter().any(asks));
    answer(&mut bench, 2, None);
    assert!(founds(&run(&mut bench, Duration::from_secs(1), &[1, 2])));
}

//! What one peer can claim of members, and what becomes of it.

use super::*;

fn alive(info: NodeInfo) -> SwimMember {
    SwimMember::alive(Identity::new(info))
}

fn later(number: u16) -> NodeInfo {
    let mut info = info(number);
    info.incarnation.0 += 1000;
    info.peer_address = "10.7.7.7:7".parse().unwrap();
    info
}

fn said(member: &SwimMember) -> [Message<'static>; 2] {
    [
        Message::Members { members: vec![member.clone()], last: true },
        Message::Verdict { members: vec![member.clone()] },
    ]
}

#[test]
fn a_later_start_of_a_member_that_is_connected_is_not_believed() {
    for message in said(&alive(later(3))) {
        let mut bench = Bench::member(3);
        bench.receive(2, &message);
        assert_eq!(bench.machine.view().members[&info(3).node_id].info, info(3));
    }
}

#[test]
fn a_later_start_of_a_suspect_is_not_believed_while_it_is_connected() {
    for message in said(&alive(later(3))) {
        let mut bench = Bench::member(3);
        let suspect = SwimMember::new(Identity::new(info(3)), u16::MAX, State::Suspect);
        bench.receive(2, &Message::Verdict { members: vec![suspect] });
        assert_eq!(bench.state(3), Some(MemberState::Unreachable));
        bench.receive(2, &message);
        assert_eq!(bench.machine.view().members[&info(3).node_id].info, info(3));
    }
}

#[test]
fn a_member_that_comes_counts_for_more_than_what_was_said_of_it() {
    for message in said(&alive(later(3))) {
        let mut bench = Bench::member(3);
        bench.handle(Event::Lost { peer: info(3).node_id, reason: LossReason::Unreachable });
        let effects = bench.receive(2, &message);
        assert_eq!(dialled(&effects), ["10.7.7.7:7"], "it may well have started again");
        assert_eq!(bench.machine.view().members[&info(3).node_id].info, later(3));
        bench.handle(Event::Connected(&hello(3, Some(CLUSTER))));
        let effects = bench.receive(3, &introduce(info(3)));
        assert!(!sent(&effects).iter().any(|(_, message)| matches!(message, Message::Verdict { .. })));
        assert_eq!(bench.machine.view().members[&info(3).node_id].info, info(3));
        assert_eq!(bench.state(3), Some(MemberState::Alive));
    }
}

#[test]
fn members_that_are_made_up_are_called_suspected_and_forgotten() {
    let mut bench = Bench::member(3);
    let members: Vec<SwimMember> = (100..343).map(|number| alive(info(number))).collect();
    let mut effects = bench.receive(2, &Message::Members { members, last: true });
    for _ in 0..20 {
        effects.extend(bench.run(millis(500)));
        [2, 3, 4].iter().for_each(|number| drop(bench.receive(*number, &introduce(info(*number)))));
    }
    assert!((100..343).all(|number| dialled(&effects).contains(&address(number).as_str())));
    let active = bench.machine.view().active().count();
    assert_eq!(active, 4, "nobody believes in them after ten seconds");
    for _ in 0..160 {
        bench.run(millis(500));
        [2, 3, 4].iter().for_each(|number| drop(bench.receive(*number, &introduce(info(*number)))));
    }
    assert_eq!(bench.machine.view().members.len(), 4, "and they are forgotten after a minute and a half");
}

#[test]
fn the_dead_that_nobody_knew_are_not_kept() {
    let mut bench = Bench::member(2);
    for message in said(&SwimMember::down(Identity::new(info(50)))) {
        bench.receive(2, &message);
    }
    assert_eq!(bench.machine.swim.members().count(), 2);
}

#[test]
fn that_a_connected_member_is_gone_is_believed_if_it_does_not_answer() {
    let left = Identity::new(info(3)).leaving();
    for claim in [SwimMember::down(Identity::new(info(3))), SwimMember::down(left)] {
        for answers in [true, false] {
            let mut bench = Bench::member(3);
            bench.run(millis(100));
            bench.receive(3, &Message::Digest(bench.machine.list_hash()));
            let effects = bench.receive(2, &Message::Verdict { members: vec![claim.clone()] });
            let asked = |(to, message): &(NodeId, Message<'_>)| {
                *to == info(3).node_id && matches!(message, Message::Introduce { asks: true, .. })
            };
            assert!(sent(&effects).iter().any(asked), "{effects:?}");
            assert_eq!(bench.state(3), Some(MemberState::Alive));
            bench.run(millis(100));
            if answers {
                bench.receive(3, &introduce(info(3)));
            }
            bench.run(millis(201));
            assert_eq!(bench.state(3) == Some(MemberState::Alive), answers, "{claim:?}");
        }
        let mut bench = Bench::member(3);
        bench.receive(2, &Message::Verdict { members: vec![claim] });
        bench.handle(Event::Lost { peer: info(3).node_id, reason: LossReason::Closed });
        assert_ne!(bench.state(3), Some(MemberState::Alive), "its connection has ended too");
    }
}

#[test]
fn what_is_made_up_about_this_node_is_surpassed() {
    let mut drained = info(1);
    drained.weight = 0;
    let claimed = Identity::new(info(1)).changed(drained).unwrap();
    for claim in [SwimMember::alive(claimed.clone()), SwimMember::down(claimed.leaving())] {
        for message in said(&claim) {
            let mut bench = Bench::member(3);
            bench.receive(2, &message);
            let own = bench.machine.swim.own();
            assert!(foca::Identity::win_addr_conflict(own, claim.id()), "{own:?} {claim:?}");
            assert_eq!((own.info().weight, bench.state(1)), (1, Some(MemberState::Alive)));
        }
    }
}

#[test]
fn no_word_leaves_a_member_without_a_greater_one() {
    let mut bench = Bench::member(3);
    let mut far = info(3);
    far.weight = 0;
    let far = Identity::new(far).beyond(u32::MAX - 1).unwrap();
    for message in said(&SwimMember::alive(far)) {
        bench.receive(2, &message);
    }
    assert_eq!(bench.machine.view().members[&info(3).node_id].info.weight, 1);
}

#[test]
fn a_member_counts_for_more_than_renewals_that_it_cannot_go_beyond() {
    let mut far = info(5);
    far.weight = 0;
    let far = Identity::new(far).beyond(u32::MAX / 2).unwrap();
    for message in said(&SwimMember::alive(far)) {
        let mut bench = Bench::member(3);
        bench.receive(2, &message);
        assert_eq!(
            bench.machine.view().members[&info(5).node_id].info.weight,
            0,
            "nothing else is known of it"
        );
        bench.handle(Event::Connected(&hello(5, Some(CLUSTER))));
        bench.receive(5, &introduce(info(5)));
        assert_eq!(bench.machine.view().members[&info(5).node_id].info, info(5));
        assert_eq!(bench.state(5), Some(MemberState::Alive));
    }
}

#[test]
fn a_member_hears_what_is_said_of_it() {
    let mut bench = Bench::member(3);
    let mut drained = info(3);
    drained.weight = 0;
    let drained = Identity::new(info(3)).changed(drained).unwrap();
    bench.receive(2, &Message::Verdict { members: vec![SwimMember::alive(drained.clone())] });
    bench.now += millis(500);
    let effects = bench.receive(3, &introduce(info(3)));
    let told = Message::Verdict { members: vec![SwimMember::alive(drained)] };
    assert!(sent(&effects).contains(&(info(3).node_id, told)), "{effects:?}");
}

#[test]
fn a_broadcast_of_any_version_does_not_stop_later_ones_for_ever() {
    let mut bench = Bench::member(2);
    let broadcast = |version| {
        let mut packet = Vec::new();
        packet.extend_from_slice(&swim::encode_broadcast(7, version, b"x"));
        packet
    };
    let mut handler = swim::Broadcasts(bench.machine.swim.shared().clone());
    let mut take = |bench: &mut Bench, version| {
        bench.machine.swim.shared().lock().now = bench.now;
        let from = Identity::new(info(2));
        foca::BroadcastHandler::receive_item(&mut handler, &broadcast(version), Some(&from))
            .unwrap()
            .is_some()
    };
    assert!(take(&mut bench, u64::MAX));
    assert!(!take(&mut bench, 5));
    bench.now += Duration::from_secs(31);
    assert!(take(&mut bench, 5));
}

#[test]
fn a_peer_that_lies_about_itself_can_come_back() {
    let mut far = info(3);
    far.weight = 0;
    for claim in [later(3), info(3)].map(Identity::new).into_iter().chain(Identity::new(far).beyond(1 << 30))
    {
        let mut bench = Bench::member(3);
        let before = bench.machine.view().members[&info(3).node_id].info.clone();
        for message in said(&SwimMember::alive(claim.clone())) {
            bench.receive(3, &message);
        }
        // Of two accounts of one start the same one is believed everywhere, whichever that is: so it tells the truth here.
        let told = if claim.info().incarnation == before.incarnation { &before } else { claim.info() };
        bench.receive(3, &introduce(told.clone()));
        assert_eq!(bench.machine.view().members[&info(3).node_id].info, before, "{claim:?}");
    }
}

#[test]
fn who_has_spoken_for_itself_is_not_replaced_by_what_was_suspected_before() {
    for silent in [200, 600, 1_000, 1_400] {
        let mut bench = Bench::member(3);
        bench.handle(Event::Lost { peer: info(3).node_id, reason: LossReason::Unreachable });
        bench.receive(2, &Message::Verdict { members: vec![alive(later(3))] });
        bench.run(millis(silent));
        assert_eq!(bench.machine.view().members[&info(3).node_id].info, later(3), "probes of it have failed");
        bench.handle(Event::Connected(&hello(3, Some(CLUSTER))));
        for _ in 0..100 {
            [2, 3, 4].iter().for_each(|number| drop(bench.receive(*number, &introduce(info(*number)))));
            assert_eq!(bench.machine.view().members[&info(3).node_id].info, info(3), "after {silent} ms");
            bench.run(millis(100));
        }
    }
}

#[test]
fn a_member_whose_answers_others_pass_on_is_not_down() {
    for passed_on in [true, false] {
        let mut bench = Bench::member(3);
        bench.handle(Event::Lost { peer: info(3).node_id, reason: LossReason::Unreachable });
        for _ in 0..20 {
            if passed_on {
                let answer = (info(3).node_id, Some(info(2).node_id));
                bench.machine.swim.shared().lock().answers.push(answer);
            }
            [2, 4].iter().for_each(|number| drop(bench.receive(*number, &introduce(info(*number)))));
            bench.run(millis(500));
        }
        assert_eq!(bench.state(3) != Some(MemberState::Down), passed_on);
    }
}

//! The figures that need no clock, at a size that every test run can bear. The bench program goes further.

use std::time::Duration;

use gritmesh_sim::measure::{false_deaths, gossip, light_load};

#[test]
fn ten_minutes_of_stalls_kill_nobody_else() {
    let deaths = false_deaths(1, Duration::from_secs(600));
    println!("{deaths:?}");
    assert!(deaths.stalls > 60);
    assert_eq!(deaths.healthy, 0);
}

#[test]
fn gossip_does_not_grow_with_the_cluster() {
    let [few, many] = [10, 40].map(|nodes| gossip(nodes, Duration::from_secs(30)));
    println!("10 nodes {few:?}, 40 nodes {many:?}");
    assert!(many.bytes_per_node_second <= few.bytes_per_node_second * 1.5, "{few:?} {many:?}");
}

#[test]
fn a_light_load_runs_through() {
    let passed = light_load(1, Duration::from_secs(10));
    assert!(passed >= Duration::from_secs(10) && passed < Duration::from_secs(20), "{passed:?}");
}

//! What an operator reads in the log of a node when the others are gone.

use crate::process::Cluster;

#[test]
fn the_log_tells_that_a_majority_is_lost_and_that_it_is_regained() {
    let mut cluster = Cluster::start(3);
    for node in &mut cluster.nodes {
        let log = node.process().stderr();
        for outage in ["no majority", "a member is down", "not ready any more", "nobody serves"] {
            assert!(!log.contains(outage), "a healthy cluster is silent: {log}");
        }
    }
    cluster.nodes[1].kill();
    cluster.nodes[2].kill();
    let survivor = cluster.nodes[0].process();
    let down = survivor.logs("a member is down");
    assert!(
        down.contains("WARN") && down.contains("name=\"node-") && down.contains("state=\"down\""),
        "{down}"
    );
    let lost = survivor.logs("no majority of the replicas");
    assert!(lost.contains("ERROR") && lost.contains("of=64"), "{lost}");
    let unready = survivor.logs("not ready any more");
    assert!(unready.contains("WARN") && unready.contains("waits_for="), "{unready}");
    cluster.nodes[1].start();
    cluster.nodes[2].start();
    let survivor = cluster.nodes[0].process();
    let back = survivor.logs("a member that was down is up again");
    assert!(back.contains("WARN") && back.contains("state=\"alive\""), "{back}");
    let regained = survivor.logs("have a majority of their replicas again");
    assert!(regained.contains("WARN") && regained.contains("of=64"), "{regained}");
    let again = survivor.logs("ready again");
    assert!(again.contains("WARN") && again.contains("lasted_s="), "{again}");
    cluster.until_whole();
}

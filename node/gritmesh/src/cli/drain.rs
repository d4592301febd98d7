//! `node drain`, `node undrain`, `node forget`: orders about one node.
//!
//! Any node is asked, and passes the order on by the peers to the node that it names: an HTTP address does not say who
//! answers there.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use gritmesh_core::{ClusterStatus, NodeReport, NodeStatus};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::arguments::{DrainArguments, TargetArguments};
use super::cluster::{is_up, read};
use super::output::{Failed, Output};
use super::printable::one_row;
use crate::ask::{Ask, Refusal};

/// How often the node is asked how far it is.
const PROGRESS_PERIOD: Duration = Duration::from_millis(200);

/// How often that is said where there is no terminal to draw on.
const SAID_PERIOD: Duration = Duration::from_secs(5);

/// How often in a row the node may say that it has no heir before that is believed.
const ALONE_MAX: u32 = 15;

pub(super) fn drain(arguments: &DrainArguments, output: &Output) -> Result<(), Failed> {
    let ask = arguments.asking.ask()?;
    let (_, status) = read::<ClusterStatus>(&ask, "/v1/cluster")?;
    let member = find(&status.members, &arguments.target, is_up)?;
    let order = json!({ "node": member.node_id, "force": arguments.force });
    let answer = ask.post("/v1/node/drain", &order)?;
    if arguments.wait {
        Waiting { ask: &ask, member, output, forced: arguments.force }.until_drained(arguments.timeout)?;
    }
    let name = one_row(&member.name);
    match (output.is_json(), arguments.wait) {
        (true, _) => output.json(&answer),
        (false, true) => output.line(&format!("{name} has handed over everything and can be stopped")),
        (false, false) => output.line(&format!(
            "{name} hands over {} that it leads, and its replicas",
            count(member.shards, "shard")
        )),
    }
    Ok(())
}

pub(super) fn undrain(arguments: &TargetArguments, output: &Output) -> Result<(), Failed> {
    let (name, answer) = order(arguments, "undrain", is_up)?;
    match output.is_json() {
        true => output.json(&answer),
        false => output.line(&format!("{name} takes part again")),
    }
    Ok(())
}

pub(super) fn forget(arguments: &TargetArguments, output: &Output) -> Result<(), Failed> {
    let (name, answer) = order(arguments, "forget", |member| !is_up(member))?;
    if output.is_json() {
        output.json(&answer);
        return Ok(());
    }
    output.line(&format!("{name} is forgotten"));
    let unreached = answer["unreached"].as_array().map(Vec::as_slice).unwrap_or_default();
    let unreached: Vec<&str> = unreached.iter().filter_map(Value::as_str).collect();
    if !unreached.is_empty() {
        output.note(&format!("these did not answer and may still show it: {}", unreached.join(", ")));
    }
    Ok(())
}

/// Gives an order about one node, and returns the node's name.
fn order(
    arguments: &TargetArguments,
    verb: &str,
    fits: fn(&NodeStatus) -> bool,
) -> Result<(String, Value), Failed> {
    let ask = arguments.asking.ask()?;
    let (_, status) = read::<ClusterStatus>(&ask, "/v1/cluster")?;
    let member = find(&status.members, &arguments.target, fits)?;
    let answer = ask.post(&format!("/v1/node/{verb}"), &json!({ "node": member.node_id }))?;
    Ok((one_row(&member.name), answer))
}

/// The node of that name, or whose id begins so. Of two that have one name, the one is meant that the order makes sense
/// for. If it makes sense for none of that name, the node that is asked says why.
fn find<'a>(
    members: &'a [NodeStatus],
    target: &str,
    fits: fn(&NodeStatus) -> bool,
) -> Result<&'a NodeStatus, Failed> {
    let fitting: Vec<&NodeStatus> = members.iter().filter(|member| fits(member)).collect();
    let found = Some(named(&fitting, target)).filter(|found| !found.is_empty());
    let found = found.unwrap_or_else(|| named(&members.iter().collect::<Vec<_>>(), target));
    match found.as_slice() {
        [member] => Ok(member),
        [] => {
            let names: BTreeSet<&str> = members.iter().map(|member| member.name.as_str()).collect();
            let names = names.into_iter().collect::<Vec<_>>().join(", ");
            let detail = format!("no node is called `{target}`, and no id begins so; there are {names}");
            Err(Refusal::new("unknown_node", detail).into())
        }
        several => {
            let ids: Vec<&str> =
                several.iter().map(|member| &member.node_id[..8.min(member.node_id.len())]).collect();
            Err(Failed::Unusable(format!("`{target}` may be any of {}; give the id", ids.join(", "))))
        }
    }
}

fn named<'a>(members: &[&'a NodeStatus], target: &str) -> Vec<&'a NodeStatus> {
    let all = || members.iter().copied();
    let found: Vec<&NodeStatus> = all().filter(|member| member.name == target).collect();
    if found.is_empty() { all().filter(|member| member.node_id.starts_with(target)).collect() } else { found }
}

/// Somebody who waits for a drain.
struct Waiting<'a> {
    ask: &'a Ask,
    member: &'a NodeStatus,
    output: &'a Output,
    /// Whether it was said that nobody need be there to take over.
    forced: bool,
}

impl Waiting<'_> {
    /// Waits until the node keeps no shard any more, by its own word.
    fn until_drained(&self, timeout: Option<Duration>) -> Result<(), Refusal> {
        let path = format!("/v1/node?node={}", self.member.node_id);
        let begun = Instant::now();
        let mut progress = Progress::new(self.output);
        let mut alone = 0;
        loop {
            let (_, report) = read::<NodeReport>(self.ask, &path)?;
            progress.show(&report);
            // A node that is slow for a moment is not gone.
            alone = if report.heirs == 0 { alone + 1 } else { 0 };
            let is_over = timeout.is_some_and(|timeout| begun.elapsed() >= timeout);
            // Who gave a time waits so long for somebody to come.
            let is_forced = self.forced && timeout.is_some();
            match end(&report, alone > ALONE_MAX, is_forced, is_over) {
                Some(end) => return end,
                None => std::thread::sleep(PROGRESS_PERIOD),
            }
        }
    }
}

/// How the waiting ends, if it does by now.
fn end(report: &NodeReport, is_alone: bool, is_forced: bool, is_over: bool) -> Option<Result<(), Refusal>> {
    let (name, has) = (&report.name, has(report));
    let refusal = if report.drained {
        return Some(Ok(()));
    } else if !is_forced && (is_alone || (!report.draining && report.heirs == 0)) {
        let goes_on = if report.draining { "waits for one" } else { "takes part again" };
        let detail = format!("no other node can take over from {name}, which {has}: it {goes_on}");
        Refusal::new("last_node", detail)
    } else if !report.draining {
        let detail = format!("{name} takes part again, and {has}");
        Refusal::new("called_off", detail)
    } else if is_over {
        let detail = format!("{name} still {has}, and goes on handing over");
        Refusal::retryable("not_drained", detail)
    } else {
        return None;
    };
    Some(Err(refusal))
}

/// What a node has left to hand over.
fn has(report: &NodeReport) -> String {
    let (led, replicas) =
        (count(report.shards_led as usize, "shard"), count(report.replicas as usize, "replica"));
    format!("leads {led} and holds {replicas}")
}

/// What is left, and what that waits for.
fn progress(report: &NodeReport) -> String {
    let waits_for = match report {
        NodeReport { heirs: 0, .. } => "there is a node that can take over",
        NodeReport { shards_led: 0, .. } => "other nodes hold replicas in their place",
        _ => "other nodes lead those shards, and hold replicas in place of its own",
    };
    format!("{} still {}: waits until {waits_for}", one_row(&report.name), has(report))
}

fn count(many: usize, what: &str) -> String {
    let plural = if many == 1 { "" } else { "s" };
    format!("{many} {what}{plural}")
}

/// How far it is: drawn in one place on a terminal, and said now and then elsewhere.
struct Progress<'a> {
    bar: ProgressBar,
    said: Option<Instant>,
    output: &'a Output,
}

impl<'a> Progress<'a> {
    fn new(output: &'a Output) -> Self {
        let bar = ProgressBar::new(0);
        let form = "{bar:40} {pos} of {len} replicas handed over, {msg} still led, {elapsed}";
        bar.set_style(ProgressStyle::with_template(form).expect("the form of the bar is valid"));
        Self { bar, said: None, output }
    }

    fn show(&mut self, report: &NodeReport) {
        let (kept, led) = (u64::from(report.replicas), report.shards_led);
        let all = self.bar.length().unwrap_or_default().max(kept);
        self.bar.set_length(all);
        self.bar.set_position(all - kept);
        self.bar.set_message(count(led as usize, "shard"));
        let is_time = self.said.is_none_or(|said| said.elapsed() >= SAID_PERIOD);
        if self.bar.is_hidden() && !report.drained && is_time {
            self.output.note(&progress(report));
            self.said = Some(Instant::now());
        }
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(draining: bool, drained: bool, heirs: u32) -> NodeReport {
        let (node_id, name) = ("3f9a".to_owned(), "node-1".to_owned());
        let readiness = gritmesh_core::Readiness::default();
        NodeReport {
            node_id,
            name,
            readiness,
            draining,
            drained,
            heirs,
            shards_led: 2,
            replicas: 5,
            actors: 0,
        }
    }

    fn member(name: &str, node_id: &str, state: &str) -> NodeStatus {
        NodeStatus {
            node_id: node_id.to_owned(),
            name: name.to_owned(),
            state: state.to_owned(),
            incarnation: 1,
            peer_address: "127.0.0.1:7946".to_owned(),
            http_address: None,
            zone: String::new(),
            weight: 1,
            shards: 0,
            drain: None,
            types: None,
            this_node: false,
        }
    }

    #[test]
    fn a_node_that_is_not_there_is_refused_as_by_a_node_with_all_names_in_order() {
        let members =
            [member("c", "11aa", "alive"), member("a", "22aa", "down"), member("b", "33aa", "left")];
        let failed = find(&members, "node-9", is_up).unwrap_err();
        assert_eq!(failed.exit().code(), 1);
        let Failed::Refused(refusal, None) = failed else { panic!("{failed:?}") };
        assert_eq!(refusal.code(), "unknown_node");
        assert!(refusal.detail().ends_with("there are a, b, c"), "{refusal:?}");
    }

    #[test]
    fn a_node_is_found_by_its_name_or_its_id_and_first_among_those_that_the_order_fits() {
        let members =
            [member("a", "11aa", "down"), member("a", "22aa", "alive"), member("b", "22bb", "down")];
        let found = |target| find(&members, target, is_up).map(|member| member.node_id.as_str());
        assert_eq!(found("a").unwrap(), "22aa");
        assert_eq!(found("11").unwrap(), "11aa", "the node that is asked says that it is down");
        assert_eq!(found("b").unwrap(), "22bb");
        let several = find(&members[..2], "a", |_| true).unwrap_err();
        assert_eq!(several.exit().code(), 2, "{several:?}");
    }

    #[test]
    fn waiting_for_a_drain_ends_with_a_code_that_says_why() {
        for (report, is_alone, is_over, expected) in [
            (report(true, false, 2), false, false, None),
            (report(true, true, 0), true, true, Some((None, 0))),
            (report(true, false, 2), false, true, Some((Some("not_drained".to_owned()), 3))),
            (report(true, false, 0), false, false, None),
            (report(true, false, 0), true, false, Some((Some("last_node".to_owned()), 1))),
            (report(false, false, 0), false, false, Some((Some("last_node".to_owned()), 1))),
            (report(false, false, 1), false, true, Some((Some("called_off".to_owned()), 1))),
        ] {
            assert_eq!(ended(&report, is_alone, false, is_over), expected, "{report:?} {is_alone} {is_over}");
        }
    }

    #[test]
    fn what_is_left_is_told_in_shards_that_are_led_and_replicas_that_are_held() {
        let mut report = report(true, false, 2);
        let told = "node-1 still leads 2 shards and holds 5 replicas: waits until other nodes lead those shards, and \
                    hold replicas in place of its own";
        assert_eq!(progress(&report), told);
        (report.shards_led, report.replicas) = (0, 1);
        let told = "node-1 still leads 0 shards and holds 1 replica: waits until other nodes hold replicas in their place";
        assert_eq!(progress(&report), told);
        report.heirs = 0;
        assert!(progress(&report).ends_with("waits until there is a node that can take over"));
    }

    #[test]
    fn who_forces_a_drain_waits_for_somebody_to_take_over() {
        for (report, is_over, expected) in [
            (report(true, false, 0), false, None),
            (report(true, false, 0), true, Some((Some("not_drained".to_owned()), 3))),
            (report(false, false, 0), false, Some((Some("called_off".to_owned()), 1))),
        ] {
            assert_eq!(ended(&report, true, true, is_over), expected, "{report:?} {is_over}");
        }
    }

    /// The code and the exit code.
    fn ended(
        report: &NodeReport,
        is_alone: bool,
        is_forced: bool,
        is_over: bool,
    ) -> Option<(Option<String>, u8)> {
        end(report, is_alone, is_forced, is_over).map(|ended| match ended {
            Ok(()) => (None, 0),
            Err(refusal) => (Some(refusal.code().to_owned()), Failed::from(refusal).exit().code()),
        })
    }
}

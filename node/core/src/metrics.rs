//! What a node counts, in Prometheus' text form.
//!
//! A registry is a value of the node, not of the process. No label holds an actor's id: there may be millions.

mod timing;

use std::sync::atomic::{AtomicU64, Ordering};

use gritmesh_runtime::FailureCode;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use timing::Timing;

/// A gauge of whole numbers.
type Level = Gauge<i64, std::sync::atomic::AtomicI64>;
type Count = Counter<u64, AtomicU64>;

/// Takes over a count that is kept elsewhere, and only grows.
pub(crate) fn take_over(counter: &Count, count: u64) {
    counter.inner().fetch_max(count, Ordering::Relaxed);
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct OutcomeLabel {
    pub(crate) outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct StateLabel {
    pub(crate) state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct CodeLabel {
    pub(crate) code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ReasonLabel {
    pub(crate) reason: String,
}

/// Every metric of a node.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    /// By outcome: success, then every failure code. Looked up once, not for every call.
    outcomes: Vec<Count>,
    pub(crate) received: Count,
    pub(crate) redirects: Count,
    pub(crate) detoured: Count,
    pub(crate) relayed: Count,
    pub(crate) detours: Level,
    pub(crate) repeated: Count,
    pub(crate) answers_lost: Count,
    pub(crate) activations: Count,
    pub(crate) deactivations: Count,
    pub(crate) panics: Count,
    pub(crate) dead_letters: Family<CodeLabel, Count>,
    pub(crate) malformed: Count,
    pub(crate) refused: Family<ReasonLabel, Count>,
    pub(crate) events: Count,
    pub(crate) members: Family<StateLabel, Level>,
    pub(crate) actors: Level,
    pub(crate) shards_serving: Level,
    pub(crate) replicas: Level,
    pub(crate) damaged_replicas: Level,
    pub(crate) moves: Level,
    pub(crate) committed: Count,
    pub(crate) refused_steps: Count,
    pub(crate) forgotten_answers: Count,
    pub(crate) damaged: Count,
    pub(crate) repaired: Count,
    pub(crate) bad_transfers: Count,
    pub(crate) transferred_bytes: Count,
    pub(crate) messages_pending: Level,
    pub(crate) calls_pending: Level,
    pub(crate) calls_parked: Level,
    pub(crate) disk_full: Level,
    pub(crate) malformed_gossip: Count,
    pub(crate) stalls: Count,
    pub(crate) rejoins: Count,
    pub(crate) direct_calls: Count,
    pub(crate) remote_calls: Timing,
    pub(crate) steps: Timing,
    pub(crate) syncs: Timing,
    pub(crate) elections: Timing,
    pub(crate) leaderships_won: Count,
    pub(crate) leaderships_lost: Count,
    pub(crate) replica_lag: Level,
    pub(crate) paused_actors: Level,
    pub(crate) letters: Level,
    pub(crate) ready: Level,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("gritmesh");
        macro_rules! metric {
            ($name:literal, $help:literal) => {{
                let metric = Default::default();
                register(&mut registry, $name, $help, &metric);
                metric
            }};
        }
        Self {
            outcomes: outcome_counters(&mut registry),
            received: metric!("received_calls", "Calls that came from peers"),
            redirects: metric!("redirected_calls", "Calls that went to a node which did not serve the shard"),
            detoured: metric!("detoured_calls", "Calls sent over another node, as their own does not answer"),
            relayed: metric!("relayed_calls", "Calls passed on for nodes that do not reach who serves them"),
            detours: metric!("detours", "Nodes that do not answer this one and are reached over others"),
            repeated: metric!("repeated_calls", "Envelopes of calls that arrived twice and were dropped"),
            answers_lost: metric!("answers_lost", "Answers that could not be queued for their caller's node"),
            activations: metric!("activations", "Actors brought into memory"),
            deactivations: metric!("deactivations", "Actors taken out of memory"),
            panics: metric!("handler_panics", "Handlers that panicked"),
            dead_letters: dead_letters(&mut registry),
            malformed: metric!("malformed_envelopes", "Envelopes that could not be read"),
            refused: metric!("refused_connections", "Connections turned down at admission, by reason"),
            events: metric!("cluster_events", "Changes of members seen"),
            members: metric!("members", "Members by state, as seen from here"),
            actors: metric!("actors", "Actors in memory"),
            shards_serving: metric!("shards_serving", "Shards that this node serves"),
            replicas: metric!("replicas", "Replicas of shards that this node holds"),
            damaged_replicas: metric!("damaged_replicas", "Damaged replicas here that wait to be replaced"),
            moves: metric!("shard_moves", "Shards led here that are not where they should be"),
            committed: metric!("committed_commands", "Commands of the shards' logs applied by replicas here"),
            refused_steps: metric!("refused_steps", "Steps that another step came before"),
            forgotten_answers: metric!("forgotten_answers", "Answers under a key that were kept long enough"),
            damaged: metric!("damaged_records", "Records and objects that did not match their hash"),
            repaired: metric!("repaired_objects", "Damaged objects that a peer had whole"),
            bad_transfers: metric!("bad_transfers", "Parts of shards' states that could not be used"),
            transferred_bytes: metric!("transferred_bytes", "Bytes of shards' states received from peers"),
            messages_pending: metric!("messages_pending", "Messages of durable actors not acknowledged yet"),
            calls_pending: metric!("calls_pending", "Calls sent to other nodes without an answer so far"),
            calls_parked: metric!("calls_parked", "Calls that wait for their shard to be served"),
            disk_full: metric!("disk_full", "1 if changes are refused because the disk is full"),
            malformed_gossip: metric!("malformed_gossip", "Gossip that could not be read"),
            stalls: metric!("stalls", "Times that this process was found to have been stopped"),
            rejoins: metric!("rejoins", "Times that this node was declared down and came back"),
            direct_calls: metric!("direct_calls", "Calls that found their actor idle and ran at once"),
            remote_calls: metric!("remote_call_seconds", "From sending a call to another node to its answer"),
            steps: metric!("step_seconds", "From proposing a step to its commit"),
            syncs: metric!("sync_seconds", "From handing a batch to the disk to its being durable"),
            elections: metric!("election_seconds", "How long replicas here knew no leader"),
            leaderships_won: metric!("leaderships_won", "Times that this node became leader of a shard"),
            leaderships_lost: metric!("leaderships_lost", "Times that this node ceased to lead a shard"),
            replica_lag: metric!("replica_lag_entries", "What the replica furthest behind lacks"),
            paused_actors: metric!("paused_actors", "Actors of shards led here that are paused, up to 1000"),
            letters: metric!("letters", "Messages that actors of shards led here cannot read, up to 1000"),
            ready: metric!("ready", "1 if the node is ready for work"),
            registry,
        }
    }

    pub(crate) fn outcome(&self, failure: Option<FailureCode>) {
        let place = failure.map_or(0, |code| code as usize + 1);
        self.outcomes[place].inc();
    }

    pub(crate) fn to_text(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a string does not fail");
        text
    }
}

fn outcome_counters(registry: &mut Registry) -> Vec<Count> {
    let family = Family::<OutcomeLabel, Count>::default();
    register(registry, "routed_calls", "Calls that left the fast path, by their outcome", &family);
    let codes = FailureCode::ALL.into_iter().map(FailureCode::as_str);
    let outcomes = std::iter::once("ok").chain(codes);
    outcomes.map(|outcome| family.get_or_create_owned(&OutcomeLabel { outcome })).collect()
}

/// By failure code. One is there from the start, so that whoever looks for the metric finds it.
fn dead_letters(registry: &mut Registry) -> Family<CodeLabel, Count> {
    let counters = Family::default();
    let help = "Messages that came to nothing and for whose outcome nobody waits";
    register(registry, "dead_letters", help, &counters);
    drop(counters.get_or_create(&CodeLabel { code: FailureCode::ActorError.as_str() }));
    counters
}

fn register<M>(registry: &mut Registry, name: &str, help: &str, metric: &M)
where
    M: prometheus_client::registry::Metric + Clone,
{
    registry.register(name, help, metric.clone());
}

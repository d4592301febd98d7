//! What this face and the network below the node count, beside the node's own metrics.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gritmesh_runtime::{TrafficClass, WIRE_VERSION};
use gritmesh_transport::{Counters, Peers};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use super::process::{Disk, Process};

/// Ends a text of metrics.
const END: &str = "# EOF\n";

/// Upper bounds of how long requests take, in seconds: those that OpenTelemetry proposes.
const BOUNDS_S: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabel {
    route: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    /// The route's pattern, so that no actor's id becomes a label.
    route: String,
    code: &'static str,
}

/// Counters of one node's outside.
pub(super) struct Meter {
    registry: Registry,
    /// What does not begin with our name.
    process: Registry,
    requests: Family<RequestLabels, Counter>,
    surplus: Counter,
    crowded_out: Counter,
    times: Family<RouteLabel, Histogram, fn() -> Histogram>,
}

impl Meter {
    pub(super) fn new(peers: Arc<Peers>, data: PathBuf) -> Self {
        let mut registry = Registry::with_prefix("gritmesh");
        let requests = Family::default();
        registry.register("http_requests", "HTTP requests by route and outcome", requests.clone());
        let surplus = Counter::default();
        let help = "HTTP connections that were refused because as many as may be were open";
        registry.register("http_connections_refused", help, surplus.clone());
        let crowded_out = Counter::default();
        let help = "HTTP connections that rested and were ended because as many as may be were open";
        registry.register("http_connections_crowded_out", help, crowded_out.clone());
        let times = Family::new_with_constructor((|| Histogram::new(BOUNDS_S)) as fn() -> Histogram);
        registry.register("http_request_seconds", "How long HTTP requests took, by route", times.clone());
        let build =
            vec![("version", env!("CARGO_PKG_VERSION").to_owned()), ("wire", WIRE_VERSION.to_string())];
        registry.register("build", "What this node was built from", Info::new(build));
        registry.register_collector(Box::new(Traffic(peers)));
        registry.register_collector(Box::new(Disk(data)));
        let mut process = Registry::default();
        process.register_collector(Box::new(Process));
        Self { registry, process, requests, surplus, crowded_out, times }
    }

    pub(super) fn count(&self, route: &str, code: &'static str, took: Duration) {
        self.times.get_or_create(&RouteLabel { route: route.to_owned() }).observe(took.as_secs_f64());
        self.requests.get_or_create(&RequestLabels { route: route.to_owned(), code }).inc();
    }

    pub(super) fn count_surplus(&self) {
        self.surplus.inc();
    }

    pub(super) fn count_crowded_out(&self) {
        self.crowded_out.inc();
    }

    /// The node's metrics and these as one text.
    pub(super) fn append_to(&self, mut text: String) -> String {
        for registry in [&self.registry, &self.process] {
            if let Some(rest) = text.strip_suffix(END) {
                text.truncate(rest.len());
            }
            encode(&mut text, registry).expect("writing to a string does not fail");
        }
        text
    }
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meter").finish_non_exhaustive()
    }
}

/// Reads the network's counters when they are asked for.
#[derive(Debug)]
struct Traffic(Arc<Peers>);

impl Collector for Traffic {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let counters = self.0.counters();
        let by_class = |read: fn(&gritmesh_transport::Traffic) -> u64| {
            let of = |class: TrafficClass| (class.as_str(), read(counters.of(class)));
            TrafficClass::ALL.map(of)
        };
        let mut family = |name, help, label: &str, values: &[(&'static str, u64)]| {
            let first = ConstCounter::new(0_u64);
            let mut metric = encoder.encode_descriptor(name, help, None, first.metric_type())?;
            for (value, count) in values {
                ConstCounter::new(*count).encode(metric.encode_family(&[(label, *value)])?)?;
            }
            Ok::<_, fmt::Error>(())
        };
        family(
            "peer_envelopes_sent",
            "Envelopes handed to streams",
            "class",
            &by_class(|t| t.envelopes_sent),
        )?;
        family("peer_bytes_sent", "Their bytes", "class", &by_class(|t| t.bytes_sent))?;
        family(
            "peer_envelopes_received",
            "Envelopes received",
            "class",
            &by_class(|t| t.envelopes_received),
        )?;
        family("peer_bytes_received", "Their bytes", "class", &by_class(|t| t.bytes_received))?;
        let refused: Vec<_> = counters.refused_by_peer.iter().map(|(code, count)| (*code, *count)).collect();
        family("refused_by_peers", "Connections on which peers refused this node", "reason", &refused)?;
        encode_totals(&mut encoder, &counters)
    }
}

fn encode_totals(encoder: &mut DescriptorEncoder<'_>, counters: &Counters) -> Result<(), fmt::Error> {
    let totals = [
        ("peers_admitted", "Peers admitted", counters.admitted),
        ("peer_protocol_errors", "Admitted peers that broke the protocol", counters.malformed),
        ("peer_queue_full", "Envelopes turned down because a queue was full", counters.queue_full),
        ("peer_dials_failed", "Connections that could not be made", counters.dials_failed),
        ("peer_dials_dropped", "Dials dropped because too many were under way", counters.dials_dropped),
        (
            "peer_inbound_rejected",
            "Inbound connections that ended before admission",
            counters.inbound_rejected,
        ),
    ];
    for (name, help, count) in totals {
        let counter = ConstCounter::new(count);
        let metric = encoder.encode_descriptor(name, help, None, counter.metric_type())?;
        counter.encode(metric)?;
    }
    let connections = ConstGauge::new(counters.connections as i64);
    let metric = encoder.encode_descriptor(
        "peer_connections",
        "Peers connected now",
        None,
        connections.metric_type(),
    )?;
    connections.encode(metric)
}

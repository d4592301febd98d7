//! A rolling restart behind a client that keeps its connections: nobody notices.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use ureq::Agent;

use crate::process::{Cluster, Node, until};

/// Requests a second, of all threads together.
const RATE: u32 = 200;
const THREADS: u32 = 8;

/// How often the client looks which nodes are ready, as balancers do.
const LOOK_PERIOD: Duration = Duration::from_millis(250);

/// Longer than a request may wait for a shard that moves.
const LATENCY_MAX: Duration = Duration::from_secs(1);

/// Requests that must have been answered before the first restart and after each.
const REQUESTS_EACH: usize = 400;

/// Actors that are called: enough for every shard to have some.
const ACTORS: usize = 200;

/// What a balancer knows, and what its clients have seen.
struct Balancer {
    nodes: Vec<String>,
    ready: Vec<AtomicBool>,
    answered: AtomicUsize,
    longest: Mutex<Duration>,
    failures: Mutex<Vec<String>>,
    stop: AtomicBool,
}

impl Balancer {
    fn new(nodes: &[Node]) -> Self {
        Self {
            nodes: nodes.iter().map(|node| node.web.address().to_owned()).collect(),
            ready: nodes.iter().map(|_| AtomicBool::new(true)).collect(),
            answered: AtomicUsize::new(0),
            longest: Mutex::default(),
            failures: Mutex::default(),
            stop: AtomicBool::new(false),
        }
    }

    /// Keeps looking which nodes may be sent requests.
    fn look(&self) {
        let agent = agent();
        while !self.stop.load(Relaxed) {
            for (node, ready) in self.nodes.iter().zip(&self.ready) {
                let answer = agent.get(format!("http://{node}/readyz")).call();
                ready.store(answer.is_ok_and(|answer| answer.status() == 200), Relaxed);
            }
            thread::sleep(LOOK_PERIOD);
        }
    }

    /// Sends requests at a steady rate over connections that are kept, one for each node.
    fn send(&self, thread: u32) {
        let agent = agent();
        let pause = Duration::from_secs(1) * THREADS / RATE;
        let mut due = Instant::now() + pause * thread / THREADS;
        let mut number = thread as usize * 31;
        while !self.stop.load(Relaxed) {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            due += pause;
            number += 1;
            let started = Instant::now();
            match self.add_one(&agent, number) {
                Ok(()) => drop(self.answered.fetch_add(1, Relaxed)),
                Err(why) => self.failures.lock().unwrap().push(why),
            }
            let mut longest = self.longest.lock().unwrap();
            *longest = started.elapsed().max(*longest);
        }
    }

    /// One request, given to the next node only where a connection was refused. That is safe; anything else is a loss.
    fn add_one(&self, agent: &Agent, number: usize) -> Result<(), String> {
        let count = self.nodes.len();
        for try_number in 0..2 * count {
            let index = (number + try_number) % count;
            if !self.ready[index].load(Relaxed) {
                continue;
            }
            let url = format!("http://{}/v1/call/counter/c{}/add", self.nodes[index], number % ACTORS);
            match agent.post(url).header("Content-Type", "application/json").send(json!([1]).to_string()) {
                Err(ureq::Error::Io(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {}
                Err(error) => return Err(format!("{}: {error}", self.nodes[index])),
                Ok(mut answer) => {
                    let text = answer.body_mut().read_to_string().map_err(|error| error.to_string())?;
                    let good = answer.status() == 200;
                    return if good { Ok(()) } else { Err(format!("{}: {text}", self.nodes[index])) };
                }
            }
        }
        Err("no node is ready".to_owned())
    }
}

fn agent() -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(30)))
        .proxy(None)
        .build();
    config.into()
}

#[test]
fn a_rolling_restart_behind_a_client_that_keeps_connections_loses_nothing() {
    let mut cluster = Cluster::new(3, &[]);
    for node in &mut cluster.nodes {
        // As operators have it.
        node.lame_duck = None;
        node.start();
    }
    cluster.until_whole();
    let balancer = Balancer::new(&cluster.nodes);
    thread::scope(|scope| {
        scope.spawn(|| balancer.look());
        for thread in 0..THREADS {
            let balancer = &balancer;
            scope.spawn(move || balancer.send(thread));
        }
        let more = || {
            let enough = balancer.answered.load(Relaxed) + REQUESTS_EACH;
            let failed = || !balancer.failures.lock().unwrap().is_empty();
            until("requests are answered", || {
                (balancer.answered.load(Relaxed) >= enough || failed()).then_some(())
            });
        };
        let restarted = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            more();
            for index in 0..3 {
                cluster.nodes[index].process().signal("TERM");
                assert_eq!(cluster.nodes[index].process().ended().code(), Some(0));
                cluster.nodes[index].start();
                cluster.until_whole();
                more();
            }
        }));
        balancer.stop.store(true, Relaxed);
        if let Err(why) = restarted {
            std::panic::resume_unwind(why);
        }
    });
    let (answered, longest) = (balancer.answered.load(Relaxed), *balancer.longest.lock().unwrap());
    let failures = balancer.failures.lock().unwrap();
    assert!(
        failures.is_empty(),
        "{} of {answered} failed: {:?}",
        failures.len(),
        &failures[..failures.len().min(5)]
    );
    assert!(longest < LATENCY_MAX, "one of {answered} requests took {longest:?}");
    let total: i64 = (0..ACTORS)
        .map(|actor| {
            let counted = cluster.nodes[0].web.call(&format!("counter/c{actor}"), "get", &json!([]));
            counted.expect("the cluster is whole").as_i64().expect("a counter counts")
        })
        .sum();
    assert_eq!(total, answered as i64, "each ran once");
}

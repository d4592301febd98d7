//! Asking nodes by HTTP, one after the other, until one answers.

use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use ureq::Agent;

/// How long a node may take for one try. Then the next one is asked; the key makes that safe.
const TRY_TIME: &str = "3s";
/// The node's own answer that the time is over should come first.
const TRY_TIME_MAX: Duration = Duration::from_secs(5);

/// Pauses between tries.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// Codes that no other node and no later time will change.
const FINAL: [&str; 8] = [
    "unknown_type",
    "unknown_method",
    "bad_arguments",
    "bad_address",
    "bad_request",
    "not_supported",
    "not_found",
    "deadlock",
];

/// Somebody who asks nodes.
#[derive(Debug)]
pub(crate) struct Teller {
    agent: Agent,
    nodes: Vec<String>,
    /// Which node is asked next.
    next: usize,
    patience: Duration,
}

/// How a call ended.
#[derive(Debug)]
pub(crate) struct Answer {
    /// What the actor answered: its value, or its own error.
    pub(crate) result: Result<Value, Value>,
    /// How often it was asked for again.
    pub(crate) retries: u64,
    pub(crate) took: Duration,
}

/// How one try ended.
enum Try {
    Answered(Result<Value, Value>),
    /// Nobody knows, or nothing was done.
    Again(String),
    Hopeless(String),
}

impl Teller {
    pub(crate) fn new(nodes: &[String], first: usize, patience: Duration) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(TRY_TIME_MAX))
            .max_redirects(0)
            .proxy(None)
            .build();
        let url =
            |node: &String| format!("http://{}", node.trim_start_matches("http://").trim_end_matches('/'));
        Self { agent: config.into(), nodes: nodes.iter().map(url).collect(), next: first, patience }
    }

    /// Calls a method of an account until there is an answer. What changes something has a key.
    pub(crate) fn call(
        &mut self,
        id: &str,
        method: &str,
        arguments: &[Value],
        key: Option<&str>,
    ) -> Result<Answer, String> {
        let path = format!("/v1/call/account/{id}/{method}?timeout={TRY_TIME}");
        let body = json!(arguments).to_string();
        self.insist(&path, |agent, url| {
            let mut request = agent.post(url).header("Content-Type", "application/json");
            if let Some(key) = key {
                request = request.header("Idempotency-Key", key);
            }
            request.send(body.as_str())
        })
    }

    /// Messages of an account that are under way.
    pub(crate) fn outbox(&mut self, id: &str) -> Result<usize, String> {
        let answer =
            self.insist(&format!("/v1/actors/account/{id}/outbox"), |agent, url| agent.get(url).call())?;
        Ok(answer.result.ok().and_then(|list| list.as_array().map(Vec::len)).unwrap_or_default())
    }

    fn insist(
        &mut self,
        path: &str,
        ask: impl Fn(&Agent, &str) -> Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<Answer, String> {
        let begun = Instant::now();
        let mut pause = PAUSE_MIN;
        for retries in 0.. {
            self.next = (self.next + 1) % self.nodes.len();
            let url = format!("{}{path}", self.nodes[self.next]);
            match judged(ask(&self.agent, &url)) {
                Try::Answered(result) => return Ok(Answer { result, retries, took: begun.elapsed() }),
                Try::Hopeless(reason) => return Err(format!("{url}: {reason}")),
                Try::Again(reason) if begun.elapsed() > self.patience => {
                    return Err(format!("no answer within {:?}; at last {url}: {reason}", self.patience));
                }
                Try::Again(_) => {}
            }
            sleep(pause);
            pause = (pause * 2).min(PAUSE_MAX);
        }
        unreachable!("patience ends before numbers do")
    }
}

fn judged(answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Try {
    let mut response = match answer {
        Ok(response) => response,
        Err(error) => return Try::Again(error.to_string()),
    };
    let status = response.status().as_u16();
    let value = response.body_mut().read_json::<Value>();
    let Ok(value) = value else { return Try::Again(format!("{status} without a document")) };
    let code = value["code"].as_str().unwrap_or_default();
    match status {
        200 => Try::Answered(Ok(value)),
        _ if code == "actor_error" => Try::Answered(Err(value["error"].clone())),
        _ if FINAL.contains(&code) => Try::Hopeless(value["detail"].to_string()),
        _ => Try::Again(format!("{code}: {}", value["detail"])),
    }
}

//! The HTTP face of real nodes, asked by a real client.

mod actors;
mod bounds;
mod calls;
mod connections;
mod crowded;
mod dead_letters;
mod documented;
mod fuzz;
mod stopping;
mod strangers;
mod views;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tempfile::TempDir;

use crate::config::Settings;
use crate::{ActivationError, Context, Node, NodeBuilder, actor, handlers, samples};

/// Does on demand what can go wrong with an actor.
#[actor(volatile, mailbox_capacity = 1)]
struct Trouble;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("the refusal says {why}")]
struct Refused {
    why: String,
}

#[handlers]
impl Trouble {
    async fn activate(ctx: &mut Context<'_>) -> Result<Self, ActivationError> {
        match ctx.address().id() {
            "unloadable" => Err(ActivationError::new("it cannot be loaded")),
            _ => Ok(Self),
        }
    }

    fn refuse(&mut self, why: String) -> Result<(), Refused> {
        Err(Refused { why })
    }

    fn panic(&mut self) {
        panic!("as it was told");
    }

    async fn sleep(&mut self, ms: u64, ctx: &mut Context<'_>) -> u64 {
        ctx.sleep(Duration::from_millis(ms)).await;
        ms
    }

    #[query]
    async fn doze(&self, ms: u64, ctx: &mut Context<'_>) -> u64 {
        ctx.sleep(Duration::from_millis(ms)).await;
        ms
    }

    async fn call_back(&mut self, ctx: &mut Context<'_>) -> Result<(), Refused> {
        let me = ctx.address().id().to_owned();
        let result = ctx.actor::<Self>(&me).call_back().await;
        result.map_err(|error| Refused { why: error.code().as_str().into() })
    }

    fn answer_without_json(&mut self) -> std::collections::BTreeMap<u8, u8> {
        [(1, 2)].into()
    }
}

/// A node, with its directory if that is its alone.
struct Started {
    node: Node,
    _data: Option<TempDir>,
}

async fn start(change: impl FnOnce(NodeBuilder) -> NodeBuilder) -> Started {
    let data = tempfile::tempdir().unwrap();
    let started = start_on(&data, change).await;
    Started { _data: Some(data), ..started }
}

async fn start_on(data: &TempDir, change: impl FnOnce(NodeBuilder) -> NodeBuilder) -> Started {
    let settings = Settings {
        data: data.path().to_owned(),
        listen: "127.0.0.1:0".into(),
        http: "127.0.0.1:0".into(),
        ..Settings::default()
    };
    let builder = samples::register(NodeBuilder::new().settings(settings)).register::<Trouble>();
    Started { node: change(builder).start().await.unwrap(), _data: None }
}

async fn start_ready() -> Started {
    let started = start(|builder| builder).await;
    started.ready().await;
    started
}

/// What came back.
#[derive(Clone, Debug, PartialEq)]
struct Answer {
    status: u16,
    kind: String,
    retry_after: Option<String>,
    challenge: Option<String>,
    value: Value,
}

impl Answer {
    fn code(&self) -> &str {
        self.value["code"].as_str().unwrap_or("none")
    }

    /// Checks that this is a problem document, and returns its status and code.
    fn problem(&self) -> (u16, &str) {
        assert_eq!(self.kind, "application/problem+json", "{self:?}");
        assert_eq!(self.value["status"], self.status, "{self:?}");
        assert_eq!(self.value["type"], format!("urn:gritmesh:error:{}", self.code()));
        for member in ["title", "detail"] {
            assert!(self.value[member].as_str().is_some_and(|text| !text.is_empty()), "{self:?}");
        }
        assert_eq!(self.status == 401, self.challenge.is_some(), "{self:?}");
        assert_eq!(self.value["retryable"], self.retry_after.is_some(), "{self:?}");
        (self.status, self.code())
    }
}

impl Started {
    async fn ready(&self) {
        tokio::time::timeout(Duration::from_secs(20), self.node.ready()).await.expect("ready within 20 s");
    }

    fn get(&self, path: &str) -> Answer {
        self.request("GET", path, &[], b"")
    }

    fn post(&self, path: &str, body: &str) -> Answer {
        self.request("POST", path, &[], body.as_bytes())
    }

    /// A body is JSON and the host is this machine, unless the headers say something else.
    fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        let is_given = |name: &str| headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name));
        if !is_given("Host") {
            head += "Host: localhost\r\n";
        }
        if !body.is_empty() && !is_given("Content-Type") {
            head += "Content-Type: application/json\r\n";
        }
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += &format!("Content-Length: {}\r\n\r\n", body.len());
        self.raw(head.as_bytes(), body)
    }

    /// Sends exactly these bytes: a client library would refuse some of them itself.
    fn raw(&self, head: &[u8], body: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.node.http_address().unwrap()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.write_all(head).unwrap();
        // A server that refuses early closes while the body is still being written.
        let _ = stream.write_all(body);
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        parse(&bytes)
    }
}

fn parse(bytes: &[u8]) -> Answer {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let header = |name: &str| {
        let line = head.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.trim_start_matches([':', ' ']).to_owned())
    };
    Answer {
        status: head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0),
        kind: header("content-type").unwrap_or_default(),
        retry_after: header("retry-after"),
        challenge: header("www-authenticate"),
        value: serde_json::from_str(body).unwrap_or_else(|_| Value::from(body)),
    }
}

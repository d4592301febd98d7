//! Asking a node over HTTP.

use std::time::Duration;

use serde_json::Value;
use ureq::Agent;
use ureq::http::Response;

/// How long one answer may take. Longer than any call that is made, so that the node's own answer is seen.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(45);

/// A node's HTTP face.
#[derive(Clone, Debug)]
pub(crate) struct Web {
    agent: Agent,
    address: String,
}

/// What was answered.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn value(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The code of a problem document.
    #[track_caller]
    pub(crate) fn problem(&self) -> String {
        assert_eq!(self.content_type, "application/problem+json", "{self:?}");
        let problem = self.value();
        assert_eq!(problem["status"], self.status, "{problem}");
        let code = problem["code"].as_str().expect("a problem has a code");
        assert_eq!(problem["type"], format!("urn:gritmesh:error:{code}"));
        for member in ["title", "detail"] {
            assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{problem}");
        }
        code.to_owned()
    }
}

impl Web {
    pub(crate) fn new(address: &str) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(ANSWER_TIME_MAX))
            .max_redirects(0)
            .proxy(None)
            .build();
        Self { agent: config.into(), address: address.to_owned() }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// `None` if nobody answers.
    pub(crate) fn get(&self, path: &str) -> Option<Answer> {
        answer(self.agent.get(self.url(path)).call())
    }

    /// `None` if nobody answers.
    pub(crate) fn post(&self, path: &str, body: impl Into<Vec<u8>>) -> Option<Answer> {
        let request = self.agent.post(self.url(path)).header("Content-Type", "application/json");
        answer(request.send(body.into()))
    }

    /// Calls an actor. `Err` holds the code of the failure.
    pub(crate) fn call(&self, actor: &str, method: &str, arguments: &Value) -> Result<Value, String> {
        let answer = self.post(&format!("/v1/call/{actor}/{method}"), arguments.to_string());
        let Some(answer) = answer else { return Err("no answer".into()) };
        if answer.status == 200 { Ok(answer.value()) } else { Err(answer.problem()) }
    }

    /// Calls an actor with an idempotency key.
    pub(crate) fn keyed(
        &self,
        actor: &str,
        method: &str,
        arguments: &Value,
        key: &str,
    ) -> Result<Value, String> {
        let request = self.agent.post(self.url(&format!("/v1/call/{actor}/{method}")));
        let request = request.header("Content-Type", "application/json");
        let sent = request.header("Idempotency-Key", key).send(arguments.to_string());
        let Some(answer) = answer(sent) else { return Err("no answer".into()) };
        if answer.status == 200 { Ok(answer.value()) } else { Err(answer.problem()) }
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.get("/readyz").is_some_and(|answer| answer.status == 200)
    }

    /// The sum over all labels of a counter or gauge, as it stands in `/metrics`.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").expect("the node answers").text;
        let values = text.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            (series.split('{').next() == Some(name)).then(|| value.parse::<f64>().expect("a number"))
        });
        values.sum()
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

fn answer(answer: Result<Response<ureq::Body>, ureq::Error>) -> Option<Answer> {
    let mut response = answer.ok()?;
    let content_type = response.headers().get("content-type").and_then(|value| value.to_str().ok());
    let content_type = content_type.unwrap_or_default().to_owned();
    let status = response.status().as_u16();
    let text = response.body_mut().read_to_string().ok()?;
    Some(Answer { status, content_type, text })
}

//! Asking a node by HTTP, from the command line or from another node. Blocks: it is used where nothing else goes on.

use std::time::Duration;

use serde_json::{Value, json};
use ureq::Agent;
use ureq::http::Response;

/// Largest answer that is read. A list of ten thousand actors has about two megabytes.
const ANSWER_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// A node to ask.
#[derive(Debug)]
pub(crate) struct Ask {
    agent: Agent,
    node: String,
    token: Option<String>,
    /// The default one if empty.
    tenant: String,
    /// The idempotency key of what is posted.
    key: Option<String>,
}

/// Why there is no answer, as a problem document: the node's own, or one of the same form.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Refusal(pub(crate) Value);

impl Refusal {
    pub(crate) fn new(code: &str, detail: impl Into<String>) -> Self {
        let kind = format!("urn:gritmesh:error:{code}");
        Self(
            json!({ "type": kind, "title": "No answer", "code": code, "detail": detail.into(), "retryable": false }),
        )
    }

    pub(crate) fn code(&self) -> &str {
        self.0["code"].as_str().unwrap_or("unknown")
    }

    pub(crate) fn detail(&self) -> &str {
        self.0["detail"].as_str().unwrap_or_default()
    }
}

impl Ask {
    /// Asks the node that serves HTTP at `node` (`host:port`), and waits so long for each answer.
    pub(crate) fn new(node: &str, timeout: Duration) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(timeout))
            .max_redirects(0)
            .proxy(None)
            .build();
        let node = node.strip_prefix("http://").unwrap_or(node).trim_end_matches('/').to_owned();
        Self { agent: config.into(), node, token: None, tenant: String::new(), key: None }
    }

    pub(crate) fn with_token(mut self, token: Option<String>) -> Self {
        self.token = token;
        self
    }

    pub(crate) fn with_tenant(mut self, tenant: &str) -> Self {
        tenant.clone_into(&mut self.tenant);
        self
    }

    pub(crate) fn with_key(mut self, key: Option<String>) -> Self {
        self.key = key;
        self
    }

    pub(crate) fn get(&self, path: &str) -> Result<Value, Refusal> {
        let mut request = self.agent.get(self.url(path));
        for (name, value) in self.headers() {
            request = request.header(name, value);
        }
        self.answer(request.call())
    }

    /// Posts JSON.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Value, Refusal> {
        let mut request = self.agent.post(self.url(path)).header("Content-Type", "application/json");
        for (name, value) in self.headers() {
            request = request.header(name, value);
        }
        self.answer(request.send(body.to_string()))
    }

    fn headers(&self) -> impl Iterator<Item = (&'static str, String)> {
        let tenant = Some(self.tenant.clone()).filter(|tenant| !tenant.is_empty());
        let token = self.token.as_ref().map(|token| format!("Bearer {token}"));
        let tenant = tenant.map(|tenant| ("X-Tenant", tenant));
        let key = self.key.clone().map(|key| ("Idempotency-Key", key));
        tenant.into_iter().chain(key).chain(token.map(|token| ("Authorization", token)))
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.node)
    }

    fn answer(&self, answer: Result<Response<ureq::Body>, ureq::Error>) -> Result<Value, Refusal> {
        let mut response = match answer {
            Ok(response) => response,
            Err(ureq::Error::Timeout(_)) => {
                let detail = format!("the node at {} did not answer in time", self.node);
                return Err(Refusal::new("unknown_outcome", detail));
            }
            Err(error) => {
                let detail = format!("no node can be asked at {}: {error}", self.node);
                return Err(Refusal::new("unreachable", detail));
            }
        };
        let status = response.status();
        let text = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string();
        let value = text.ok().and_then(|text| serde_json::from_str::<Value>(&text).ok());
        match value {
            Some(value) if status.is_success() => Ok(value),
            Some(problem) if problem["code"].is_string() => Err(Refusal(problem)),
            _ => {
                let detail = format!("{} answered {status}, and not as a node does", self.node);
                Err(Refusal::new("not_a_node", detail))
            }
        }
    }
}

/// One segment of a path, or a value of a query.
pub(crate) fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => encoded.push(byte.into()),
            other => encoded += &format!("%{other:02X}"),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_encoded() {
        assert_eq!(encoded("a/b c%é?"), "a%2Fb%20c%25%C3%A9%3F");
        assert_eq!(encoded("a-b_c.d~1"), "a-b_c.d~1");
    }

    #[test]
    fn nobody_there_is_a_refusal_of_the_same_form() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(listener);
        let refusal = Ask::new(&address, Duration::from_secs(5)).get("/v1/cluster").unwrap_err();
        assert_eq!(refusal.code(), "unreachable");
        assert!(refusal.detail().contains(&address), "{refusal:?}");
    }
}

//! Asking a node by HTTP, from the command line or from another node. Blocks: it is used where nothing else goes on.
//!
//! Several nodes may be named. The next one is asked if one cannot be reached and surely nothing ran: an order that
//! was sent and not answered may have been carried out, and is not given again.

mod target;

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use ureq::http::Response;
use ureq::http::header::AUTHORIZATION;
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, RequestBuilder, Timeout};

pub(crate) use target::{HandHeader, Target};

/// Largest answer that is read. A list of ten thousand actors has about two megabytes.
const ANSWER_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// How long a node may take to accept a connection before the next one is asked.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);

/// Nodes to ask, of which any will do.
#[derive(Debug)]
pub(crate) struct Ask {
    agent: Agent,
    targets: Vec<Target>,
    /// The one that answered last.
    first: AtomicUsize,
    headers: Vec<HandHeader>,
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
            json!({ "type": kind, "title": title_of(code), "code": code, "detail": detail.into(), "retryable": false }),
        )
    }

    /// One after which the same may be asked again.
    pub(crate) fn retryable(code: &str, detail: impl Into<String>) -> Self {
        let mut refusal = Self::new(code, detail);
        refusal.0["retryable"] = true.into();
        refusal
    }

    pub(crate) fn code(&self) -> &str {
        self.0["code"].as_str().unwrap_or("unknown")
    }

    pub(crate) fn detail(&self) -> &str {
        self.0["detail"].as_str().unwrap_or_default()
    }

    pub(crate) fn is_retryable(&self) -> bool {
        self.0["retryable"] == true
    }
}

/// Why one node gave no answer.
#[derive(Debug)]
enum Silence {
    /// Surely nothing reached it.
    Unreached(String),
    /// What was asked may have been done.
    Unanswered(String),
    /// It is no node.
    Stranger(String),
}

impl Ask {
    /// Asks the first of these nodes that can be reached, and waits so long for each answer.
    pub(crate) fn among(targets: Vec<Target>, timeout: Duration) -> Self {
        // The machine's own authorities, or those that SSL_CERT_FILE names.
        let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(timeout))
            .timeout_connect(Some(timeout.min(CONNECT_TIME_MAX)))
            .max_redirects(0)
            .proxy(None)
            .tls_config(tls)
            .build();
        Self {
            agent: config.into(),
            targets,
            first: AtomicUsize::new(0),
            headers: Vec::new(),
            token: None,
            tenant: String::new(),
            key: None,
        }
    }

    pub(crate) fn with_headers(mut self, headers: Vec<HandHeader>) -> Self {
        self.headers = headers;
        self
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

    /// Asks for what changes nothing.
    pub(crate) fn get(&self, path: &str) -> Result<Value, Refusal> {
        self.ask_each(|target| match answer(target, self.dressed(self.agent.get(target.url(path))).call()) {
            // Whatever became of it, nothing was changed.
            Err(Silence::Unanswered(why)) => Err(Silence::Unreached(why)),
            answered => answered,
        })
    }

    /// Posts JSON.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Value, Refusal> {
        self.ask_each(|target| {
            let request = self.dressed(self.agent.post(target.url(path)));
            answer(target, request.header("Content-Type", "application/json").send(body.to_string()))
        })
    }

    /// Asks one node after the other until one was reached, and begins with that one the next time.
    fn ask_each(
        &self,
        ask: impl Fn(&Target) -> Result<Result<Value, Refusal>, Silence>,
    ) -> Result<Value, Refusal> {
        let first = self.first.load(Ordering::Relaxed);
        let mut unreached = Vec::new();
        for offset in 0..self.targets.len() {
            let index = (first + offset) % self.targets.len();
            match ask(&self.targets[index]) {
                Err(Silence::Unreached(why)) => unreached.push(why),
                reached => {
                    self.first.store(index, Ordering::Relaxed);
                    let answered = reached.unwrap_or_else(|silence| Err(silence.into_refusal()));
                    return answered.map_err(|refusal| self.about_the_token(refusal));
                }
            }
        }
        Err(Silence::Unreached(unreached.join("; ")).into_refusal())
    }

    /// A node says the same of no token and of a wrong one. Only here is known which of the two it was.
    fn about_the_token(&self, mut refusal: Refusal) -> Refusal {
        let by_hand = self.headers.iter().any(|given| given.name == AUTHORIZATION);
        if refusal.code() == "unauthorized" && (self.token.is_some() || by_hand) {
            let said = refusal.detail();
            refusal.0["detail"] = format!("the node does not accept the token that was given: {said}").into();
        }
        refusal
    }

    /// A request with its headers.
    fn dressed<B>(&self, mut request: RequestBuilder<B>) -> RequestBuilder<B> {
        for (name, value) in self.own_headers() {
            request = request.header(name, value);
        }
        for HandHeader { name, value } in &self.headers {
            request = request.header(name, value);
        }
        request
    }

    /// What this program sends along, but for what was given by hand.
    fn own_headers(&self) -> impl Iterator<Item = (&'static str, String)> {
        let tenant = Some(self.tenant.clone()).filter(|tenant| !tenant.is_empty());
        let token = self.token.as_ref().map(|token| format!("Bearer {token}"));
        let own = [("X-Tenant", tenant), ("Idempotency-Key", self.key.clone()), ("Authorization", token)];
        let by_hand =
            |name: &str| self.headers.iter().any(|given| given.name.as_str().eq_ignore_ascii_case(name));
        own.into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .filter(move |(name, _)| !by_hand(name))
    }
}

/// What a code means, in a few words.
fn title_of(code: &str) -> &'static str {
    match code {
        "unreachable" => "Nobody is there",
        "unknown_outcome" => "The outcome of the call is unknown",
        "not_a_node" => "Something else is there",
        "usage" => "The command line is wrong",
        "bad_setting" => "A setting is wrong",
        "cannot_start" => "The node cannot start",
        "not_drained" => "The node still keeps shards",
        "last_node" => "No other node can take over",
        "unknown_node" => "No member has that name",
        "called_off" => "The node takes part again",
        _ => "No answer",
    }
}

impl Silence {
    fn into_refusal(self) -> Refusal {
        match self {
            Self::Unreached(why) => Refusal::new("unreachable", why),
            Self::Unanswered(why) => Refusal::new("unknown_outcome", why),
            Self::Stranger(why) => Refusal::new("not_a_node", why),
        }
    }
}

/// What a node said, or a proxy in front of it.
fn answer(
    target: &Target,
    answer: Result<Response<ureq::Body>, ureq::Error>,
) -> Result<Result<Value, Refusal>, Silence> {
    let mut response = answer.map_err(|error| silence(target, &error))?;
    let status = response.status();
    let text = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string();
    let text =
        text.map_err(|error| Silence::Unanswered(format!("the answer of {target} broke off: {error}")))?;
    match serde_json::from_str::<Value>(&text) {
        Ok(value) if status.is_success() => Ok(Ok(value)),
        Ok(problem) if problem["code"].is_string() => Ok(Err(Refusal(problem))),
        // A proxy that lost its node does not know what the node has done.
        _ if status.is_server_error() => {
            Err(Silence::Unanswered(format!("{target} answered {status}, and not as a node does")))
        }
        _ => Err(Silence::Stranger(format!("{target} answered {status}, and not as a node does"))),
    }
}

fn silence(target: &Target, error: &ureq::Error) -> Silence {
    use io::ErrorKind as Kind;
    let unreached = || Silence::Unreached(format!("no node can be asked at {target}: {error}"));
    match error {
        ureq::Error::Timeout(Timeout::Resolve | Timeout::Connect)
        | ureq::Error::HostNotFound
        | ureq::Error::ConnectionFailed
        | ureq::Error::BadUri(_)
        | ureq::Error::Http(_)
        | ureq::Error::Tls(_)
        | ureq::Error::Rustls(_) => unreached(),
        ureq::Error::Timeout(_) => {
            Silence::Unanswered(format!("the node at {target} did not answer in time"))
        }
        ureq::Error::Protocol(_) => Silence::Stranger(format!("{target} does not speak HTTP: {error}")),
        // Before anything is sent: nobody there, or nobody whose certificate is trusted.
        ureq::Error::Io(cause)
            if matches!(
                cause.kind(),
                Kind::ConnectionRefused
                    | Kind::HostUnreachable
                    | Kind::NetworkUnreachable
                    | Kind::AddrNotAvailable
                    | Kind::InvalidData
            ) =>
        {
            unreached()
        }
        ureq::Error::Io(cause) if is_unknown_host(cause) => unreached(),
        _ => Silence::Unanswered(format!("the connection to {target} broke: {error}")),
    }
}

/// Whether a name has no address. The standard library has no kind for that: looking up names is all that fails with
/// neither a kind nor a number of the operating system before anything is sent.
fn is_unknown_host(cause: &io::Error) -> bool {
    cause.raw_os_error().is_none() && cause.to_string().starts_with("failed to lookup address information")
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
mod tests;

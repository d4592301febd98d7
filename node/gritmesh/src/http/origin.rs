//! From where a request may come: the host that it names, and the web page that sends it.
//!
//! **Problem.** Every web page can have the browser of its visitor send requests to a node on the visitor's machine, or in
//! the visitor's network. The browser hides the answer from the page, but the request has run by then. And a page whose
//! own name its owner lets lead to the node (DNS rebinding) even reads the answer.
//!
//! **Design.** A browser says which host it asks (`Host`) and, for whatever is more than a plain link or image, which page
//! asks (`Origin`, `Sec-Fetch-Site`); a page can change none of these. So a node refuses hosts that it is not known
//! under, and pages that it did not serve itself. A body has to say that it is JSON, which makes a browser ask first,
//! and that question has an `Origin`. Programs that are no browsers are not meant and not hindered.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use axum::body::HttpBody;
use axum::extract::Request;
use axum::http::header::{CONTENT_TYPE, HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderValue, Method, Version};

use super::call::bad_request;
use super::problem::{HttpCode, Problem};
use crate::config::{HostName, HostPattern};

pub(super) const FETCH_SITE: &str = "sec-fetch-site";
pub(super) const FETCH_MODE: &str = "sec-fetch-mode";
const JSON: &str = "application/json";

/// The hosts under which a node may be asked.
#[derive(Clone, Debug)]
pub(crate) struct Hosts {
    own: BTreeSet<HostName>,
    more: Vec<HostPattern>,
    /// Whether other machines reach the node: then they know it by any of its machine's addresses, and by those of
    /// whatever stands before it. Rebinding needs a name, so addresses do no harm.
    any_address: bool,
}

impl Hosts {
    /// `bound` is where the node listens, `own` are the hosts of its settings, `more` those that an operator adds.
    pub(crate) fn new<'a>(
        bound: SocketAddr,
        own: impl IntoIterator<Item = &'a str>,
        more: Vec<HostPattern>,
    ) -> Self {
        let ip = bound.ip().to_canonical();
        let mut own: BTreeSet<HostName> = own.into_iter().filter_map(HostName::parse).collect();
        own.extend([HostName::Address(ip), HostName::Name("localhost".into())]);
        Self { own, more, any_address: !ip.is_loopback() }
    }

    fn allows(&self, host: &HostName) -> bool {
        let by_address = |ip: &IpAddr| self.any_address || ip.is_loopback();
        let is_own = match host {
            HostName::Address(ip) => by_address(ip) || self.own.contains(host),
            HostName::Name(_) => self.own.contains(host),
        };
        is_own || self.more.iter().any(|pattern| pattern.allows(host))
    }

    /// Refuses what a browser sends for a page that is none of this node's, and what is meant for another host.
    pub(super) fn check(&self, request: &Request) -> Result<(), Problem> {
        let asked = asked(request)?;
        if let Some(asked) = &asked
            && !self.allows(&asked.host)
        {
            let detail = "this node is not known under the host that the request names; if it is to be, \
                          add the host to the setting `http_hosts`";
            return Err(Problem::new(HttpCode::Misdirected, detail));
        }
        refuse_foreign_pages(request, asked.as_ref())?;
        refuse_other_types(request)
    }
}

/// A host and its port, if that is named.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Named {
    host: HostName,
    port: Option<u16>,
}

impl Named {
    fn parse(text: &str) -> Option<Self> {
        let end = match text.starts_with('[') {
            true => text.find(']')? + 1,
            false => text.find(':').unwrap_or(text.len()),
        };
        let (host, port) = text.split_at(end);
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => None,
            Some("") => None,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => Some(digits.parse().ok()?),
            _ => return None,
        };
        Some(Self { host: HostName::parse(host)?, port })
    }

    fn is_at(&self, other: &Self, port_if_none: u16) -> bool {
        let port = |named: &Self| named.port.unwrap_or(port_if_none);
        self.host == other.host && port(self) == port(other)
    }
}

/// Which host is asked. HTTP/1.1 has it named, once, as `single` sees to; only older clients may leave it out.
fn asked(request: &Request) -> Result<Option<Named>, Problem> {
    let first = request.headers().get(HOST);
    if first.is_none() && request.version() >= Version::HTTP_11 {
        return Err(bad_request("HTTP/1.1 needs the header `Host`"));
    }
    let named = |text: Option<&str>| text.and_then(Named::parse);
    let wrong =
        || bad_request("the header `Host` is to be a host, and its port if that is not the usual one");
    let by_header = first.map(|value| named(value.to_str().ok()).ok_or_else(wrong)).transpose()?;
    // A URL in the request line counts instead of the header, by the standard; a browser sends none to a node.
    match (request.uri().authority(), by_header) {
        (None, by_header) => Ok(by_header),
        (Some(target), Some(by_header)) if named(Some(target.as_str())).as_ref() == Some(&by_header) => {
            Ok(Some(by_header))
        }
        (Some(_), _) => Err(bad_request("the request line names another host than the header `Host`")),
    }
}

fn refuse_foreign_pages(request: &Request, asked: Option<&Named>) -> Result<(), Problem> {
    let headers = request.headers();
    let is_own = |origin: &HeaderValue| asked.is_some_and(|asked| is_same(origin, asked));
    let foreign_origin = headers.get_all(ORIGIN).iter().any(|origin| !is_own(origin));
    // What has no `Origin`, as an image of another page: nobody follows a link to an image.
    let is = |name: &str, values: &[&str]| {
        headers.get(name).is_some_and(|value| values.iter().any(|known| value.as_bytes() == known.as_bytes()))
    };
    let follows_link = request.method() == Method::GET && is(FETCH_MODE, &["navigate"]);
    let foreign_part = is(FETCH_SITE, &["cross-site", "same-site"]) && !follows_link;
    match foreign_origin || foreign_part {
        true => Err(Problem::new(HttpCode::Forbidden, "a node takes no requests from pages of other sites")),
        false => Ok(()),
    }
}

/// Whether a page is one of the host that is asked.
fn is_same(origin: &HeaderValue, asked: &Named) -> bool {
    let page = || {
        let (scheme, authority) = origin.to_str().ok()?.split_once("://")?;
        let port = match scheme {
            "http" => 80,
            "https" => 443,
            _ => return None,
        };
        Some((Named::parse(authority)?, port))
    };
    page().is_some_and(|(page, port)| page.is_at(asked, port))
}

/// A body that is not JSON is one that any page may send without asking.
fn refuse_other_types(request: &Request) -> Result<(), Problem> {
    let has_body = request.body().size_hint().exact() != Some(0);
    match !has_body || is_json(request.headers()) {
        true => Ok(()),
        false => {
            let detail = format!("a body is to be JSON, and to say so: send `Content-Type: {JSON}`");
            Err(Problem::new(HttpCode::UnsupportedMediaType, detail))
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case(JSON)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    fn hosts(bound: &str) -> Hosts {
        let more = vec!["*.example.org".parse().unwrap(), "mesh".parse().unwrap()];
        Hosts::new(bound.parse().unwrap(), ["10.0.0.5", "node-a"], more)
    }

    fn status(hosts: &Hosts, headers: &[(&str, &str)]) -> u16 {
        let mut request = Request::builder().uri("/v1/cluster");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        match hosts.check(&request.body(Body::empty()).unwrap()) {
            Ok(()) => 200,
            Err(problem) => problem.status().as_u16(),
        }
    }

    #[test]
    fn a_node_on_loopback_is_known_by_few_names() {
        let hosts = hosts("127.0.0.1:8080");
        for host in [
            "localhost",
            "LOCALHOST:1",
            "localhost:",
            "localhost.:8080",
            "127.0.0.1:8080",
            "127.9.9.9",
            "[::1]:8080",
            "10.0.0.5:80",
            "node-a:8080",
            "mesh",
            "a.b.example.org:443",
        ] {
            assert_eq!(status(&hosts, &[("host", host)]), 200, "{host}");
        }
        for host in
            ["evil.net", "evil.net:8080", "localhost.evil.net", "10.0.0.6", "example.org", "x.localhost"]
        {
            assert_eq!(status(&hosts, &[("host", host)]), 421, "{host}");
        }
        for host in [
            "",
            "a@localhost",
            "localhost:x",
            "localhost:+1",
            "localhost:99999",
            "[::1]x",
            "a b",
            "[::1",
            "localhost/x",
        ] {
            assert_eq!(status(&hosts, &[("host", host)]), 400, "{host}");
        }
        assert_eq!(status(&hosts, &[]), 400);
    }

    #[test]
    fn a_node_that_others_reach_is_known_by_any_address() {
        let hosts = hosts("0.0.0.0:8080");
        for (host, expected) in [
            ("10.0.0.6", 200),
            ("[fd00::1]:8080", 200),
            ("localhost", 200),
            ("evil.net", 421),
            ("2130706433", 421),
        ] {
            assert_eq!(status(&hosts, &[("host", host)]), expected, "{host}");
        }
    }

    #[test]
    fn only_pages_of_the_node_itself_may_ask() {
        let hosts = hosts("127.0.0.1:8080");
        let with = |name, value| status(&hosts, &[("host", "localhost:8080"), (name, value)]);
        assert_eq!(with("origin", "http://localhost:8080"), 200);
        for page in [
            "null",
            "http://evil.net",
            "http://localhost",
            "http://localhost:3000",
            "http://127.0.0.1:8080",
            "file://",
            "localhost:8080",
        ] {
            assert_eq!(with("origin", page), 403, "{page}");
        }
        assert_eq!(status(&hosts, &[("host", "mesh"), ("origin", "https://mesh")]), 200, "behind a proxy");
        assert_eq!(status(&hosts, &[("host", "mesh"), ("origin", "https://mesh:8443")]), 403);
        for (site, expected) in [("none", 200), ("same-origin", 200), ("same-site", 403), ("cross-site", 403)]
        {
            assert_eq!(with("sec-fetch-site", site), expected, "{site}");
        }
        let link = [("host", "localhost"), ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")];
        assert_eq!(status(&hosts, &link), 200, "a link that somebody follows");
    }

    #[test]
    fn a_body_says_that_it_is_json() {
        let hosts = hosts("127.0.0.1:8080");
        let status = |kind: Option<&str>, body: &'static str| {
            let mut request = Request::builder().method("POST").uri("/").header("host", "localhost");
            if let Some(kind) = kind {
                request = request.header("content-type", kind);
            }
            hosts
                .check(&request.body(Body::from(body)).unwrap())
                .err()
                .map(|problem| problem.status().as_u16())
        };
        for kind in ["application/json", "Application/JSON; charset=utf-8", "application/json;x"] {
            assert_eq!(status(Some(kind), "1"), None, "{kind}");
        }
        for kind in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "application/jsonp",
            "",
            "text/plain;application/json",
        ] {
            assert_eq!(status(Some(kind), "1"), Some(415), "{kind}");
            assert_eq!(status(Some(kind), ""), None, "{kind}: there is no body");
        }
        assert_eq!((status(None, "1"), status(None, "")), (Some(415), None));
    }
}

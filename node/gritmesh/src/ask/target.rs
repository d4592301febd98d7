//! Where to ask, and what is sent along beside the question.

use std::fmt;
use std::str::FromStr;

use ureq::http::{HeaderName, HeaderValue, Uri, header};

/// Where a node serves HTTP: `HOST:PORT`, or an `http` or `https` URL, which may have a path that a proxy wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    scheme: &'static str,
    /// Host, port and path, without a slash at the end.
    rest: String,
}

impl Target {
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.rest)
    }
}

const HTTP: &str = "http";
const HTTPS: &str = "https";

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (scheme, rest) = text.split_once("://").unwrap_or((HTTP, text));
        let scheme = [HTTP, HTTPS].into_iter().find(|known| known.eq_ignore_ascii_case(scheme));
        let scheme = scheme.ok_or("only http and https can be spoken with a node")?;
        let target = Self { scheme, rest: rest.trim_end_matches('/').to_owned() };
        let uri: Option<Uri> = target.url("/").parse().ok();
        let fits = uri.is_some_and(|uri| {
            let authority = uri.authority().map_or("", |authority| authority.as_str());
            let host = uri.host().filter(|host| !host.is_empty());
            let port = host.and_then(|host| authority.strip_prefix(host));
            let is_port = |port: &str| port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
            port.is_some_and(|port| port.is_empty() || is_port(port)) && uri.query().is_none()
        });
        match fits {
            true => Ok(target),
            false => Err("give it as HOST:PORT, or as an http or https URL".to_owned()),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.scheme {
            HTTP => f.write_str(&self.rest),
            scheme => write!(f, "{scheme}://{}", self.rest),
        }
    }
}

/// A header given by hand, `NAME: VALUE`. It stands in the place of one of the same name that would be sent otherwise.
#[derive(Clone, Debug)]
pub(crate) struct HandHeader {
    pub(super) name: HeaderName,
    pub(super) value: HeaderValue,
}

/// What belongs to the body and the connection, which are not the caller's.
const NOT_BY_HAND: [HeaderName; 4] =
    [header::CONTENT_LENGTH, header::CONTENT_TYPE, header::TRANSFER_ENCODING, header::CONNECTION];

impl FromStr for HandHeader {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once(':').ok_or("give it as `NAME: VALUE`")?;
        let name: HeaderName = name.trim().parse().map_err(|_| "what stands before the colon is no name")?;
        if NOT_BY_HAND.contains(&name) {
            return Err(format!("`{name}` follows from what is sent"));
        }
        let value = HeaderValue::from_str(value.trim());
        let mut value = value.map_err(|_| format!("the value of `{name}` is not plain text"))?;
        value.set_sensitive(true);
        Ok(Self { name, value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_named_by_host_and_port_or_by_url() {
        let target = |text: &str| text.parse::<Target>();
        for (text, shown, url) in [
            ("127.0.0.1:8080", "127.0.0.1:8080", "http://127.0.0.1:8080/x"),
            ("http://a:1/", "a:1", "http://a:1/x"),
            ("HTTPS://a.example", "https://a.example", "https://a.example/x"),
            ("https://a/mesh/", "https://a/mesh", "https://a/mesh/x"),
            ("[::1]:8080", "[::1]:8080", "http://[::1]:8080/x"),
        ] {
            let target = target(text).unwrap();
            assert_eq!((target.to_string().as_str(), target.url("/x").as_str()), (shown, url));
        }
        for text in
            ["", "ftp://a", "http://", "a b:1", "me:secret@a:1", "a:1?b=c", "a:99999999", "\u{1b}[31m"]
        {
            assert!(target(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_header_has_a_name_and_a_value_and_is_never_shown() {
        let header: HandHeader = "X-Proxy:  letter 1 ".parse().unwrap();
        assert_eq!((header.name.as_str(), header.value.to_str().unwrap()), ("x-proxy", "letter 1"));
        assert!(!format!("{header:?}").contains("letter"));
        for text in ["", "x", ": y", "a b: c", "x: \u{7}", "Content-Length: 3", "transfer-encoding: chunked"]
        {
            assert!(text.parse::<HandHeader>().is_err(), "{text:?}");
        }
    }
}

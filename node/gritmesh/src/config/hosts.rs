//! Names under which a node is asked by HTTP, beside its own addresses.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::de::{self, Deserialize, Deserializer};

use super::units;

/// A host that requests may name: `mesh.example.org`, `*.example.org` for all names below it, or `*` for any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPattern(Pattern);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    Any,
    Below(String),
    Exact(HostName),
}

/// A host as it stands in a URL, without its port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum HostName {
    Address(IpAddr),
    /// In lower case, without the dot that may end it.
    Name(String),
}

impl HostName {
    /// `None` if it can be neither a name nor an address.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let bracketed = text.strip_prefix('[').map(|rest| rest.strip_suffix(']'));
        let address = match bracketed {
            Some(Some(inside)) => Some(IpAddr::V6(inside.parse().ok()?)),
            Some(None) => return None,
            None => text.parse().ok(),
        };
        if let Some(address) = address {
            return Some(Self::Address(address.to_canonical()));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let is_name = !name.is_empty() && name.bytes().all(fits);
        is_name.then(|| Self::Name(name.to_ascii_lowercase()))
    }
}

impl HostPattern {
    pub(crate) fn allows(&self, host: &HostName) -> bool {
        match (&self.0, host) {
            (Pattern::Any, _) => true,
            (Pattern::Exact(known), host) => known == host,
            (Pattern::Below(parent), HostName::Name(name)) => name
                .strip_suffix(parent.as_str())
                .is_some_and(|child| child.len() > 1 && child.ends_with('.')),
            (Pattern::Below(_), HostName::Address(_)) => false,
        }
    }
}

impl FromStr for HostPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let name = |text: &str| HostName::parse(text);
        let pattern = match (text, text.strip_prefix("*.")) {
            ("*", _) => Some(Pattern::Any),
            (_, Some(parent)) => match name(parent) {
                Some(HostName::Name(parent)) => Some(Pattern::Below(parent)),
                Some(HostName::Address(_)) | None => None,
            },
            (_, None) => name(text).map(Pattern::Exact),
        };
        pattern.map(Self).ok_or_else(|| {
            format!(
                "`{text}` is no host: write it without a scheme and a port, as `mesh.example.org`, or `*.example.org`, or `*`"
            )
        })
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Pattern::Any => f.write_str("*"),
            Pattern::Below(parent) => write!(f, "*.{parent}"),
            Pattern::Exact(HostName::Name(name)) => f.write_str(name),
            Pattern::Exact(HostName::Address(address)) => address.fmt(f),
        }
    }
}

/// Reads a list of them.
pub(super) fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<HostPattern>, D::Error> {
    let texts = units::list(deserializer)?;
    texts.iter().map(|text| text.parse().map_err(de::Error::custom)).collect()
}

impl<'de> Deserialize<'de> for HostPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        units::text(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_told_apart() {
        let name = |text: &str| Some(HostName::Name(text.to_owned()));
        let address = |text: &str| Some(HostName::Address(text.parse().unwrap()));
        assert_eq!(HostName::parse("Mesh.Example.org."), name("mesh.example.org"));
        assert_eq!(HostName::parse("10.0.0.1"), address("10.0.0.1"));
        assert_eq!(HostName::parse("[::1]"), address("::1"));
        assert_eq!(HostName::parse("[::ffff:10.0.0.1]"), address("10.0.0.1"), "the same address");
        for wrong in ["", ".", "[", "[]", "[::1", "[10.0.0.1]", "a b", "a@b", "a:1", "a/b", "é", "a%00"] {
            assert_eq!(HostName::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn patterns_allow_what_they_say() {
        let allows = |pattern: &str, host: &str| {
            pattern.parse::<HostPattern>().unwrap().allows(&HostName::parse(host).unwrap())
        };
        assert!(
            allows("Mesh.example.org", "mesh.EXAMPLE.org") && allows("*", "x") && allows("*", "10.0.0.1")
        );
        assert!(allows("*.example.org", "a.example.org") && allows("*.example.org", "a.b.example.org"));
        for host in ["example.org", "badexample.org", "example.org.evil.net", "10.0.0.1", ".example.org"] {
            assert!(!allows("*.example.org", host), "{host}");
        }
        assert!(!allows("mesh.example.org", "example.org") && !allows("mesh", "mesh.example.org"));
        for wrong in ["", "http://a", "a:8080", "*.", "**", "a.*", "*.10.0.0.1", "a b"] {
            let error = wrong.parse::<HostPattern>().unwrap_err();
            assert!(error.contains("without a scheme and a port"), "{error}");
        }
        for text in ["*", "*.example.org", "mesh", "10.0.0.1", "::1"] {
            assert_eq!(text.parse::<HostPattern>().unwrap().to_string(), text);
        }
    }
}

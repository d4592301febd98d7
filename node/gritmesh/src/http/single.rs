//! What may stand only once in a request, and stands twice.
//!
//! Of two values each reader takes another one: a proxy the last tenant, the node the first. So none is taken.

use axum::extract::{Query, Request};

use super::call::{DEADLINE, IDEMPOTENCY_KEY, TENANT, bad_request};
use super::origin::{FETCH_MODE, FETCH_SITE};
use super::problem::Problem;

/// Every header that this face reads by its value.
const SINGLE: [&str; 10] = [
    "authorization",
    "content-length",
    "content-type",
    "host",
    "origin",
    DEADLINE,
    FETCH_MODE,
    FETCH_SITE,
    IDEMPOTENCY_KEY,
    TENANT,
];

/// Refuses a header or a parameter that stands twice, even with the same value.
pub(super) fn check(request: &Request) -> Result<(), Problem> {
    let stands_twice = |name: &&str| request.headers().get_all(*name).iter().nth(1).is_some();
    let twice = SINGLE.into_iter().find(stands_twice);
    if let Some(name) = twice {
        return Err(bad_request(format!("the header `{name}` stands more than once")));
    }
    // What cannot be read at all is refused by whoever reads it.
    let parameters = Query::<Vec<(String, String)>>::try_from_uri(request.uri());
    let parameters = parameters.map(|Query(parameters)| parameters).unwrap_or_default();
    let mut names: Vec<&str> = parameters.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(bad_request(format!("the parameter `{}` stands more than once", pair[0]))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    fn refused(uri: &str, headers: &[(&str, &str)]) -> bool {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        check(&request.body(Body::empty()).unwrap()).is_err()
    }

    #[test]
    fn a_header_that_is_read_stands_once() {
        for name in SINGLE {
            assert!(!refused("/", &[(name, "a")]), "{name}");
            assert!(refused("/", &[(name, "a"), (name, "b")]), "{name}");
            assert!(refused("/", &[(name, "a"), ("accept", "*/*"), (name, "a")]), "{name}: the same value");
        }
        assert!(!refused("/", &[("accept", "a"), ("accept", "b")]), "one that may stand twice");
    }

    #[test]
    fn a_parameter_stands_once() {
        for uri in ["/", "/?", "/?a=1&b=1", "/?verbose", "/?a=1&A=2"] {
            assert!(!refused(uri, &[]), "{uri}");
        }
        for uri in ["/?a=1&a=2", "/?a=1&a=1", "/?a&b=1&a", "/?timeout=1s&time%6Fut=2s"] {
            assert!(refused(uri, &[]), "{uri}");
        }
    }
}

//! Variables that an orchestrator sets, and that only look like settings.
//!
//! Kubernetes, and Docker's links before it, tell every container where each service is, by variables that begin
//! with the service's name. A service called `gritmesh` or `gritmesh-peers` so makes variables with the prefix of
//! our settings. They are told by their form, of the name *and* of the value, so that a misspelt setting is still
//! refused.

use std::net::{IpAddr, SocketAddr};

const PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];

/// Whether a variable says where a service is.
pub(super) fn is_of_service(name: &str, value: &str) -> bool {
    is_host(name, value) || is_named_port(name, value) || is_link(name, value)
}

/// `GRITMESH_SERVICE_HOST=10.0.0.1`
fn is_host(name: &str, value: &str) -> bool {
    name.ends_with("_SERVICE_HOST") && value.parse::<IpAddr>().is_ok()
}

/// `GRITMESH_SERVICE_PORT=8080`, and `GRITMESH_SERVICE_PORT_WEB=8080` for a port with a name.
fn is_named_port(name: &str, value: &str) -> bool {
    let Some((_, port)) = name.rsplit_once("_SERVICE_PORT") else { return false };
    let is_name = port.is_empty() || port.len() > 1 && port.starts_with('_');
    is_name && value.parse::<u16>().is_ok()
}

/// `GRITMESH_PORT=tcp://10.0.0.1:8080`, and `GRITMESH_PORT_8080_TCP` with `_PROTO`, `_PORT` and `_ADDR` below it.
fn is_link(name: &str, value: &str) -> bool {
    if name.ends_with("_PORT") && is_url(value) {
        return true;
    }
    let Some((_, port)) = name.rsplit_once("_PORT_") else { return false };
    let mut parts = port.splitn(3, '_');
    let (number, protocol, what) = (parts.next(), parts.next(), parts.next());
    let is_port = number.is_some_and(|number| number.parse::<u16>().is_ok())
        && protocol.is_some_and(|protocol| PROTOCOLS.contains(&protocol));
    is_port
        && match what {
            None => is_url(value),
            Some("PROTO") => protocol.is_some_and(|protocol| protocol.eq_ignore_ascii_case(value)),
            Some("PORT") => number == Some(value),
            Some("ADDR") => value.parse::<IpAddr>().is_ok(),
            Some(_) => false,
        }
}

fn is_url(value: &str) -> bool {
    let Some((protocol, address)) = value.split_once("://") else { return false };
    PROTOCOLS.iter().any(|known| known.eq_ignore_ascii_case(protocol))
        && address.parse::<SocketAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_orchestrator_sets_is_told_by_its_form() {
        for service in ["GRITMESH", "GRITMESH_PEERS", "GRITMESH_SERVICE_PORTAL", "GRITMESH_PORT_X"] {
            for (rest, value) in [
                ("SERVICE_HOST", "10.0.0.1"),
                ("SERVICE_HOST", "fd00::1"),
                ("SERVICE_PORT", "8080"),
                ("SERVICE_PORT_HTTP_ALT", "8080"),
                ("PORT", "tcp://10.0.0.1:8080"),
                ("PORT", "udp://[fd00::1]:8080"),
                ("PORT_8080_TCP", "tcp://10.0.0.1:8080"),
                ("PORT_8080_TCP_PROTO", "tcp"),
                ("PORT_8080_TCP_PORT", "8080"),
                ("PORT_8080_TCP_ADDR", "10.0.0.1"),
                ("PORT_8080_SCTP_ADDR", "fd00::1"),
            ] {
                assert!(is_of_service(&format!("{service}_{rest}"), value), "{service}_{rest}={value}");
            }
        }
    }

    #[test]
    fn what_a_person_may_have_misspelt_is_not() {
        for (name, value) in [
            ("GRITMESH_PORT", "8080"),
            ("GRITMESH_PORT", "http://10.0.0.1:8080"),
            ("GRITMESH_PORT", "tcp://gritmesh:8080"),
            ("GRITMESH_HTTP_PORT", "8080"),
            ("GRITMESH_SERVICE_HOST", "gritmesh"),
            ("GRITMESH_SERVICE_PORT", "many"),
            ("GRITMESH_SERVICE_PORTS", "8080"),
            ("GRITMESH_SERVICE_PORT_", "8080"),
            ("GRITMESH_PORT_8080", "8080"),
            ("GRITMESH_PORT_X_TCP_ADDR", "10.0.0.1"),
            ("GRITMESH_PORT_8080_HTTP_ADDR", "10.0.0.1"),
            ("GRITMESH_PORT_8080_TCP_PORT", "8081"),
            ("GRITMESH_PORT_8080_TCP_PROTO", "udp"),
            ("GRITMESH_PORT_8080_TCP_HOST", "10.0.0.1"),
            ("GRITMESH_LISTEN", "tcp://10.0.0.1:8080"),
            ("GRITMESH_SERVICE", "10.0.0.1"),
        ] {
            assert!(!is_of_service(name, value), "{name}={value}");
        }
    }
}

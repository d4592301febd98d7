use std::cell::Cell;

use super::*;

#[test]
fn seeds_are_hosts_with_ports() {
    let sound = [
        "127.0.0.1:1",
        "[::1]:65535",
        "a:7946",
        "gm-0.gm.default.svc.cluster.local.:7946",
        "n_1:80",
        "3com:9",
    ];
    for text in sound {
        assert!(is_seed(text), "{text}");
    }
    let malformed = [
        "nonsense",
        "",
        ":",
        "a:",
        ":1",
        "a:0",
        "a:99999",
        "127.0.0.1:99999",
        "a:+1",
        "a:1:2",
        "::1:7946",
        "[::1]",
        "[a]:1",
        "10.0.0:1",
        "300.1.1.1:1",
        "http://a:1",
        "a/b:1",
        "a b:1",
        "a..b:1",
        "ä:1",
        "a:1\n",
        "user@a:1",
    ];
    for text in malformed {
        assert!(!is_seed(text), "{text:?}");
    }
    let error = check_seeds(&["a:1".into(), "nonsense".into()]).unwrap_err().to_string();
    assert!(
        error.contains("`nonsense`") && error.contains("HOST:PORT") && error.contains("`--seeds`"),
        "{error}"
    );
    assert!(!is_name(&"a".repeat(HOST_BYTES_MAX + 1)));
}

const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 7946);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn at(texts: &[&str]) -> Vec<SocketAddr> {
    texts.iter().map(|text| SocketAddr::new(ip(text), 7946)).collect()
}

/// A machine on two networks, of which it knows its neighbours only.
fn inside(other: SocketAddr) -> Option<IpAddr> {
    match other.ip().to_string().as_str() {
        near if near.starts_with("10.97.") => Some(ip("10.97.0.10")),
        near if near.starts_with("10.98.") => Some(ip("10.98.0.10")),
        near if near.starts_with("127.") => Some(ip("127.0.0.1")),
        _ => None,
    }
}

#[test]
fn the_address_is_the_one_by_which_seeds_are_reached() {
    let interfaces = [ip("10.97.0.10"), ip("10.98.0.10"), ip("fd00::10")];
    let chosen = |seeds: &[&str]| choose(LISTEN, &at(seeds), inside, &interfaces).map(|ip| ip.to_string());
    assert_eq!(chosen(&["10.98.0.11", "10.97.0.12"]).as_deref(), Some("10.98.0.10"));
    assert_eq!(
        chosen(&["127.0.1.1", "10.98.0.11"]).as_deref(),
        Some("10.98.0.10"),
        "its own name, as Debian has it"
    );
    assert_eq!(
        chosen(&["192.168.7.7"]).as_deref(),
        Some("10.97.0.10"),
        "no way to the seed, but an interface"
    );
    assert_eq!(chosen(&[]).as_deref(), Some("10.97.0.10"));
    assert_eq!(chosen(&["127.0.0.1"]).as_deref(), Some("10.97.0.10"), "others may come from elsewhere");
    let outward =
        |other: SocketAddr| if other.ip().is_loopback() { Some(other.ip()) } else { Some(ip("10.0.0.1")) };
    assert_eq!(choose(LISTEN, &[], outward, &interfaces), Some(ip("10.0.0.1")));
    let six = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 7946);
    assert_eq!(choose(six, &[], inside, &interfaces), Some(ip("fd00::10")), "it listens on IPv6 only");
}

#[test]
fn loopback_is_told_only_to_seeds_on_loopback() {
    let to_loopback = |_| Some(ip("127.0.0.1"));
    for seeds in [&[][..], &["10.97.0.11"], &["127.0.0.1", "10.97.0.11"]] {
        assert_eq!(choose(LISTEN, &at(seeds), to_loopback, &[]), None, "{seeds:?}");
    }
    assert_eq!(choose(LISTEN, &at(&["127.0.0.1"]), to_loopback, &[]), Some(ip("127.0.0.1")));
}

#[tokio::test]
async fn a_name_that_is_not_known_yet_is_tried_again() {
    let patience =
        |limit_ms| Patience { limit: Duration::from_millis(limit_ms), pause: Duration::from_millis(1) };
    let tries = Cell::new(0);
    let known_at_last = || {
        tries.set(tries.get() + 1);
        let found = match tries.get() {
            1 => Err(io::Error::other("no such name")),
            2 => Ok(Vec::new()),
            _ => Ok(at(&["10.97.0.10"])),
        };
        std::future::ready(found)
    };
    assert_eq!(until_known("n1", patience(60_000), known_at_last).await.unwrap(), at(&["10.97.0.10"]));
    assert_eq!(tries.get(), 3);
    let never = || std::future::ready(Err(io::Error::other("no such name")));
    let error = until_known("n1", patience(20), never).await.unwrap_err();
    assert_eq!(error.to_string(), "no such name");
    let error = until_known("n1", patience(20), std::future::pending).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}

#[test]
fn a_node_that_listens_on_all_addresses_knows_itself_by_each() {
    let own = own_addresses("0.0.0.0:7946", LISTEN, SocketAddr::new(ip("10.97.0.10"), 7946));
    for text in ["0.0.0.0:7946", "10.97.0.10:7946", "localhost:7946", "127.0.0.1:7946"] {
        assert!(own.contains(&text.to_owned()), "{own:?}");
    }
    for ip in own_interfaces().into_iter().filter(IpAddr::is_ipv4) {
        assert!(own.contains(&format!("{ip}:7946")), "{own:?}");
    }
}

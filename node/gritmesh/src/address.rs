//! Addresses that a node is given, and the one that it tells others.
//!
//! A node that listens on all addresses has to name one at which others find it. The right one is the one by which it
//! reaches *them*: a machine without a default route has it, too, and one with several networks has it in the right
//! one. Loopback is never told by a node that listens elsewhere: others would find themselves there.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use futures::future::join_all;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::confidential::needs_secret;
use crate::config::Settings;
use crate::start::{NO_HTTP, StartError};

/// How long the names of seeds may take to tell where the seeds are. Without an answer, the node goes by its routes.
const SEEDS_TIME_MAX: Duration = Duration::from_secs(2);

/// A name in `advertise` may not be known yet: a service that gives names to new machines needs a while.
const ADVERTISE_PATIENCE: Patience =
    Patience { limit: Duration::from_secs(30), pause: Duration::from_millis(500) };

/// For how long something is tried, and how long between two attempts.
#[derive(Clone, Copy, Debug)]
struct Patience {
    limit: Duration,
    pause: Duration,
}

/// Longest host name, by the rules of the domain name system.
const HOST_BYTES_MAX: usize = 253;

/// Refuses addresses with which no node can start, as far as that can be told without asking anybody.
pub(crate) fn check_addresses(settings: &Settings) -> Result<(), StartError> {
    let http = Some(&settings.http).filter(|http| http.as_str() != NO_HTTP);
    for (setting, text) in [("listen", Some(&settings.listen)), ("http", http)] {
        if let Some(text) = text.filter(|text| port_of(text).is_none()) {
            let source = io::Error::from(io::ErrorKind::InvalidInput);
            return Err(StartError::Address { setting, text: text.clone(), source });
        }
    }
    let advertise = &settings.advertise;
    if !advertise.is_empty() && !is_host(advertise) {
        let source = io::Error::from(io::ErrorKind::InvalidInput);
        return Err(StartError::Advertise { text: advertise.clone(), source });
    }
    if let Ok(listen) = settings.listen.parse::<SocketAddr>() {
        needs_secret(listen, !settings.secret.is_empty())?;
        if listen.port() != 0 && http == Some(&settings.listen) {
            return Err(StartError::SameAddress { address: listen });
        }
    }
    check_seeds(&settings.seeds)
}

/// Refuses seeds that no network could dial.
fn check_seeds(seeds: &[String]) -> Result<(), StartError> {
    match seeds.iter().find(|seed| !is_seed(seed)) {
        Some(text) => Err(StartError::Seed { text: text.clone() }),
        None => Ok(()),
    }
}

fn is_seed(text: &str) -> bool {
    port_of(text).is_some_and(|port| port != 0)
}

/// The port, if a text is a host and a port.
fn port_of(text: &str) -> Option<u16> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(address.port());
    }
    let (host, port) = text.rsplit_once(':')?;
    let is_written = is_name(host) && port.bytes().all(|byte| byte.is_ascii_digit());
    port.parse().ok().filter(|_| is_written)
}

fn is_host(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok() || is_name(text)
}

fn is_name(host: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let is_label = |label: &str| !label.is_empty() && label.bytes().all(is_letter);
    let labels = host.strip_suffix('.').unwrap_or(host);
    host.len() <= HOST_BYTES_MAX
        && labels.split('.').all(is_label)
        && !labels.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

/// The address at which others find this node, whose settings have been checked.
pub(crate) async fn advertised(settings: &Settings, listen: SocketAddr) -> Result<IpAddr, StartError> {
    let is_fit = |ip: &IpAddr| !listen.ip().is_unspecified() || ip.is_ipv4() == listen.is_ipv4();
    if !settings.advertise.is_empty() {
        let text = &settings.advertise;
        let lookup = || async { tokio::net::lookup_host((text.as_str(), 0)).await.map(Vec::from_iter) };
        let found = until_known(text, ADVERTISE_PATIENCE, lookup).await.and_then(|found| {
            let fit = found.iter().map(SocketAddr::ip).find(is_fit);
            fit.ok_or_else(|| io::Error::other("the host has no address of the kind that `listen` has"))
        });
        return found.map_err(|source| StartError::Advertise { text: text.clone(), source });
    }
    if !listen.ip().is_unspecified() {
        return Ok(listen.ip());
    }
    let seeds = addresses_of(&settings.seeds).await;
    let found = choose(listen, &seeds, source_toward, &own_interfaces());
    let found = found.ok_or(StartError::NoAddress { listen })?;
    tracing::info!(address = %found, "the others are told this address; if they cannot reach it, set `advertise`");
    Ok(found)
}

/// Looks a name up until it is known, for a while.
async fn until_known<F>(
    name: &str,
    patience: Patience,
    mut lookup: impl FnMut() -> F,
) -> io::Result<Vec<SocketAddr>>
where
    F: Future<Output = io::Result<Vec<SocketAddr>>>,
{
    let end = Instant::now() + patience.limit;
    let mut is_said = false;
    loop {
        let failed = match timeout_at(end, lookup()).await {
            Ok(Ok(found)) if !found.is_empty() => return Ok(found),
            Ok(Ok(_)) => io::Error::other("the host has no address"),
            Ok(Err(error)) => error,
            Err(_) => io::ErrorKind::TimedOut.into(),
        };
        if Instant::now() + patience.pause >= end {
            return Err(failed);
        }
        if !std::mem::replace(&mut is_said, true) {
            let limit_s = patience.limit.as_secs();
            tracing::warn!(name, error = %failed, limit_s, "the name in `advertise` is not known yet; it is tried again");
        }
        sleep(patience.pause).await;
    }
}

/// Where seeds are, as far as that is known soon.
async fn addresses_of(seeds: &[String]) -> Vec<SocketAddr> {
    let lookups = seeds.iter().map(|seed| timeout(SEEDS_TIME_MAX, tokio::net::lookup_host(seed)));
    let found = join_all(lookups).await.into_iter().filter_map(|found| found.ok()?.ok());
    found.flatten().collect()
}

/// The address to tell others, by what this machine would use toward them.
fn choose(
    listen: SocketAddr,
    seeds: &[SocketAddr],
    toward: impl Fn(SocketAddr) -> Option<IpAddr>,
    interfaces: &[IpAddr],
) -> Option<IpAddr> {
    let is_fit = |ip: &IpAddr| !ip.is_loopback() && !ip.is_unspecified() && ip.is_ipv4() == listen.is_ipv4();
    // Networks that are reserved for documentation: whoever is there is behind the default route.
    let outside: IpAddr = match listen {
        SocketAddr::V4(_) => Ipv4Addr::new(192, 0, 2, 1).into(),
        SocketAddr::V6(_) => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
    };
    let others = seeds.iter().filter(|seed| !seed.ip().is_loopback()).copied();
    let by_route = others.chain([SocketAddr::new(outside, 9)]).find_map(|other| toward(other).filter(is_fit));
    let by_interface = || interfaces.iter().copied().find(is_fit);
    // Nodes that all share this machine find each other on loopback, if it has nothing else.
    let all_here = !seeds.is_empty() && seeds.iter().all(|seed| seed.ip().is_loopback());
    let loopback = || all_here.then(|| seeds[0].ip()).filter(|ip| ip.is_ipv4() == listen.is_ipv4());
    by_route.or_else(by_interface).or_else(loopback)
}

/// The address from which this machine would speak to another one. Nothing is sent: connecting a datagram socket only
/// asks the routing table.
fn source_toward(other: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr =
        if other.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(other).ok()?;
    socket.local_addr().ok().map(|own| own.ip())
}

/// The addresses of this machine's interfaces that others could reach, in a fixed order.
fn own_interfaces() -> Vec<IpAddr> {
    let mut interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    interfaces.retain(|interface| {
        !interface.is_link_local() && interface.oper_status != if_addrs::IfOperStatus::Down
    });
    interfaces.sort_by_key(|interface| (interface.index, interface.ip()));
    interfaces.iter().map(if_addrs::Interface::ip).filter(|ip| !ip.is_loopback()).collect()
}

/// The texts under which this node may stand in a list of seeds that all nodes share.
pub(crate) fn own_addresses(listen: &str, bound: SocketAddr, advertised: SocketAddr) -> Vec<String> {
    let mut own = vec![listen.to_owned(), bound.to_string(), advertised.to_string()];
    if bound.ip().is_loopback() || bound.ip().is_unspecified() {
        own.extend([format!("localhost:{}", bound.port()), format!("127.0.0.1:{}", bound.port())]);
    }
    if bound.ip().is_unspecified() {
        let interfaces = own_interfaces().into_iter().filter(|ip| ip.is_ipv4() == bound.is_ipv4());
        own.extend(interfaces.map(|ip| SocketAddr::new(ip, bound.port()).to_string()));
    }
    own.sort();
    own.dedup();
    own
}

#[cfg(test)]
mod tests;

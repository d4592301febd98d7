//! etcd: puts of 100 bytes, each synced by a majority before it is answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context, Result};
use etcd_client::Client;
use tokio::sync::Mutex;

const TEXT_BYTES: usize = 100;
/// Distinct keys.
const KEYS: usize = 1024;
/// Callers, and puts with so many.
const LOADS: [(usize, usize); 3] = [(1, 2_000), (64, 30_000), (256, 50_000)];

pub(crate) async fn measure(endpoints: &str) -> Result<()> {
    let endpoints: Vec<&str> = endpoints.split(',').collect();
    let client = Client::connect(&endpoints, None).await.context("connecting to etcd")?;
    for (callers, puts) in LOADS {
        let (rate, p50_us) = put(&client, callers, puts).await?;
        println!("peer_etcd_{callers}={rate} puts/s");
        println!("peer_etcd_{callers}_p50={p50_us} us");
    }
    Ok(())
}

/// Puts per second, and their median latency in microseconds.
async fn put(client: &Client, callers: usize, puts: usize) -> Result<(f64, f64)> {
    let latencies_ns = Arc::new(Mutex::new(Vec::with_capacity(puts)));
    let next = Arc::new(AtomicUsize::new(0));
    let started = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let (mut kv, next, latencies_ns) = (client.kv_client(), Arc::clone(&next), Arc::clone(&latencies_ns));
            tokio::spawn(async move {
                let mut own_ns = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= puts {
                        break;
                    }
                    let begun = Instant::now();
                    let (key, value) = (format!("r{}", number % KEYS), format!("{number:0TEXT_BYTES$}"));
                    kv.put(key, value, None).await?;
                    own_ns.push(begun.elapsed().as_nanos());
                }
                latencies_ns.lock().await.extend(own_ns);
                anyhow::Ok(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    let elapsed_s = started.elapsed().as_secs_f64();
    let mut latencies_ns = latencies_ns.lock().await;
    latencies_ns.sort_unstable();
    let p50_ns = latencies_ns.get(latencies_ns.len() / 2).copied().context("something was put")?;
    Ok((puts as f64 / elapsed_s, p50_ns as f64 / 1000.0))
}

//! etcd: puts of 100 bytes, each synced by a majority before it is answered.

use anyhow::{Context, Result};
use etcd_client::Client;

use crate::load;

const TEXT_BYTES: usize = 100;
/// Distinct keys.
const KEYS: usize = 1024;
/// Callers, and puts with so many.
const LOADS: [(usize, usize); 3] = [(1, 2_000), (64, 30_016), (256, 50_176)];

pub(crate) async fn measure(endpoints: &str) -> Result<()> {
    let endpoints: Vec<&str> = endpoints.split(',').collect();
    let client = Client::connect(&endpoints, None).await.context("connecting to etcd")?;
    for (callers, puts) in LOADS {
        let client = client.clone();
        let loaded = load::run(callers, puts, move |_, number| {
            let mut kv = client.kv_client();
            async move {
                let (key, value) = (format!("r{}", number % KEYS), format!("{number:0TEXT_BYTES$}"));
                Ok(kv.put(key, value, None).await.map(drop)?)
            }
        })
        .await?;
        println!("peer_etcd_{callers}={} puts/s", loaded.per_second);
        println!("peer_etcd_{callers}_p50={} us", loaded.p50_us);
    }
    Ok(())
}

//! Closed-loop load: so many callers, each with one call outstanding.

use std::future::Future;
use std::time::Instant;

use anyhow::Result;

use crate::figures::percentile_us;

/// What a load came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Loaded {
    pub(crate) per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

/// Runs `calls` calls by `callers` tasks; each is told which caller it is of, and its number among them all. A call
/// that fails ends the measurement.
pub(crate) async fn run<F, Fut>(callers: usize, calls: usize, call: F) -> Result<Loaded>
where
    F: Fn(usize, usize) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = Result<()>> + Send,
{
    let started = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let call = call.clone();
            tokio::spawn(async move {
                let mut latencies = Vec::with_capacity(calls / callers);
                for round in 0..calls / callers {
                    let begun = Instant::now();
                    call(caller, round * callers + caller).await?;
                    latencies.push(u64::try_from(begun.elapsed().as_nanos())?);
                }
                anyhow::Ok(latencies)
            })
        })
        .collect();
    let mut latencies = Vec::with_capacity(calls);
    for task in tasks {
        latencies.extend(task.await??);
    }
    let per_second = latencies.len() as f64 / started.elapsed().as_secs_f64();
    let (p50_us, p99_us) = (percentile_us(&mut latencies, 50), percentile_us(&mut latencies, 99));
    Ok(Loaded { per_second, p50_us, p99_us })
}

/// As [`run`], without a look at the clock for every call: two of them cost as much as a local call. Each caller is
/// told which it is and how many calls to make, and makes them with what is its own: nothing is shared that is not
/// shared by the calls themselves.
pub(crate) async fn throughput<F, Fut>(callers: usize, calls: usize, caller: F) -> Result<f64>
where
    F: Fn(usize, usize) -> Fut,
    Fut: Future<Output = Result<()>> + Send + 'static,
{
    let started = Instant::now();
    let tasks: Vec<_> = (0..callers).map(|number| tokio::spawn(caller(number, calls / callers))).collect();
    for task in tasks {
        task.await??;
    }
    Ok(calls as f64 / started.elapsed().as_secs_f64())
}

/// A runtime of two workers, as a node on two cores has.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

//! The same closed loop as in `gritmesh-bench`: so many callers, each with one call outstanding.

use std::time::Instant;

use anyhow::Result;

/// Callers of one actor.
pub(crate) const CALLERS: usize = 64;
/// Calls of a local measurement.
pub(crate) const CALLS: usize = 2_000_000;

/// Calls per second.
pub(crate) async fn throughput<F, Fut>(callers: usize, calls: usize, call: F) -> Result<f64>
where
    F: Fn(usize) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = Result<()>> + Send,
{
    let started = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let call = call.clone();
            tokio::spawn(async move {
                for _ in 0..calls / callers {
                    call(caller).await?;
                }
                anyhow::Ok(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    Ok(calls as f64 / started.elapsed().as_secs_f64())
}

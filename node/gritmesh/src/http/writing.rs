//! Bytes on their way to a client: whether they are all written, and for how long it takes none.
//!
//! A client that does not read its answer would hold its connection, and the answer, for as long as it likes.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::resting::Seat;

/// How long a client may take nothing of what is written to it. Networks that lose packets recover within that.
pub(super) const STALL_TIME_MAX: Duration = Duration::from_secs(30);

/// A connection whose writes are looked at.
pub(super) struct Written<S> {
    stream: S,
    seat: Arc<Seat>,
    stall_max: Duration,
    /// Set while the client takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Written<S> {
    pub(super) const fn new(stream: S, seat: Arc<Seat>, stall_max: Duration) -> Self {
        Self { stream, seat, stall_max, stalled: None }
    }

    /// Passes on what came of a write, unless nothing did for too long.
    fn look<T>(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.stalled = None;
            return outcome;
        }
        let stall_max = self.stall_max;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(stall_max)));
        stalled.as_mut().poll(cx).map(|()| {
            let what = format!("the client took nothing of its answer for {} s", stall_max.as_secs());
            Err(io::Error::new(io::ErrorKind::TimedOut, what))
        })
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Written<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Written<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.look(cx, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.look(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Called when there is nothing left to write.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_flush(cx);
        let outcome = self.look(cx, outcome);
        if outcome.is_ready() {
            self.seat.written();
        }
        outcome
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::super::resting::Resting;
    use super::*;

    const STALL_MAX: Duration = Duration::from_millis(50);

    fn connection() -> (Written<DuplexStream>, DuplexStream) {
        let (stream, client) = duplex(16);
        let seat = Arc::new(Resting::default()).take_in([127, 0, 0, 1].into());
        (Written::new(stream, seat, STALL_MAX), client)
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_given_up() {
        let (mut written, _client) = connection();
        let error = written.write_all(&[0; 17]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_client_that_is_slow_is_not() {
        let (mut written, mut client) = connection();
        let reading = async {
            let mut read = 0;
            // Each read is well within the time, and all of them are not.
            while read < 16 * 20 {
                sleep(STALL_MAX / 10).await;
                read += client.read(&mut [0; 16]).await.unwrap();
            }
        };
        let bytes = [0; 16 * 20];
        let (outcome, ()) = tokio::join!(written.write_all(&bytes), reading);
        outcome.unwrap();
    }
}

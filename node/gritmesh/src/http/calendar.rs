//! Times for which HTTP has a form: from 1970 to 9999.
//!
//! The HTTP library dates every answer, and panics when the clock shows another time, as that of a machine does that has
//! lost it. So it is not asked then: connections are refused in words, and those that are open end.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The first second of the year 10000.
const END: Duration = Duration::from_secs(253_402_300_800);

/// Whether the clock shows such a time.
pub(super) fn has_date() -> bool {
    is_date(SystemTime::now())
}

/// The library looks at the clock a moment later.
fn is_date(time: SystemTime) -> bool {
    time.duration_since(UNIX_EPOCH).is_ok_and(|since| since + Duration::from_secs(60) < END)
}

/// Does what a connection does, for as long as the clock shows such a time.
pub(super) async fn while_dated<T>(connection: impl Future<Output = T>) -> Option<T> {
    let mut connection = pin!(connection);
    poll_fn(|cx| match has_date() {
        true => connection.as_mut().poll(cx).map(Some),
        false => Poll::Ready(None),
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn before_1970_and_after_9999_there_is_no_date() {
        let second = Duration::from_secs(1);
        assert!(is_date(UNIX_EPOCH) && is_date(UNIX_EPOCH + END / 2) && is_date(SystemTime::now()));
        assert!(!is_date(UNIX_EPOCH - second) && !is_date(UNIX_EPOCH - END));
        assert!(!is_date(UNIX_EPOCH + END) && !is_date(UNIX_EPOCH + END - second));
    }
}

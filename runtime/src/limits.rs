//! Limits: how much of anything there may be, and how long anything may take.
//!
//! **Problem.** A limit of production is chosen so that nobody meets it on a good day. So what happens at it is never
//! tried either, not in twenty seconds of a simulated cluster.
//!
//! **Design.** [`limits!`](crate::limits) declares the limits of one room as a struct: each with its reason, its value in
//! production, and the small values that are worth a try. Machines are given the struct. Whoever wants other values goes
//! through all of them by name ([`Limits::each`]), so the simulator draws some by its seed, and a file may set them.
//!
//! **Deliberately absent.** Limits on which nodes or builds have to agree, as those of frames and formats: they are
//! constants. No operator is asked for a limit; what operators set is an option with a name of its own.

use std::fmt;
use std::time::Duration;

/// A value that limits something. Texts are those of the simulator: `8`, `250ms`, `30s`.
pub trait Limit: fmt::Debug {
    /// The value as a text that [`Self::read`] takes.
    fn text(&self) -> String;

    /// Takes the value from a text. Returns whether it is one; if not, nothing changes.
    fn read(&mut self, text: &str) -> bool;
}

macro_rules! number {
    ($($kind:ty),*) => {$(
        impl Limit for $kind {
            fn text(&self) -> String {
                self.to_string()
            }

            fn read(&mut self, text: &str) -> bool {
                text.parse().map(|value| *self = value).is_ok()
            }
        }
    )*};
}

number!(u8, u16, u32, u64, usize);

impl Limit for Duration {
    fn text(&self) -> String {
        match self.subsec_nanos() {
            0 => format!("{}s", self.as_secs()),
            nanos if nanos % 1_000_000 == 0 => format!("{}ms", self.as_millis()),
            _ => format!("{}us", self.as_micros()),
        }
    }

    fn read(&mut self, text: &str) -> bool {
        let at = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(at);
        let Ok(number) = number.parse() else { return false };
        *self = match unit {
            "s" => Self::from_secs(number),
            "ms" => Self::from_millis(number),
            "us" => Self::from_micros(number),
            _ => return false,
        };
        true
    }
}

/// One limit of many: its name, and what it may be.
#[derive(Debug)]
pub struct NamedLimit<'a> {
    /// `room.limit`, as `delivery.window`.
    pub name: String,
    /// Small values that are worth a try.
    pub small: &'static [&'static str],
    /// What it is.
    pub value: &'a mut dyn Limit,
}

/// All limits of a room, or of rooms together.
pub trait Limits {
    /// Shows every limit, always in the same order.
    fn each(&mut self, see: &mut dyn FnMut(NamedLimit<'_>));
}

/// Declares the limits of a room: for each what it limits and why, its value in production, and small values.
///
/// ```
/// use std::time::Duration;
///
/// gritmesh_runtime::limits! {
///     /// Limits of a queue.
///     pub struct QueueLimits in "queue" {
///         /// Orders that wait. More would be answered after their deadline.
///         waiting_max: usize = 1_000, small ["1", "2"];
///         /// How long one may wait.
///         patience: Duration = Duration::from_secs(30), small ["50ms"];
///     }
/// }
///
/// assert_eq!(QueueLimits::default().waiting_max, 1_000);
/// ```
#[macro_export]
macro_rules! limits {
    (
        $(#[$about:meta])*
        $visible:vis struct $name:ident in $room:literal {
            $(
                $(#[$reason:meta])*
                $limit:ident: $kind:ty = $production:expr, small [$($small:literal),+ $(,)?];
            )*
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $visible struct $name {
            $( $(#[$reason])* pub $limit: $kind, )*
        }

        impl $name {
            /// The values of production.
            $visible const PRODUCTION: Self = Self { $( $limit: $production, )* };
        }

        impl Default for $name {
            fn default() -> Self {
                Self::PRODUCTION
            }
        }

        impl $crate::Limits for $name {
            fn each(&mut self, see: &mut dyn FnMut($crate::NamedLimit<'_>)) {
                $(
                    see($crate::NamedLimit {
                        name: concat!($room, ".", stringify!($limit)).to_owned(),
                        small: &[$($small),+],
                        value: &mut self.$limit,
                    });
                )*
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    limits! {
        /// Limits of a queue.
        struct QueueLimits in "queue" {
            /// Orders that wait.
            waiting_max: usize = 1_000, small ["1", "2"];
            /// How long one may wait.
            patience: Duration = Duration::from_secs(30), small ["50ms"];
        }
    }

    #[test]
    fn each_limit_has_its_name_and_takes_its_small_values() {
        let mut limits = QueueLimits::default();
        let mut names = Vec::new();
        limits.each(&mut |limit| {
            names.push(format!("{} = {}", limit.name, limit.value.text()));
            assert!(limit.small.iter().all(|small| limit.value.read(small)));
        });
        assert_eq!(names, ["queue.waiting_max = 1000", "queue.patience = 30s"]);
        assert_eq!(limits, QueueLimits { waiting_max: 2, patience: Duration::from_millis(50) });
    }

    #[test]
    fn texts_of_durations_are_read_back_and_others_change_nothing() {
        for micros in [0, 1, 999, 1_000, 250_000, 30_000_000, 86_400_000_000] {
            let (value, mut read) = (Duration::from_micros(micros), Duration::MAX);
            assert!(read.read(&value.text()), "{value:?}");
            assert_eq!(read, value);
        }
        let mut value = Duration::from_secs(1);
        for text in ["", "s", "5", "5 s", "-1s", "1.5s", "99999999999999999999s", "5min"] {
            assert!(!value.read(text), "{text}");
        }
        let mut number = 7_u32;
        assert!(!number.read("4294967296") && !number.read("-1") && !number.read("1s"));
        assert_eq!((value, number), (Duration::from_secs(1), 7));
    }
}

//! How a command ends, for scripts.

use std::process::ExitCode;

use crate::ask::Refusal;

/// Exit codes of every command, beside 0 for success and 130 for a second signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// It was refused or failed, and the same would be again.
    Refused,
    /// The command line or a setting is wrong, or the node cannot start.
    Usage,
    /// Nothing was done, and the same may succeed later.
    Retryable,
    /// It may have been done.
    Unknown,
    /// No node answers, or something else does.
    Unreachable,
}

/// What the help says of them, below the examples.
pub(super) const EXIT_HELP: &str = "
Exit codes:
  0    done
  1    refused or failed: the same command would fail again
  2    the command line or a setting is wrong, or the node cannot start
  3    not done for now: the same command may succeed later
  4    the outcome is not known: it may have been done
  5    no node answers where one was looked for
  130  a second signal cut stopping short

With -o json, every failure is one JSON document on standard output, with `code`, `message` and `exit`.";

impl Exit {
    pub(super) fn of(refusal: &Refusal) -> Self {
        match refusal.code() {
            "unknown_outcome" => Self::Unknown,
            "unreachable" | "not_a_node" => Self::Unreachable,
            _ if refusal.is_retryable() => Self::Retryable,
            _ => Self::Refused,
        }
    }

    pub(super) const fn code(self) -> u8 {
        match self {
            Self::Refused => 1,
            Self::Usage => 2,
            Self::Retryable => 3,
            Self::Unknown => 4,
            Self::Unreachable => 5,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const DOCUMENT: &str = include_str!("../../../../docs/errors.md");

    #[test]
    fn a_refusal_ends_by_what_may_be_done_about_it() {
        let exit = |code: &str, retryable: bool| {
            Exit::of(&Refusal(json!({ "code": code, "retryable": retryable }))).code()
        };
        for (code, retryable, expected) in [
            ("bad_arguments", false, 1),
            ("not_delivered", true, 3),
            ("unknown_outcome", false, 4),
            ("unreachable", false, 5),
            ("not_a_node", false, 5),
            ("a_code_of_a_later_version", true, 3),
        ] {
            assert_eq!(exit(code, retryable), expected, "{code}");
        }
    }

    /// The help and the document list the same codes.
    #[test]
    fn every_exit_code_is_documented() {
        let helped = EXIT_HELP.lines().filter_map(|line| line.strip_prefix("  "));
        let helped: Vec<&str> = helped.filter_map(|line| line.split_whitespace().next()).collect();
        assert_eq!(helped, ["0", "1", "2", "3", "4", "5", "130"]);
        let section = DOCUMENT.split("\n## Command line\n").nth(1).unwrap();
        let rows = section.lines().filter_map(|line| line.strip_prefix("| ")?.split(' ').next());
        let documented: Vec<&str> = rows.filter(|cell| cell.parse::<u8>().is_ok()).collect();
        assert_eq!(documented, helped);
    }
}

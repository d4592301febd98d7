//! This program, started again as another process that does one thing.

use std::path::Path;
use std::process::{Command, Stdio};

/// What the other process does, and where. Unset in the process that runs the tests.
const ROLE: &str = "GRITMESH_TEST_ROLE";
const DIRECTORY: &str = "GRITMESH_TEST_DIRECTORY";

/// A command that runs a role, a test of this program that does nothing unless it is asked to.
pub(crate) fn command(role: &str, directory: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
    command.args([role, "--exact", "--nocapture"]).env(ROLE, role).env(DIRECTORY, directory);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The directory, if this process is to play the role.
pub(crate) fn role(role: &str) -> Option<std::path::PathBuf> {
    let asked = std::env::var(ROLE).is_ok_and(|asked| asked == role);
    asked.then(|| std::env::var_os(DIRECTORY).expect("a role has a directory").into())
}

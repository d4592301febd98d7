//! One process and what it prints.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use super::{gritmesh, until};

/// Lines of a process's errors that are shown when its test fails.
const LINES_SHOWN: usize = 25;

/// A running process. It is killed when this is dropped.
pub(crate) struct Process {
    child: Child,
    out: PathBuf,
    errors: PathBuf,
}

impl Process {
    /// Starts a command whose output goes to `NAME.out` and `NAME.err` in a folder.
    pub(crate) fn start(command: &mut Command, folder: &Path, name: &str) -> Self {
        let (out, errors) = (folder.join(format!("{name}.out")), folder.join(format!("{name}.err")));
        without_settings(command);
        command.stdin(Stdio::null());
        command.stdout(File::create(&out).unwrap()).stderr(File::create(&errors).unwrap());
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self { child, out, errors }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.id().to_string()).status();
        assert!(sent.is_ok_and(|status| status.success()), "no signal {name} to {}", self.id());
    }

    /// Waits until it has ended.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        until("the process ends", || self.child.try_wait().unwrap())
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Ends it as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }

    pub(crate) fn stdout(&self) -> String {
        fs::read_to_string(&self.out).unwrap()
    }

    pub(crate) fn stderr(&self) -> String {
        fs::read_to_string(&self.errors).unwrap()
    }

    /// Waits until a line of its errors holds a text, and returns that line.
    #[track_caller]
    pub(crate) fn logs(&self, text: &str) -> String {
        let find = || self.stderr().lines().find(|line| line.contains(text)).map(str::to_owned);
        until(&format!("the log says {text:?}"), find)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let errors = fs::read_to_string(&self.errors).unwrap_or_default();
            let lines: Vec<&str> = errors.lines().collect();
            let shown = &lines[lines.len().saturating_sub(LINES_SHOWN)..];
            eprintln!("--- the last lines of {}:\n{}", self.errors.display(), shown.join("\n"));
        }
    }
}

/// A process that has ended.
#[derive(Clone, Debug)]
pub(crate) struct Finished {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Finished {
    /// What it printed, if it succeeded.
    #[track_caller]
    pub(crate) fn succeeded(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.stdout
    }
}

/// Runs the stock binary to its end.
pub(crate) fn finish<'a>(folder: &Path, arguments: impl IntoIterator<Item = &'a str>) -> Finished {
    let mut command = Command::new(gritmesh());
    command.args(arguments).current_dir(folder);
    // Several may run beside each other.
    let name = format!("finish-{:?}", std::thread::current().id()).replace(['(', ')'], "-");
    let mut process = Process::start(&mut command, folder, &name);
    let code = process.ended().code();
    Finished { code, stdout: process.stdout(), stderr: process.stderr() }
}

/// Settings of whoever runs the tests are not the tests'.
fn without_settings(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("GRITMESH_") {
            command.env_remove(name);
        }
    }
}

//! Running the binary.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Far more than anything here takes; reached only in failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The binary, without what the surroundings may have set for it.
pub(crate) fn gritmesh(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gritmesh"));
    command.args(arguments).env_clear().stdin(Stdio::null());
    command
}

pub(crate) fn run(arguments: &[&str]) -> Output {
    gritmesh(arguments).output().unwrap()
}

/// The arguments of a node that takes free ports.
pub(crate) fn up<'a>(data: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments =
        vec!["up", "--data", data.to_str().unwrap(), "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"];
    arguments.extend(more);
    arguments
}

/// A process that goes on. Killed when it is dropped.
pub(crate) struct Running {
    child: Child,
    said: Arc<Mutex<Vec<String>>>,
    complained: Arc<Mutex<Vec<String>>>,
}

impl Running {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::of(gritmesh(arguments))
    }

    pub(crate) fn of(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let said = collect(child.stdout.take().unwrap());
        let complained = collect(child.stderr.take().unwrap());
        Self { child, said, complained }
    }

    /// Waits for a line on standard output, and returns it.
    pub(crate) fn says(&self, text: &str) -> String {
        self.wait_for(&self.said, text)
    }

    /// Waits for a line on standard error, and returns it.
    pub(crate) fn complains(&self, text: &str) -> String {
        self.wait_for(&self.complained, text)
    }

    fn wait_for(&self, lines: &Mutex<Vec<String>>, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(line) = lines.lock().unwrap().iter().find(|line| line.contains(text)) {
                return line.clone();
            }
            assert!(
                Instant::now() < deadline,
                "no {text:?}; {:?} {:?}",
                self.said.lock(),
                self.complained.lock()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The JSON object on standard output that has a member.
    pub(crate) fn says_json(&self, member: &str) -> Value {
        serde_json::from_str(&self.says(&format!("\"{member}\":"))).unwrap()
    }

    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(status.unwrap().success());
    }

    /// Waits for the end and returns the exit code.
    pub(crate) fn ends(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "it goes on: {:?}", self.complained.lock());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn goes_on(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub(crate) fn complaints(&self) -> Vec<String> {
        self.complained.lock().unwrap().clone()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn collect(stream: impl Read + Send + 'static) -> Arc<Mutex<Vec<String>>> {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&lines);
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            into.lock().unwrap().push(line);
        }
    });
    lines
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

//! The real clock, tasks and files. The only place of this crate that touches the operating system.

#![expect(clippy::disallowed_methods, reason = "this module is where ambient time and tasks enter")]

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::task::{Context, Poll, ready};
use std::time::SystemTime;

use crate::{BoxFuture, Clock, Disk, DiskError, Instant, Persisted, Record, Spawn, UnixTime};

/// The operating system's clocks.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    origin: std::time::Instant,
}

impl SystemClock {
    /// A clock that starts at zero now.
    pub fn start() -> Self {
        Self { origin: std::time::Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant::from_nanos(u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    fn unix_time(&self) -> UnixTime {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        UnixTime(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

/// Tasks on a tokio runtime.
#[derive(Clone, Debug)]
pub struct TokioSpawn {
    handle: tokio::runtime::Handle,
    clock: SystemClock,
}

impl TokioSpawn {
    /// Spawns on the given runtime, reading deadlines by the given clock.
    pub const fn new(handle: tokio::runtime::Handle, clock: SystemClock) -> Self {
        Self { handle, clock }
    }
}

impl Spawn for TokioSpawn {
    fn spawn(&self, task: BoxFuture<()>) {
        // Detached on purpose: an activation ends its own task, and shutdown drops the runtime.
        drop(self.handle.spawn(task));
    }

    fn sleep_until(&self, due: Instant) -> BoxFuture<()> {
        let due = self.clock.origin + std::time::Duration::from_nanos(due.as_nanos());
        // Machines run on whichever thread brings an event, and the disk's is none of tokio's.
        let _context = self.handle.enter();
        Box::pin(tokio::time::sleep_until(due.into()))
    }

    fn poll_proceed(&self, cx: &mut Context<'_>) -> Poll<()> {
        let budget = ready!(tokio::task::coop::poll_proceed(cx));
        budget.made_progress();
        Poll::Ready(())
    }
}

/// Writes that may wait for the disk. A node writes a handful of records in its life, so this is ample.
const WRITES_WAITING_MAX: usize = 1024;

/// Records as files of a directory, one each, replaced atomically and synced.
#[derive(Debug)]
pub struct DirectoryDisk {
    directory: PathBuf,
    writes: SyncSender<(Vec<Record>, Persisted)>,
}

impl DirectoryDisk {
    /// Opens a directory, which is created if it is missing. What waits for a write is called by the writer's own
    /// thread, as a part of the tokio runtime on which this is called, if it is.
    ///
    /// # Errors
    /// If the directory cannot be created or written to.
    pub fn open(directory: &Path) -> Result<Self, DiskError> {
        let failed = |operation, source| io_error(operation, directory, source);
        std::fs::create_dir_all(directory).map_err(|e| failed("creating", e))?;
        let probe = directory.join(".probe");
        std::fs::write(&probe, b"")
            .and_then(|()| std::fs::remove_file(&probe))
            .map_err(|e| failed("writing to", e))?;
        let (writes, queue) = sync_channel::<(Vec<Record>, Persisted)>(WRITES_WAITING_MAX);
        let target = directory.to_owned();
        // Whoever is told of a write may go on to run handlers, and those expect to be on the runtime.
        let runtime = tokio::runtime::Handle::try_current().ok();
        std::thread::Builder::new()
            .name("disk".into())
            .spawn(move || {
                let _entered = runtime.as_ref().map(tokio::runtime::Handle::enter);
                for (records, done) in queue {
                    done(records.iter().try_for_each(|record| write_record(&target, record)));
                }
            })
            .map_err(|e| failed("starting the writer of", e))?;
        Ok(Self { directory: directory.to_owned(), writes })
    }
}

impl Disk for DirectoryDisk {
    fn read(&self, key: &str) -> Result<Option<Vec<u8>>, DiskError> {
        let path = self.directory.join(key);
        match std::fs::read(&path) {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io_error("reading", &path, error)),
        }
    }

    fn write(&self, records: Vec<Record>, done: Persisted) {
        match self.writes.try_send((records, done)) {
            Ok(()) => {}
            Err(TrySendError::Full((_, done)) | TrySendError::Disconnected((_, done))) => {
                done(Err(DiskError::Closed));
            }
        }
    }
}

fn write_record(directory: &Path, record: &Record) -> Result<(), DiskError> {
    let path = directory.join(&record.key);
    let sync_directory = || std::fs::File::open(directory)?.sync_all();
    match &record.value {
        Some(value) => {
            let fresh = directory.join(format!("{}.new", record.key));
            let write = || {
                let mut file = std::fs::File::create(&fresh)?;
                io::Write::write_all(&mut file, value)?;
                file.sync_all()?;
                std::fs::rename(&fresh, &path)?;
                sync_directory()
            };
            write().map_err(|e| io_error("writing", &path, e))
        }
        None => match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error("removing", &path, error)),
            _ => sync_directory().map_err(|e| io_error("syncing", directory, e)),
        },
    }
}

fn io_error(operation: &'static str, path: &Path, source: io::Error) -> DiskError {
    DiskError::Io { operation, path: path.display().to_string(), source: Arc::new(source) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(disk: &DirectoryDisk, key: &str, value: Option<&[u8]>) -> Result<(), DiskError> {
        let (done, wait) = std::sync::mpsc::channel();
        let record = Record { key: key.into(), value: value.map(<[u8]>::to_vec) };
        disk.write(vec![record], Box::new(move |result| done.send(result).unwrap()));
        wait.recv().unwrap()
    }

    #[test]
    fn records_survive_reopening() {
        let directory = tempfile::tempdir().unwrap();
        let disk = DirectoryDisk::open(directory.path()).unwrap();
        assert_eq!(disk.read("cluster").unwrap(), None);
        write(&disk, "cluster", Some(b"one")).unwrap();
        write(&disk, "cluster", Some(b"two")).unwrap();
        drop(disk);
        let disk = DirectoryDisk::open(directory.path()).unwrap();
        assert_eq!(disk.read("cluster").unwrap(), Some(b"two".to_vec()));
        write(&disk, "cluster", None).unwrap();
        assert_eq!(disk.read("cluster").unwrap(), None);
    }

    #[test]
    fn an_unusable_directory_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        std::fs::write(&file, b"").unwrap();
        assert!(matches!(DirectoryDisk::open(&file), Err(DiskError::Io { .. })));
    }

    #[tokio::test]
    async fn a_thread_of_no_executor_may_ask_for_a_sleep() {
        let clock = SystemClock::start();
        let spawn = TokioSpawn::new(tokio::runtime::Handle::current(), clock);
        let due = clock.now();
        std::thread::spawn(move || spawn.sleep_until(due)).join().unwrap().await;
    }

    #[tokio::test]
    async fn sleeping_lasts_until_the_deadline() {
        let clock = SystemClock::start();
        let spawn = TokioSpawn::new(tokio::runtime::Handle::current(), clock);
        let due = clock.now() + std::time::Duration::from_millis(20);
        spawn.sleep_until(due).await;
        assert!(clock.now() >= due);
    }

    #[tokio::test]
    async fn a_thread_outside_of_the_runtime_may_ask_for_sleep() {
        let clock = SystemClock::start();
        let spawn = TokioSpawn::new(tokio::runtime::Handle::current(), clock);
        let sleep = std::thread::spawn(move || spawn.sleep_until(clock.now())).join().unwrap();
        sleep.await;
    }

    #[tokio::test]
    async fn whoever_waits_for_a_write_is_called_on_the_runtime() {
        let directory = tempfile::tempdir().unwrap();
        let disk = DirectoryDisk::open(directory.path()).unwrap();
        let (done, wait) = tokio::sync::oneshot::channel();
        let told = Box::new(move |_| done.send(tokio::runtime::Handle::try_current().is_ok()).unwrap());
        disk.write(Vec::new(), told);
        assert!(wait.await.unwrap());
    }
}

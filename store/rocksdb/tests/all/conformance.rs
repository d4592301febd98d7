//! What every disk promises.

use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use gritmesh_runtime::Disk;
use gritmesh_runtime::disk_conformance::{CASES, Subject};
use gritmesh_store_rocksdb::RocksDisk;
use tempfile::TempDir;

use crate::open;

struct Real {
    folder: TempDir,
    disk: Arc<RocksDisk>,
}

impl Real {
    fn fresh() -> Self {
        let folder = tempfile::tempdir().expect("there is a place for temporary files");
        let disk = Arc::new(open(folder.path()));
        Self { folder, disk }
    }
}

impl Subject for Real {
    fn disk(&self) -> Arc<dyn Disk> {
        Arc::clone(&self.disk) as _
    }

    fn settle(&mut self) {
        let (done, wait) = sync_channel(1);
        self.disk.write(Arc::default(), Box::new(move |_| done.send(()).expect("the test waits")));
        wait.recv().expect("every batch completes");
    }

    /// A process that closes its disk. One that is killed is the subject of a test of its own.
    fn crash(&mut self) {
        self.disk.close();
        self.disk = Arc::new(open(self.folder.path()));
    }
}

#[test]
fn the_promises_of_every_disk_hold() {
    for (name, case) in CASES {
        println!("{name}");
        case(&mut Real::fresh());
    }
}

//! The repository as a set of files to read: where its root is, and every text of a kind in it.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders that hold what was built or recorded, not what was written.
const SKIPPED_FOLDERS: [&str; 4] = [".git", ".demo", "target", "node_modules"];

/// One text file of the repository.
#[derive(Clone, Debug)]
pub(crate) struct TextFile {
    /// Path from the root, with `/` between its parts.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// The folder that holds the workspace's `Cargo.toml`.
pub(crate) fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the package lies one level below the root").to_path_buf()
}

/// Every file whose name satisfies `wanted`, in the order of their paths.
pub(crate) fn files(wanted: impl Fn(&str) -> bool) -> Vec<TextFile> {
    let root = root();
    paths(wanted).into_iter().map(|path| read(&root, path)).collect()
}

/// The paths from the root, in order, of every file whose name satisfies `wanted`.
pub(crate) fn paths(wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let root = root();
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the repository can be listed") {
            let path = entry.expect("a folder of the repository can be listed").path();
            let name = path.file_name().expect("an entry has a name").to_string_lossy().into_owned();
            if path.is_dir() {
                if !SKIPPED_FOLDERS.contains(&name.as_str()) {
                    folders.push(path);
                }
            } else if wanted(&name) {
                let relative = path.strip_prefix(&root).expect("the walk started at the root");
                found.push(relative.to_string_lossy().replace('\\', "/"));
            }
        }
    }
    found.sort();
    found
}

fn read(root: &Path, path: String) -> TextFile {
    let text = fs::read_to_string(root.join(&path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    TextFile { path, text }
}

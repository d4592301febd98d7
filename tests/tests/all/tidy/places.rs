//! The repository speaks of itself alone: no folder of one person's machine, no place that packages came from.

use super::{Finding, settle};
use crate::tree;

/// Folders that exist on one machine only. Written in two parts, so that this file does not find itself.
const FOLDERS: [&str; 5] = [
    concat!("/wo", "rk"),
    concat!("/ro", "ot"),
    concat!("/ho", "me"),
    concat!("/Us", "ers"),
    concat!("/t", "mp"),
];
/// Hosts of package registries: a mirror's name in a text or a script breaks it for everybody else.
const REGISTRIES: [&str; 7] = [
    concat!("crates", ".io"),
    concat!("npmjs", ".org"),
    concat!("npmjs", ".com"),
    concat!("pypi", ".org"),
    concat!("deb.debian", ".org"),
    concat!("proxy.golang", ".org"),
    concat!("docker", ".io"),
];
const READ: [&str; 9] = [".md", ".rs", ".toml", ".sh", ".yml", ".yaml", ".json", ".html", ".snap"];

#[test]
fn nothing_names_a_machine_or_a_registry() {
    let texts = tree::files(|name| name == "run" || READ.iter().any(|end| name.ends_with(end)));
    settle(
        "places",
        &texts.iter().flat_map(|file| foreign_places(&file.path, &file.text)).collect::<Vec<_>>(),
    );
}

fn foreign_places(path: &str, text: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for folder in FOLDERS.iter().filter(|folder| names_folder(line, folder)) {
            found.push(Finding::new(path, index + 1, format!("`{folder}` is a folder of one machine")));
        }
        for host in REGISTRIES.iter().filter(|host| line.contains(**host)) {
            found.push(Finding::new(path, index + 1, format!("`{host}` is a package registry")));
        }
    }
    found
}

/// Whether an absolute path begins with the folder: `docs/home` and `/homes` do not.
fn names_folder(line: &str, folder: &str) -> bool {
    let part_of_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '}' | ')' | '~');
    line.match_indices(folder).any(|(at, _)| {
        let inside = line[..at].chars().next_back().is_some_and(part_of_name);
        let longer = line[at + folder.len()..]
            .chars()
            .next()
            .is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '-'));
        !inside && !longer
    })
}

#[test]
fn machines_and_registries_are_found() {
    let sample = concat!("see /wo", "rk/main\n`/t", "mp/x`\nfrom static.crates", ".io\n\"/ho", "me\"\n");
    let lines: Vec<_> = foreign_places("a.md", sample).iter().map(|finding| finding.line).collect();
    assert_eq!(lines, [1, 2, 3, 4]);
}

#[test]
fn relative_paths_and_routes_pass() {
    let sample = "docs/home.md, src/root, /v1/work, /workers, ${DIR}/tmp, https://docs.rs/tokio\n";
    assert_eq!(foreign_places("a.md", sample), []);
}

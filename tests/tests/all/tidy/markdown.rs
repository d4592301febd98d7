//! Documents: one title each, and links that lead somewhere.

use std::collections::BTreeMap;

use super::{Finding, settle};
use crate::tree::{self, TextFile};

#[test]
fn every_document_has_one_title() {
    settle(
        "titles",
        &documents().iter().filter_map(|file| wrong_titles(&file.path, &file.text)).collect::<Vec<_>>(),
    );
}

#[test]
fn every_link_leads_somewhere() {
    let anchors: BTreeMap<_, _> =
        documents().iter().map(|file| (file.path.clone(), anchors(&file.text))).collect();
    let exists = |path: &str| tree::root().join(path).exists();
    let findings: Vec<_> =
        documents().iter().flat_map(|file| dead_links(&file.path, &file.text, &anchors, &exists)).collect();
    settle("links", &findings);
}

fn documents() -> Vec<TextFile> {
    tree::files(|name| name.ends_with(".md"))
}

/// The lines that are not inside a fenced block, with their numbers from 1.
fn prose(text: &str) -> Vec<(usize, &str)> {
    let mut fenced = false;
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            lines.push((index + 1, line));
        }
    }
    lines
}

fn wrong_titles(path: &str, text: &str) -> Option<Finding> {
    let titles = prose(text).iter().filter(|(_, line)| line.starts_with("# ")).count();
    (titles != 1).then(|| Finding::new(path, 0, format!("{titles} titles (`# `), exactly one is right")))
}

/// The anchors of a document's headings, as the forges derive them.
fn anchors(text: &str) -> Vec<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut anchors = Vec::new();
    for (_, line) in prose(text) {
        let level = line.chars().take_while(|c| *c == '#').count();
        let Some(title) = line[level..].strip_prefix(' ').filter(|_| (1..=6).contains(&level)) else {
            continue;
        };
        let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
        let slug: String =
            title.trim().to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-");
        let times = seen.entry(slug.clone()).and_modify(|times| *times += 1).or_insert(0);
        anchors.push(if *times == 0 { slug } else { format!("{slug}-{times}") });
    }
    anchors
}

fn dead_links(
    path: &str,
    text: &str,
    anchors: &BTreeMap<String, Vec<String>>,
    exists: &dyn Fn(&str) -> bool,
) -> Vec<Finding> {
    let mut found = Vec::new();
    for (line, target) in links(text) {
        if target.contains("://") || target.starts_with("mailto:") {
            continue;
        }
        let (file, anchor) =
            target.split_once('#').map_or((target.as_str(), None), |(file, anchor)| (file, Some(anchor)));
        let Some(file) = resolve(path, file) else {
            found.push(Finding::new(path, line, format!("`{target}` leads out of the repository")));
            continue;
        };
        if !exists(&file) {
            found.push(Finding::new(path, line, format!("`{target}`: there is no such file")));
        } else if let Some(anchor) = anchor
            && !anchors.get(&file).is_some_and(|anchors| anchors.iter().any(|known| known == anchor))
        {
            found.push(Finding::new(path, line, format!("`{target}`: the file has no such heading")));
        }
    }
    found
}

/// Targets of `[text](target)` and `[name]: target`, with their lines.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (line, content) in prose(text) {
        let content = without_code(content);
        for (at, _) in content.match_indices("](") {
            let target = content[at + 2..].split([')', ' ']).next().unwrap_or_default();
            found.push((line, target.trim_matches(['<', '>']).to_owned()));
        }
        if let Some((name, target)) = content.trim_start().split_once("]: ")
            && name.starts_with('[')
        {
            found.push((line, target.split_whitespace().next().unwrap_or_default().to_owned()));
        }
    }
    found
}

/// A line without its `code spans`: brackets in them are no links.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("``")
}

/// A link's file as a path from the root; `None` when it climbs out of it.
fn resolve(from: &str, target: &str) -> Option<String> {
    if target.is_empty() {
        return Some(from.to_owned());
    }
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[test]
fn a_second_title_or_none_is_found() {
    assert!(wrong_titles("a.md", "# A\n\n# B\n").is_some());
    assert!(wrong_titles("a.md", "## A\n").is_some());
    assert_eq!(wrong_titles("a.md", "# A\n```sh\n# a comment\n```\n## B\n"), None);
}

#[test]
fn dead_links_are_found() {
    let text = "# Of A & b\n[a](b.md) [c](../run#x) `[no](link)` [d](#of-a--b)\n[e](#gone)\n[f](gone.md)\n\
                [g](../../up.md) [h](https://example.org/x)\n[i]: b.md#there\n[j]: b.md#not-there\n```\n[k](gone.md)\n```\n";
    let anchors = BTreeMap::from([
        ("docs/a.md".to_owned(), anchors(text)),
        ("docs/b.md".to_owned(), vec!["there".to_owned()]),
    ]);
    let exists = |path: &str| ["docs/a.md", "docs/b.md", "run"].contains(&path);
    let lines: Vec<_> =
        dead_links("docs/a.md", text, &anchors, &exists).iter().map(|finding| finding.line).collect();
    assert_eq!(lines, [2, 3, 4, 5, 7]);
}

#[test]
fn equal_headings_get_numbered_anchors() {
    assert_eq!(anchors("# A\n## What `x` is\n## A\n"), ["a", "what-x-is", "a-1"]);
}

//! Nodes that are to find each other by the same seeds never found two clusters.

use super::Found;
use crate::history::History;

pub(crate) fn check(history: &History, found: Found<'_>) {
    let Some((_, first, cluster)) = history.clusters.first() else { return };
    for (at, node, other) in &history.clusters[1..] {
        let detail =
            format!("{node} is a member of cluster {other}, and {first} was one of {cluster} before");
        found("one_cluster", *at, detail);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Story, at};
    use super::*;
    use crate::world::NodeIndex;

    #[test]
    fn a_second_cluster_is_found() {
        let mut story = Story::new();
        story.is_clean(check);
        story.history.clusters.push((at(1), NodeIndex(2), "a".into()));
        story.is_clean(check);
        story.history.clusters.push((at(9), NodeIndex(1), "b".into()));
        story.is_broken(check, "n1 is a member of cluster b, and n2 was one of a before");
    }
}

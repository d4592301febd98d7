//! What differs between two maps, by looking only at nodes that differ.

use std::cmp::Ordering;
use std::iter::Peekable;

use crate::error::GritError;
use crate::id::ObjectId;

use super::read::SortedMap;
use super::value::Value;

/// One key under which two maps differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The key.
    pub key: Vec<u8>,
    /// What stood there.
    pub before: Option<Value>,
    /// What stands there.
    pub after: Option<Value>,
}

/// All that differs between two maps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// Nodes that only the second map has.
    pub new_nodes: Vec<ObjectId>,
    /// In the order of keys.
    pub differences: Vec<Difference>,
}

/// The keys under which two maps differ, in order.
///
/// # Errors
/// If a node cannot be had.
pub fn diff(before: &SortedMap<'_>, after: &SortedMap<'_>) -> Result<Vec<Difference>, GritError> {
    compare(before, after).map(|compared| compared.differences)
}

/// What differs between two maps. Costs what the difference costs, not the maps: what both have is skipped, from
/// the roots down.
///
/// # Errors
/// If a node cannot be had.
pub fn compare(before: &SortedMap<'_>, after: &SortedMap<'_>) -> Result<Compared, GritError> {
    let mut compared = Compared::default();
    let mut old = Front::new(before)?;
    let mut new = Front::new(after)?;
    loop {
        match old.level.cmp(&new.level) {
            Ordering::Greater => old.descend(None)?,
            Ordering::Less => new.descend(Some(&mut compared.new_nodes))?,
            Ordering::Equal => {
                skip_equal(&mut old.nodes, &mut new.nodes);
                if old.level == 0 {
                    break;
                }
                old.descend(None)?;
                new.descend(Some(&mut compared.new_nodes))?;
            }
        }
    }
    compared.new_nodes.extend(new.nodes.iter().map(|node| node.id));
    let (mut old, mut new) = (old.into_entries().peekable(), new.into_entries().peekable());
    while let Some(difference) = next_difference(&mut old, &mut new)? {
        compared.differences.push(difference);
    }
    Ok(compared)
}

/// Nodes of one level that may differ, in order.
struct Front<'m, 'a> {
    map: &'m SortedMap<'a>,
    level: u8,
    nodes: Vec<Named>,
}

/// A node that was not read yet, by its last key.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Named {
    last_key: Vec<u8>,
    id: ObjectId,
}

impl<'m, 'a> Front<'m, 'a> {
    fn new(map: &'m SortedMap<'a>) -> Result<Self, GritError> {
        let root = map.root_node()?;
        let level = root.as_ref().map_or(0, |root| root.level());
        let nodes = root.iter().map(|root| Named { last_key: root.last_key().to_vec(), id: root.id() });
        Ok(Self { map, level, nodes: nodes.collect() })
    }

    /// Replaces the nodes by those below them.
    fn descend(&mut self, visited: Option<&mut Vec<ObjectId>>) -> Result<(), GritError> {
        let mut below = Vec::new();
        for named in &self.nodes {
            let node = self.map.nodes.open(&named.id)?;
            // A node that is not of this level would lead down another way than all others.
            self.map.nodes.expect(&node, self.level, &named.last_key)?;
            below.extend(
                (0..node.len()).map(|at| Named { last_key: node.key(at).to_vec(), id: node.child(at).1 }),
            );
        }
        if let Some(visited) = visited {
            visited.extend(self.nodes.iter().map(|named| named.id));
        }
        self.nodes = below;
        self.level -= 1;
        Ok(())
    }

    fn into_entries(self) -> impl Iterator<Item = Result<(Vec<u8>, Value), GritError>> {
        let Self { map, nodes, .. } = self;
        nodes.into_iter().flat_map(move |named| {
            let leaf = map.nodes.open(&named.id);
            let leaf = leaf.and_then(|leaf| map.nodes.expect(&leaf, 0, &named.last_key).map(|()| leaf));
            let entries: Vec<_> = match leaf {
                Ok(leaf) => (0..leaf.len()).map(|at| Ok(leaf.entry(at))).collect(),
                Err(error) => vec![Err(error)],
            };
            entries
        })
    }
}

/// Drops nodes that are in both lists.
fn skip_equal(old: &mut Vec<Named>, new: &mut Vec<Named>) {
    let is_in = |list: &[Named], node: &Named| {
        list.binary_search_by(|other| other.last_key.cmp(&node.last_key))
            .is_ok_and(|at| list[at].id == node.id)
    };
    let kept: Vec<Named> = old.iter().filter(|node| !is_in(new, node)).cloned().collect();
    new.retain(|node| !is_in(old, node));
    *old = kept;
}

type Entry = Result<(Vec<u8>, Value), GritError>;

fn next_difference(
    old: &mut Peekable<impl Iterator<Item = Entry>>,
    new: &mut Peekable<impl Iterator<Item = Entry>>,
) -> Result<Option<Difference>, GritError> {
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => return Ok(None),
            (Some(Err(error)), _) | (_, Some(Err(error))) => return Err(error.clone()),
            (Some(Ok(_)), None) => Ordering::Less,
            (None, Some(Ok(_))) => Ordering::Greater,
            (Some(Ok((old, _))), Some(Ok((new, _)))) => old.cmp(new),
        };
        let before = if order.is_le() { old.next().transpose()? } else { None };
        let after = if order.is_ge() { new.next().transpose()? } else { None };
        if before == after {
            continue;
        }
        let key = before.as_ref().or(after.as_ref()).map(|(key, _)| key.clone());
        let key = key.expect("one side has the entry");
        let value = |entry: Option<(Vec<u8>, Value)>| entry.map(|(_, value)| value);
        return Ok(Some(Difference { key, before: value(before), after: value(after) }));
    }
}

//! Walking through a graph: nodes by path (`check.fetch` is the node `fetch` inside of the group `check`), the order in
//! which nodes can run, and what runs before what. Nothing here goes deeper than a graph may nest.

use std::collections::{BTreeMap, BTreeSet};

use super::{Graph, MAX_DEPTH, Node};

/// The nodes of a scope: the graph's own for an empty path, else those inside of the group at `path`.
#[must_use]
pub fn scope<'a>(graph: &'a Graph, path: &str) -> Option<&'a Vec<Node>> {
    let mut nodes = &graph.nodes;
    for key in path.split('.').filter(|key| !key.is_empty()) {
        nodes = nodes.iter().find(|node| node.id.as_str() == key)?.kind.inner()?;
    }
    Some(nodes)
}

/// The same, to change it.
pub fn scope_mut<'a>(graph: &'a mut Graph, path: &str) -> Option<&'a mut Vec<Node>> {
    let mut nodes = &mut graph.nodes;
    for key in path.split('.').filter(|key| !key.is_empty()) {
        nodes = nodes.iter_mut().find(|node| node.id.as_str() == key)?.kind.inner_mut()?;
    }
    Some(nodes)
}

/// The node at a path.
#[must_use]
pub fn node<'a>(graph: &'a Graph, path: &str) -> Option<&'a Node> {
    let (outer, key) = split(path);
    scope(graph, outer)?.iter().find(|node| node.id.as_str() == key)
}

/// A path's scope and its last key.
#[must_use]
pub fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('.').unwrap_or(("", path))
}

/// A path inside of a scope.
#[must_use]
pub fn join(scope: &str, key: &str) -> String {
    if scope.is_empty() { key.to_owned() } else { format!("{scope}.{key}") }
}

/// How many nodes there are, those inside of groups included, and how deep groups nest (1: none inside of another).
#[must_use]
pub fn size(nodes: &[Node]) -> (usize, usize) {
    let mut todo = vec![(nodes, 0_usize)];
    let (mut count, mut depth) = (0, 0);
    while let Some((nodes, level)) = todo.pop() {
        count += nodes.len();
        depth = depth.max(level);
        for node in nodes {
            if let Some(inner) = node.kind.inner() {
                todo.push((inner, level + 1));
            }
        }
    }
    (count, depth)
}

/// Calls `visit` with each node and its path, in the order shown; groups before what is inside of them.
pub fn each<'a>(nodes: &'a [Node], visit: &mut impl FnMut(&str, &'a Node)) {
    each_below(nodes, "", 0, visit);
}

fn each_below<'a>(nodes: &'a [Node], path: &str, depth: usize, visit: &mut impl FnMut(&str, &'a Node)) {
    for node in nodes {
        let path = join(path, node.id.as_str());
        visit(&path, node);
        if let Some(inner) = node.kind.inner()
            && depth <= MAX_DEPTH
        {
            each_below(inner, &path, depth + 1, visit);
        }
    }
}

/// What must run before what, within one scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Places in the scope, each after all that it depends on. Without those in [`Self::stuck`].
    pub places: Vec<usize>,
    /// Places on a cycle or behind one.
    pub stuck: Vec<usize>,
    /// For each place the places that run before it, directly or not.
    pub before: Vec<BTreeSet<usize>>,
}

/// Orders the nodes of one scope. Edges from nodes that are not there do not count.
#[must_use]
pub fn order(nodes: &[Node]) -> Order {
    let mut place_of: BTreeMap<&str, usize> = BTreeMap::new();
    for (place, node) in nodes.iter().enumerate() {
        place_of.entry(node.id.as_str()).or_insert(place);
    }
    let sources: Vec<BTreeSet<usize>> = nodes
        .iter()
        .map(|node| node.after.iter().filter_map(|port| place_of.get(port.node.as_str()).copied()).collect())
        .collect();
    let mut before = vec![BTreeSet::new(); nodes.len()];
    let mut places = Vec::with_capacity(nodes.len());
    let mut waiting: Vec<usize> = (0..nodes.len()).collect();
    loop {
        let (ready, rest): (Vec<usize>, Vec<usize>) =
            waiting.iter().partition(|place| sources[**place].iter().all(|source| places.contains(source)));
        if ready.is_empty() {
            return Order { places, stuck: rest, before };
        }
        for place in &ready {
            let mut all = sources[*place].clone();
            for source in &sources[*place] {
                all.extend(before[*source].iter().copied());
            }
            before[*place] = all;
        }
        places.extend(ready);
        waiting = rest;
    }
}

//! Changes of a graph, as the outline and the canvas make them: small, pure, and told in words. Each saved change is a
//! version, so undoing one is going back to the version before it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    engine::{
        plan::{BranchName, Concurrency, Graph, Node, NodeKey, NodeKind, Port, template, walk},
        state::Priority,
    },
    kernel::{Error, Result},
};

/// A change of a graph.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Edit {
    /// A new step.
    Add {
        /// The map that it is inside of; empty for the workflow's own level.
        scope: String,
        /// The step.
        node: Box<Node>,
        /// Whether what ran after the same steps runs after the new one now.
        between: bool,
    },
    /// A step takes another form. A new key is carried to whatever names it.
    Set {
        /// The step's path.
        path: String,
        /// What it becomes.
        node: Box<Node>,
    },
    /// A step goes. What ran after it runs after what it ran after.
    Remove {
        /// The step's path.
        path: String,
    },
    /// A step is shown one place earlier or later. The order in which steps run does not change.
    Move {
        /// The step's path.
        path: String,
        /// Earlier, or later.
        up: bool,
    },
    /// What the whole workflow says: the input's form, the runs' title, the deadline, how long runs are kept, which go
    /// first, how many at once.
    Settings {
        /// JSON Schema of the input.
        input: Value,
        /// A run's title, a template.
        title: String,
        /// Seconds.
        deadline_s: Option<u64>,
        /// Days.
        retention_days: Option<u32>,
        /// Whether its runs go before others.
        #[serde(default)]
        priority: Priority,
        /// How many of its runs are under way at once.
        #[serde(default)]
        concurrency: Option<Concurrency>,
    },
    /// Another graph in its place, as when a version is brought back.
    Replace {
        /// The graph.
        graph: Box<Graph>,
        /// What to call the change.
        note: String,
    },
}

impl Edit {
    /// The changed graph, and the change in a few words.
    ///
    /// # Errors
    /// `invalid` where the step is not there or its key is taken.
    pub fn apply(&self, graph: &Graph) -> Result<(Graph, String)> {
        let mut graph = graph.clone();
        let note = match self {
            Self::Add { scope, node, between } => add(&mut graph, scope, node, *between)?,
            Self::Set { path, node } => set(&mut graph, path, node)?,
            Self::Remove { path } => remove(&mut graph, path)?,
            Self::Move { path, up } => shift(&mut graph, path, *up)?,
            Self::Settings { input, title, deadline_s, retention_days, priority, concurrency } => {
                input.clone_into(&mut graph.input);
                title.clone_into(&mut graph.title);
                graph.deadline_s = *deadline_s;
                graph.retention_days = *retention_days;
                graph.priority = *priority;
                graph.concurrency.clone_from(concurrency);
                "Changed the settings".to_owned()
            }
            Self::Replace { graph: other, note } => {
                graph = (**other).clone();
                note.clone()
            }
        };
        Ok((graph, note))
    }

    /// Whether the part of the graph that this change is about is the same in both: then it can be made on the newer one
    /// although it was thought out on the older one.
    #[must_use]
    pub fn is_untouched(&self, older: &Graph, newer: &Graph) -> bool {
        match self {
            Self::Add { scope, .. } => walk::scope(newer, scope).is_some(),
            Self::Set { path, .. } | Self::Remove { path } => {
                walk::node(newer, path).is_some() && walk::node(older, path) == walk::node(newer, path)
            }
            Self::Move { path, .. } => walk::node(newer, path).is_some(),
            Self::Settings { .. } => {
                let said = |graph: &Graph| Graph { nodes: Vec::new(), ..graph.clone() };
                said(older) == said(newer)
            }
            Self::Replace { .. } => older == newer,
        }
    }
}

fn missing() -> Error {
    Error::not_found("step")
}

fn key_taken(key: &NodeKey) -> Error {
    Error::invalid("key", format!("Another step has the key “{key}”. Choose a different one."))
}

fn add(graph: &mut Graph, scope: &str, node: &Node, between: bool) -> Result<String> {
    let nodes = walk::scope_mut(graph, scope).ok_or_else(missing)?;
    if nodes.iter().any(|other| other.id == node.id) {
        return Err(key_taken(&node.id));
    }
    let mut place = nodes
        .iter()
        .rposition(|other| node.after.iter().any(|port| port.node == other.id))
        .map_or(nodes.len(), |last| last + 1);
    if between && !matches!(node.kind, NodeKind::End { .. }) {
        let way_out = plain_way_out(node);
        for (at, other) in nodes.iter_mut().enumerate() {
            let mut moved = false;
            for port in &mut other.after {
                if node.after.contains(port) {
                    *port = way_out.clone();
                    moved = true;
                }
            }
            if moved {
                dedup(&mut other.after);
                place = place.min(at);
            }
        }
    }
    nodes.insert(place, node.clone());
    Ok(format!("Added “{}”", node.label()))
}

/// The way out that an edge takes when none is named.
fn plain_way_out(node: &Node) -> Port {
    let branch: Option<BranchName> = match &node.kind {
        NodeKind::Decision { otherwise, .. } => Some(otherwise.clone()),
        _ => None,
    };
    Port { node: node.id.clone(), branch }
}

fn dedup(after: &mut Vec<Port>) {
    let mut seen = std::collections::BTreeSet::new();
    after.retain(|port| seen.insert(port.clone()));
}

fn set(graph: &mut Graph, path: &str, node: &Node) -> Result<String> {
    let (scope, key) = walk::split(path);
    let nodes = walk::scope_mut(graph, scope).ok_or_else(missing)?;
    let place = nodes.iter().position(|other| other.id.as_str() == key).ok_or_else(missing)?;
    if nodes.iter().enumerate().any(|(at, other)| at != place && other.id == node.id) {
        return Err(key_taken(&node.id));
    }
    let old = std::mem::replace(&mut nodes[place], node.clone());
    if old.id != node.id {
        for other in nodes.iter_mut() {
            for port in &mut other.after {
                if port.node == old.id {
                    port.node = node.id.clone();
                }
            }
        }
        rename_in_nodes(nodes, old.id.as_str(), node.id.as_str());
        // What the group around it gives may read it too.
        if !scope.is_empty() {
            let (outer, map) = walk::split(scope);
            let around =
                walk::scope_mut(graph, outer).and_then(|nodes| nodes.iter_mut().find(|other| other.id.as_str() == map));
            match around.map(|around| &mut around.kind) {
                Some(NodeKind::Map { result, .. }) => rename_in_value(result, old.id.as_str(), node.id.as_str()),
                Some(NodeKind::Loop { result, until, .. }) => {
                    rename_in_value(result, old.id.as_str(), node.id.as_str());
                    rename_in_text(until, old.id.as_str(), node.id.as_str());
                }
                _ => {}
            }
        }
    } else {
        drop_lost_branches(nodes, place, &old);
    }
    Ok(format!("Changed “{}”", node.label()))
}

/// When a branch is renamed in place, what ran after it runs after its new name.
fn drop_lost_branches(nodes: &mut [Node], place: usize, old: &Node) {
    let (NodeKind::Decision { branches: before, otherwise: else_before }, NodeKind::Decision { branches, otherwise }) =
        (&old.kind, &nodes[place].kind)
    else {
        return;
    };
    let mut renamed: Vec<(BranchName, BranchName)> = Vec::new();
    if before.len() == branches.len() {
        renamed.extend(before.iter().zip(branches).map(|(before, now)| (before.name.clone(), now.name.clone())));
    }
    renamed.push((else_before.clone(), otherwise.clone()));
    renamed.retain(|(before, now)| before != now);
    for node in nodes.iter_mut() {
        for port in node.after.iter_mut().filter(|port| port.node == old.id) {
            if let Some((_, now)) = renamed.iter().find(|(before, _)| port.branch.as_ref() == Some(before)) {
                port.branch = Some(now.clone());
            }
        }
    }
}

fn remove(graph: &mut Graph, path: &str) -> Result<String> {
    let (scope, key) = walk::split(path);
    let nodes = walk::scope_mut(graph, scope).ok_or_else(missing)?;
    let place = nodes.iter().position(|other| other.id.as_str() == key).ok_or_else(missing)?;
    let gone = nodes.remove(place);
    for other in nodes.iter_mut() {
        if let Some(at) = other.after.iter().position(|port| port.node == gone.id) {
            other.after.retain(|port| port.node != gone.id);
            let at = at.min(other.after.len());
            other.after.splice(at..at, gone.after.iter().cloned());
            dedup(&mut other.after);
        }
    }
    Ok(format!("Deleted “{}”", gone.label()))
}

fn shift(graph: &mut Graph, path: &str, up: bool) -> Result<String> {
    let (scope, key) = walk::split(path);
    let nodes = walk::scope_mut(graph, scope).ok_or_else(missing)?;
    let place = nodes.iter().position(|other| other.id.as_str() == key).ok_or_else(missing)?;
    let other = if up { place.checked_sub(1) } else { Some(place + 1).filter(|at| *at < nodes.len()) };
    if let Some(other) = other {
        nodes.swap(place, other);
    }
    let name = nodes.iter().find(|node| node.id.as_str() == key).map_or(key, Node::label);
    Ok(format!("Moved “{name}” {}", if up { "up" } else { "down" }))
}

/// A key for a new step, made from its name and not taken in its scope.
#[must_use]
pub fn free_key(nodes: &[Node], name: &str, kind: &str) -> Option<NodeKey> {
    let mut wanted = crate::kernel::text::slug(name, 30).replace('-', "_");
    if !wanted.starts_with(|first: char| first.is_ascii_lowercase()) {
        wanted = kind.to_owned();
    }
    let is_free = |key: &str| nodes.iter().all(|node| node.id.as_str() != key);
    if is_free(&wanted) {
        return NodeKey::parse(&wanted).ok();
    }
    (2..=nodes.len() + 2)
        .map(|number| format!("{wanted}_{number}"))
        .find(|key| is_free(key))
        .and_then(|key| NodeKey::parse(&key).ok())
}

fn rename_in_nodes(nodes: &mut [Node], from: &str, to: &str) {
    for node in nodes {
        node.each_template_mut(&mut |template| rename_in_value(template, from, to));
        if let Some(inner) = node.kind.inner_mut() {
            rename_in_nodes(inner, from, to);
        }
    }
}

fn rename_in_value(value: &mut Value, from: &str, to: &str) {
    match value {
        Value::String(text) => rename_in_text(text, from, to),
        Value::Array(items) => items.iter_mut().for_each(|item| rename_in_value(item, from, to)),
        Value::Object(fields) => fields.values_mut().for_each(|field| rename_in_value(field, from, to)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn rename_in_text(text: &mut String, from: &str, to: &str) {
    let Ok(pieces) = template::pieces(text) else { return };
    let reads = |inside: &str| template::steps_read(inside).contains(from);
    if !pieces.iter().any(|piece| matches!(piece, template::Piece::Expression(inside) if reads(inside))) {
        return;
    }
    let mut out = String::with_capacity(text.len());
    for piece in pieces {
        match piece {
            template::Piece::Text(plain) => out.push_str(plain),
            template::Piece::Expression(inside) => {
                out.push_str("{{ ");
                out.push_str(&renamed(inside, from, to));
                out.push_str(" }}");
            }
        }
    }
    *text = out;
}

/// The expression with `steps.FROM` (and `steps["FROM"]`) as `steps.TO`.
fn renamed(expression: &str, from: &str, to: &str) -> String {
    let is_name = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == '$';
    let mut out = String::with_capacity(expression.len());
    let mut rest = expression;
    while let Some(place) = rest.find("steps") {
        let (before, after) = rest.split_at(place);
        let starts_word = !before
            .chars()
            .next_back()
            .or_else(|| out.chars().next_back())
            .is_some_and(|letter| is_name(letter) || letter == '.');
        out.push_str(before);
        out.push_str("steps");
        rest = &after["steps".len()..];
        if !starts_word {
            continue;
        }
        let gap = rest.len() - rest.trim_start_matches([' ', '?', '.', '[', '"', '\'']).len();
        let key = &rest[gap..];
        if gap > 0 && key.starts_with(from) && !key[from.len()..].starts_with(is_name) {
            out.push_str(&rest[..gap]);
            out.push_str(to);
            rest = &key[from.len()..];
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn graph() -> Graph {
        serde_json::from_value(json!({
            "input": { "type": "object" },
            "nodes": [
                { "id": "start", "kind": "start" },
                { "id": "size", "kind": "decision", "after": ["start"],
                  "branches": [{ "name": "large", "when": "{{ input.amount > 500 }}" }] },
                { "id": "ask", "kind": "agent", "agent": "a", "prompt": "Look", "after": ["size.large"] },
                { "id": "end", "kind": "end", "after": ["ask", "size.otherwise"],
                  "output": { "text": "{{ steps.ask.output + steps[\"ask\"].output + mysteps.ask + steps.asked }}" } },
            ],
        }))
        .expect("a graph")
    }

    fn after(graph: &Graph, path: &str) -> Vec<String> {
        walk::node(graph, path).expect("the step").after.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_step_put_between_takes_over_what_followed() {
        let node: Node =
            serde_json::from_value(json!({ "id": "check", "kind": "transform", "value": 1, "after": ["ask"] }))
                .expect("a node");
        let edit = Edit::Add { scope: String::new(), node: Box::new(node), between: true };
        let (changed, note) = edit.apply(&graph()).expect("it applies");
        assert_eq!(note, "Added “check”");
        assert_eq!(after(&changed, "end"), ["check", "size.otherwise"]);
        assert_eq!(changed.nodes[3].id.as_str(), "check");
        assert!(edit.apply(&changed).is_err(), "the key is taken now");
    }

    #[test]
    fn a_removed_step_hands_its_place_on() {
        let (changed, _) = Edit::Remove { path: "ask".into() }.apply(&graph()).expect("it applies");
        assert_eq!(after(&changed, "end"), ["size.large", "size.otherwise"]);
        assert!(Edit::Remove { path: "ask".into() }.apply(&changed).is_err());
    }

    #[test]
    fn a_new_key_reaches_edges_and_templates_and_nothing_else() {
        let mut node = walk::node(&graph(), "ask").expect("the step").clone();
        node.id = NodeKey::parse("look").expect("a key");
        let (changed, _) = Edit::Set { path: "ask".into(), node: Box::new(node) }.apply(&graph()).expect("it applies");
        assert_eq!(after(&changed, "end"), ["look", "size.otherwise"]);
        let NodeKind::End { output } = &walk::node(&changed, "end").expect("the end").kind else { panic!("an end") };
        assert_eq!(output["text"], "{{ steps.look.output + steps[\"look\"].output + mysteps.ask + steps.asked }}");
    }

    #[test]
    fn a_renamed_branch_keeps_what_follows_it() {
        let mut node = walk::node(&graph(), "size").expect("the step").clone();
        let NodeKind::Decision { branches, .. } = &mut node.kind else { panic!("a decision") };
        branches[0].name = BranchName::parse("big").expect("a name");
        let (changed, _) = Edit::Set { path: "size".into(), node: Box::new(node) }.apply(&graph()).expect("it applies");
        assert_eq!(after(&changed, "ask"), ["size.big"]);
    }

    #[test]
    fn a_change_is_carried_over_when_its_part_is_untouched() {
        let older = graph();
        let mut newer = graph();
        newer.title = "New".into();
        let remove = Edit::Remove { path: "ask".into() };
        assert!(remove.is_untouched(&older, &newer));
        newer.nodes[2].name = "Other".into();
        assert!(!remove.is_untouched(&older, &newer));
    }

    #[test]
    fn a_key_is_made_from_the_name() {
        let nodes = graph().nodes;
        let key = |name: &str| free_key(&nodes, name, "agent").map(|key| key.to_string());
        assert_eq!(key("Draft the reply").as_deref(), Some("draft_the_reply"));
        assert_eq!(key("Ask").as_deref(), Some("ask_2"));
        assert_eq!(key("7 days").as_deref(), Some("agent"));
        assert_eq!(key("").as_deref(), Some("agent"));
    }
}

//! Workflows: graphs of nodes. Every save is an immutable version; one version is deployed.

#[cfg(feature = "ssr")]
pub mod compile;
pub mod edit;
pub mod forms;
#[cfg(feature = "ssr")]
pub mod input;
#[cfg(feature = "ssr")]
pub mod service;
#[cfg(feature = "ssr")]
mod store;
#[cfg(feature = "ssr")]
pub mod templates;
#[cfg(feature = "ssr")]
pub mod yaml;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    agents::AgentConfig,
    engine::plan::{Graph, Plan, validate::Fault},
    kernel::{AgentId, FieldError, Timestamp, VersionLine, WorkflowId, text::NUL_REFUSED},
};

/// The most bytes that a graph may have as JSON.
pub const MAX_GRAPH_BYTES: usize = 1 << 20;

/// A workflow as lists show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Workflow {
    /// Its id.
    pub id: WorkflowId,
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// `draft`, `active`, `archived`.
    pub status: String,
    /// The newest version.
    pub version: i32,
    /// Whether the newest version can run.
    pub valid: bool,
    /// The version that runs use.
    pub deployed_version: Option<i32>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last saved.
    pub updated_at: Timestamp,
}

/// One version of a workflow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkflowVersion {
    /// Its number.
    pub version: i32,
    /// The graph.
    pub graph: Graph,
    /// Whether it passed validation when it was saved.
    pub valid: bool,
    /// What was changed.
    pub note: String,
    /// The name of who saved it.
    pub saved_by: String,
    /// When.
    pub created_at: Timestamp,
}

/// An agent that a workflow can name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentRef {
    /// Its id.
    pub id: AgentId,
    /// What the graph calls it.
    pub key: String,
    /// What people call it.
    pub name: String,
}

/// A workflow at one of its versions, with all that its page shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkflowDetail {
    /// The workflow.
    pub workflow: Workflow,
    /// The version that is shown.
    pub shown: WorkflowVersion,
    /// What is wrong with it now.
    pub faults: Vec<Fault>,
    /// All versions, the newest first.
    pub versions: Vec<VersionLine>,
    /// The agents that there are.
    pub agents: Vec<AgentRef>,
}

/// What a new workflow is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct NewWorkflow {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// The first version.
    pub graph: Graph,
    /// The agents that it needs, by key. Those that are there already are used as they are.
    pub agents: BTreeMap<String, AgentConfig>,
    /// Whether to deploy the first version, where it can run and its author may.
    pub deploy: bool,
}

/// A template, or a file that is about to be imported: what it does and brings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateCard {
    /// The template's id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Its steps: how deep, of which kind, and the name.
    pub steps: Vec<(usize, String, String)>,
    /// The agents that it brings.
    pub agents: Vec<String>,
    /// The tools that it uses.
    pub tools: Vec<String>,
}

/// What a run is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Runnable {
    /// The workflow.
    pub id: WorkflowId,
    /// Its name.
    pub name: String,
    /// The version that runs.
    pub version: i32,
    /// Whether that is the deployed one. A run of another version is a test.
    pub deployed: bool,
    /// The graph with the agents and tools that it keeps to its end.
    pub plan: Plan,
}

/// How a field of the run form is filled in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputKind {
    /// A line of text.
    Text,
    /// Several lines of text.
    Long,
    /// A number.
    Number,
    /// A whole number.
    Integer,
    /// Yes or no.
    Boolean,
    /// One of these.
    Choice(Vec<String>),
    /// A list of texts, one in each line.
    Lines,
    /// Anything else, as JSON.
    Json,
}

/// A field of the run form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputField {
    /// The property of the input.
    pub name: String,
    /// What it is called.
    pub label: String,
    /// How to fill it in.
    pub hint: String,
    /// What stands there at first: the schema's default or first example.
    pub value: String,
    /// How it is filled in.
    pub kind: InputKind,
    /// Whether it must be filled in.
    pub required: bool,
    /// The schema's format, such as `email`.
    pub format: String,
    /// The least number.
    pub min: String,
    /// The greatest number.
    pub max: String,
}

/// What is wrong with a name and description.
#[must_use]
pub fn faults_of_words(name: &str, description: &str) -> Vec<FieldError> {
    let mut out = Vec::new();
    let length = name.trim().chars().count();
    if length == 0 {
        out.push(FieldError { field: "name".to_owned(), message: "Give the workflow a name.".to_owned() });
    } else if length > 80 {
        let message = format!("The name has {length} characters; 80 are the most.");
        out.push(FieldError { field: "name".to_owned(), message });
    }
    let length = description.chars().count();
    if length > 500 {
        let message = format!("The description has {length} characters; 500 are the most.");
        out.push(FieldError { field: "description".to_owned(), message });
    }
    for (field, text) in [("name", name), ("description", description)] {
        if text.contains('\0') {
            out.push(FieldError { field: field.to_owned(), message: NUL_REFUSED.to_owned() });
        }
    }
    out
}

/// A graph to begin with: a start and an end.
#[must_use]
pub fn blank() -> Graph {
    let node = |value: serde_json::Value| serde_json::from_value(value).ok();
    let nodes = [
        node(serde_json::json!({ "id": "start", "name": "Start", "kind": "start" })),
        node(serde_json::json!({ "id": "end", "name": "End", "kind": "end", "after": ["start"] })),
    ];
    Graph {
        input: serde_json::json!({ "type": "object", "properties": {} }),
        nodes: nodes.into_iter().flatten().collect(),
        ..Graph::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blank_graph_has_a_start_and_an_end() {
        assert_eq!(blank().nodes.iter().map(|node| node.kind.word()).collect::<Vec<_>>(), ["start", "end"]);
    }

    #[test]
    fn a_name_is_needed_and_both_texts_are_bounded() {
        let fields = |name: &str, text: &str| -> Vec<String> {
            faults_of_words(name, text).into_iter().map(|fault| fault.field).collect()
        };
        assert_eq!(fields("Triage", ""), Vec::<String>::new());
        assert_eq!(fields("  ", &"x".repeat(501)), ["name", "description"]);
        assert_eq!(fields(&"ä".repeat(80), ""), Vec::<String>::new());
        assert_eq!(fields(&"ä".repeat(81), ""), ["name"]);
        assert_eq!(fields("a\0b", "a\0b"), ["name", "description"]);
    }
}

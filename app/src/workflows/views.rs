//! From workflows to what their pages show, and from forms to changes. Server only, so that the browser's half stays
//! small.

use std::collections::{BTreeMap, BTreeSet};

use agentflow::{
    access::{Ctx, Grant, Permission, right},
    engine::{
        plan::{BranchName, Concurrency, Graph, Node, NodeKey, NodeKind, Port, validate::Fault, walk},
        state::Priority,
    },
    kernel::{Error, FieldError, Kind, Result, WorkflowId, text},
    tools,
    workflows::{
        Workflow, WorkflowDetail, WorkflowVersion,
        edit::{Edit, free_key},
        forms::{KINDS, StepForm, values},
        input, service,
    },
};
use serde_json::Value;

use super::api::{Argument, May, OutlineRow, RunPage, StepPage, WorkflowPage};
use crate::agents::views::tool_choices;

/// What the role may do.
pub fn may(cx: &Ctx) -> May {
    May {
        build: cx.role().may(Permission::Build),
        deploy: cx.role().may(Permission::Deploy),
        operate: cx.role().may(Permission::Operate),
    }
}

/// The outline of a workflow.
pub fn workflow(detail: WorkflowDetail, may: May) -> WorkflowPage {
    let named = agentflow::workflows::compile::agents_of(&detail.shown.graph);
    let rows = rows(&detail);
    let line = detail.versions.iter().find(|line| line.version == detail.shown.version).cloned();
    let shown = detail.shown;
    let shown_line = line.unwrap_or_else(|| agentflow::kernel::VersionLine {
        version: shown.version,
        note: shown.note.clone(),
        saved_by: shown.saved_by.clone(),
        created_at: shown.created_at,
        valid: shown.valid,
    });
    WorkflowPage {
        shown: shown.version,
        shown_line,
        rows,
        faults: detail.faults,
        versions: detail.versions,
        agents: detail.agents.into_iter().filter(|agent| named.contains(&agent.key)).collect(),
        title: shown.graph.title,
        deadline_h: shown.graph.deadline_s.map(hours).unwrap_or_default(),
        retention_days: shown.graph.retention_days.map(|days| days.to_string()).unwrap_or_default(),
        priority: shown.graph.priority.to_string(),
        concurrency_limit: shown.graph.concurrency.as_ref().map(|most| most.limit.to_string()).unwrap_or_default(),
        concurrency_key: shown.graph.concurrency.map(|most| most.key).unwrap_or_default(),
        input: serde_json::to_string_pretty(&shown.graph.input).unwrap_or_default(),
        fields: input::fields(&shown.graph.input),
        workflow: detail.workflow,
        may,
    }
}

fn rows(detail: &WorkflowDetail) -> Vec<OutlineRow> {
    let graph = &detail.shown.graph;
    let mut rows = Vec::new();
    walk::each(&graph.nodes, &mut |path, node| {
        let (scope, _) = walk::split(path);
        let level = walk::scope(graph, scope).map(Vec::as_slice).unwrap_or_default();
        let faults =
            detail.faults.iter().filter(|fault| fault.node.as_deref() == Some(path)).map(|fault| fault.message.clone());
        rows.push(OutlineRow {
            path: path.to_owned(),
            depth: path.matches('.').count(),
            key: node.id.to_string(),
            label: node.label().to_owned(),
            kind: node.kind.word().to_owned(),
            about: about(detail, node),
            after: node.after.iter().map(|port| port_label(level, port)).collect(),
            join: node.join,
            faults: faults.collect(),
            first: level.first().is_some_and(|first| first.id == node.id),
            last: level.last().is_some_and(|last| last.id == node.id),
        });
    });
    rows
}

fn about(detail: &WorkflowDetail, node: &Node) -> String {
    match &node.kind {
        NodeKind::Agent { agent, .. } => {
            let name = detail.agents.iter().find(|there| there.key == *agent).map(|there| there.name.clone());
            name.unwrap_or_else(|| agent.clone())
        }
        NodeKind::Tool { tool, .. } => tools::find(tool).map_or_else(|| tool.clone(), |tool| tool.title.clone()),
        NodeKind::Decision { branches, otherwise } => {
            let names = branches.iter().map(|branch| branch.name.as_str()).chain([otherwise.as_str()]);
            names.collect::<Vec<_>>().join(", ")
        }
        NodeKind::Map { concurrency, .. } => format!("{concurrency} at a time"),
        _ => String::new(),
    }
}

fn port_label(level: &[Node], port: &Port) -> String {
    let name = level.iter().find(|node| node.id == port.node).map_or(port.node.as_str(), Node::label);
    match &port.branch {
        Some(branch) if *branch == BranchName::error() => format!("{name}, when it fails"),
        Some(branch) => format!("{name}: {branch}"),
        None => name.to_owned(),
    }
}

/// The form of a step that is there.
pub fn step(
    detail: &WorkflowDetail,
    path: &str,
    kind: Option<String>,
    tool: Option<String>,
    may: May,
) -> Result<StepPage> {
    let node = walk::node(&detail.shown.graph, path).ok_or_else(|| Error::not_found("step"))?;
    let mut form = StepForm::of(node);
    let kept = kind.as_ref().is_none_or(|kind| *kind == form.kind) && tool.is_none();
    turn(&mut form, kind, tool)?;
    let mut page = page(detail, walk::split(path).0, Some(path), form, may)?;
    if kept {
        let kind = page.form.kind.clone();
        let own = detail.faults.iter().filter(|fault| fault.node.as_deref() == Some(path));
        page.faults = own.map(|fault| Fault { field: entry_of(&kind, &fault.field), ..fault.clone() }).collect();
    }
    Ok(page)
}

/// The form of a new step.
pub fn new_step(
    detail: &WorkflowDetail,
    scope: &str,
    kind: &str,
    tool: Option<String>,
    after: Option<String>,
    may: May,
) -> Result<StepPage> {
    let mut form = StepForm { join: "all".to_owned(), on_error: "default".to_owned(), ..StepForm::default() };
    let level = walk::scope(&detail.shown.graph, scope).ok_or_else(|| Error::not_found("step"))?;
    let after = after.or_else(|| default_port(level));
    form.after = after.into_iter().map(|port| ("00".to_owned(), port)).collect();
    form.concurrency = "5".to_owned();
    form.max = "10".to_owned();
    form.max_failures = "0".to_owned();
    form.method = "GET".to_owned();
    form.otherwise = "otherwise".to_owned();
    form.on_expiry = "reject".to_owned();
    turn(&mut form, Some(kind.to_owned()), tool)?;
    page(detail, scope, None, form, may)
}

/// What a new step runs after if nothing else was said: the last step that something can follow.
fn default_port(level: &[Node]) -> Option<String> {
    let last = level.iter().rev().find(|node| !matches!(node.kind, NodeKind::End { .. }))?;
    let branch = last.kind.branches().into_iter().next_back().filter(|_| last.kind.word() == "decision");
    Some(Port { node: last.id.clone(), branch }.to_string())
}

fn turn(form: &mut StepForm, kind: Option<String>, tool: Option<String>) -> Result<()> {
    if let Some(kind) = kind {
        if !KINDS.iter().any(|(word, _, _)| *word == kind) {
            return Err(Error::not_found("kind of step"));
        }
        form.kind = kind;
    }
    if let Some(tool) = tool {
        form.tool = tool;
    }
    if form.kind == "decision" && form.otherwise.is_empty() {
        form.otherwise = "otherwise".to_owned();
    }
    Ok(())
}

fn page(detail: &WorkflowDetail, scope: &str, path: Option<&str>, form: StepForm, may: May) -> Result<StepPage> {
    let level = walk::scope(&detail.shown.graph, scope).ok_or_else(|| Error::not_found("step"))?;
    let key = path.map(|path| walk::split(path).1);
    Ok(StepPage {
        id: detail.workflow.id,
        workflow: detail.workflow.name.clone(),
        base: detail.shown.version,
        scope: scope.to_owned(),
        path: path.map(str::to_owned),
        ports: ports(level, key),
        agents: detail.agents.clone(),
        tools: Vec::new(),
        workflows: Vec::new(),
        arguments: arguments(&form.tool),
        faults: Vec::new(),
        readable: readable(&detail.shown.graph, scope, key, &form),
        form,
        may,
    })
}

/// The form with the tools or workflows that there are, where it asks for one.
pub async fn with_choices(mut page: StepPage, grant: &Grant<right::View>) -> Result<StepPage> {
    if page.form.kind == "tool" {
        page.tools = tool_choices(grant).await?;
    }
    if page.form.kind == "workflow" {
        let others = service::list(grant).await?.into_iter().filter(|workflow| workflow.id != page.id);
        page.workflows = others.map(|workflow| (workflow.id.to_string(), workflow.name)).collect();
    }
    Ok(page)
}

/// The ways out of all other steps of the level that do not themselves come after this one.
fn ports(level: &[Node], key: Option<&str>) -> Vec<(String, String)> {
    let order = walk::order(level);
    let own = key.and_then(|key| level.iter().position(|node| node.id.as_str() == key));
    let mut ports = Vec::new();
    for (place, node) in level.iter().enumerate() {
        let is_later = own.is_some_and(|own| place == own || order.before[place].contains(&own));
        if is_later || matches!(node.kind, NodeKind::End { .. }) {
            continue;
        }
        let mut branches: Vec<Option<BranchName>> = match node.kind.branches() {
            none if none.is_empty() => vec![None],
            some => some.into_iter().map(Some).collect(),
        };
        if !matches!(node.kind, NodeKind::Start) && !branches.contains(&Some(BranchName::error())) {
            branches.push(Some(BranchName::error()));
        }
        for branch in branches {
            let port = Port { node: node.id.clone(), branch };
            ports.push((port.to_string(), port_label(level, &port)));
        }
    }
    ports
}

fn arguments(tool: &str) -> Vec<Argument> {
    let Some(tool) = tools::find(tool) else { return Vec::new() };
    let schema = &tool.parameters;
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let Some(properties) = schema["properties"].as_object() else { return Vec::new() };
    let mut names: Vec<&str> = required.clone();
    names.extend(properties.keys().map(String::as_str).filter(|name| !required.contains(name)));
    names
        .into_iter()
        .map(|name| {
            let schema = &properties[name];
            let mut choices: Vec<String> = schema["enum"].as_array().into_iter().flatten().map(values::write).collect();
            if schema["type"] == "boolean" {
                choices = vec!["true".to_owned(), "false".to_owned()];
            }
            let mut hint = schema["description"].as_str().unwrap_or_default().to_owned();
            match schema["type"].as_str() {
                Some("object") => hint.push_str(" JSON, such as {\"name\": \"value\"}."),
                Some("integer") => hint.push_str(" A whole number, or an expression."),
                _ => {}
            }
            let longest = schema["maxLength"].as_u64().unwrap_or_default();
            let long = longest > 5_000 || schema["type"] == "object" || schema.get("type").is_none();
            Argument {
                name: name.to_owned(),
                hint: hint.trim().to_owned(),
                required: required.contains(&name),
                choices,
                long: long && !schema["anyOf"].is_array(),
            }
        })
        .collect()
}

/// What the templates of a step can read.
fn readable(graph: &Graph, scope: &str, key: Option<&str>, form: &StepForm) -> Vec<(String, String)> {
    let mut out = Vec::new();
    for field in input::fields(&graph.input).unwrap_or_default() {
        out.push((format!("input.{}", field.name), field.label));
    }
    match walk::node(graph, scope).map(|group| &group.kind) {
        Some(NodeKind::Loop { .. }) => {
            out.push(("previous".to_owned(), "The result of the round before".to_owned()));
            out.push(("index".to_owned(), "The round, from 0".to_owned()));
        }
        Some(_) => {
            out.push(("item".to_owned(), "The item".to_owned()));
            out.push(("index".to_owned(), "Its place in the list, from 0".to_owned()));
        }
        None => {}
    }
    // What has run before a step, level by level from the outside in.
    let mut levels: Vec<(String, Option<String>)> = Vec::new();
    let mut at = scope;
    while !at.is_empty() {
        let (outer, map) = walk::split(at);
        levels.insert(0, (outer.to_owned(), Some(map.to_owned())));
        at = outer;
    }
    levels.push((scope.to_owned(), key.map(str::to_owned)));
    for (scope, key) in levels {
        let Some(nodes) = walk::scope(graph, &scope) else { continue };
        let order = walk::order(nodes);
        let place = |key: &str| nodes.iter().position(|node| node.id.as_str() == key);
        let before: BTreeSet<usize> = match key.as_deref().and_then(place) {
            Some(place) => order.before[place].clone(),
            // A new step comes after what its form names.
            None => {
                let sources = form.after.values().filter_map(|port| Port::parse(port).ok());
                let direct: Vec<usize> = sources.filter_map(|port| place(port.node.as_str())).collect();
                direct.iter().flat_map(|place| order.before[*place].iter().copied().chain([*place])).collect()
            }
        };
        for place in before {
            let node = &nodes[place];
            if !matches!(node.kind, NodeKind::Start) {
                out.push((format!("steps.{}.output", node.id), node.label().to_owned()));
            }
        }
    }
    out
}

/// The entry of the form that shows a field of a step.
fn entry_of(kind: &str, field: &str) -> String {
    let mut parts = field.split('.');
    let head = parts.next().unwrap_or_default();
    let rest: Vec<&str> = parts.collect();
    match (head, rest.as_slice()) {
        ("id", _) => "form[key]".to_owned(),
        ("arguments", [name, ..]) => format!("form[arguments][{name}]"),
        ("branches", [place, "name"]) => format!("form[branch][{place:0>2}]"),
        ("branches", [place, ..]) => format!("form[when][{place:0>2}]"),
        ("retry", ["attempts"]) => "form[attempts]".to_owned(),
        ("retry", _) => "form[pause_s]".to_owned(),
        ("expires_s", _) => "form[expires_h]".to_owned(),
        ("until", []) if kind == "loop" => "form[until_done]".to_owned(),
        _ => format!("form[{head}]"),
    }
}

/// The change that adds what was typed, and the new step's path.
pub async fn adding(
    grant: &Grant<right::View>,
    workflow: WorkflowId,
    base: i32,
    scope: String,
    between: bool,
    mut form: StepForm,
) -> Result<(Edit, String)> {
    let graph = service::version(grant, workflow, base).await?.graph;
    let level = walk::scope(&graph, &scope).ok_or_else(|| Error::not_found("step"))?;
    if form.key.trim().is_empty() {
        form.key = free_key(level, &form.name, &form.kind).map(|key: NodeKey| key.to_string()).unwrap_or_default();
    }
    let node = form.node(None)?;
    let path = walk::join(&scope, node.id.as_str());
    Ok((Edit::Add { scope, node: Box::new(node), between }, path))
}

/// The change that saves what was typed, and the step's path after it.
pub async fn setting(
    grant: &Grant<right::View>,
    workflow: WorkflowId,
    base: i32,
    path: String,
    form: StepForm,
) -> Result<(Edit, String)> {
    let graph = service::version(grant, workflow, base).await?.graph;
    let before = walk::node(&graph, &path).ok_or_else(|| Error::not_found("step"))?;
    let node = form.node(Some(before))?;
    let after = walk::join(walk::split(&path).0, node.id.as_str());
    Ok((Edit::Set { path, node: Box::new(node) }, after))
}

/// The change of the settings.
pub fn settings(
    title: String,
    deadline_h: &str,
    retention_days: &str,
    priority: &str,
    (limit, key): (&str, &str),
    input: &str,
) -> Result<Edit> {
    let mut faults = Vec::new();
    let mut fault = |field: &str, message: String| faults.push(FieldError { field: field.to_owned(), message });
    let input = serde_json::from_str::<Value>(input).unwrap_or_else(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        fault("input", format!("This is not valid JSON ({place})."));
        Value::Null
    });
    let deadline_s = match deadline_h.trim() {
        "" => None,
        text => match text.parse::<f64>() {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "up to 366 days in seconds")]
            Ok(hours) if (0.01..=8_784.0).contains(&hours) => Some((hours * 3_600.0).round() as u64),
            _ => {
                fault("deadline_h", "Enter hours from 0.01 to 8784, or leave it empty.".to_owned());
                None
            }
        },
    };
    let retention_days = match retention_days.trim() {
        "" => None,
        text => text.parse().map_or_else(
            |_| {
                fault("retention_days", "Enter days from 0 to 3650, or leave it empty.".to_owned());
                None
            },
            Some,
        ),
    };
    let concurrency = match (limit.trim(), key.trim()) {
        ("", "") => None,
        (limit, key) => {
            let limit = limit.parse().unwrap_or_else(|_| {
                fault("concurrency_limit", "Enter a number of runs, such as 1, or leave both fields empty.".to_owned());
                0
            });
            Some(Concurrency { limit, key: key.to_owned() })
        }
    };
    if let Some(error) = Error::invalid_fields(faults) {
        return Err(error);
    }
    let priority = Priority::parse(priority).unwrap_or_default();
    let title = title.trim().to_owned();
    Ok(Edit::Settings { input, title, deadline_s, retention_days, priority, concurrency })
}

fn hours(seconds: u64) -> String {
    let text = format!("{:.4}", seconds as f64 / 3_600.0);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Leads to the outline, where the changed step is marked.
pub fn to_outline(cx: &Ctx, workflow: WorkflowId, path: &str) {
    let mark = if path.is_empty() { String::new() } else { format!("?changed={path}") };
    leptos_axum::redirect(&format!("/o/{}/workflows/{workflow}{mark}", cx.org().slug));
}

/// The run form.
pub fn run(workflow: Workflow, version: WorkflowVersion, named: bool, may: May) -> RunPage {
    let fields = input::fields(&version.graph.input);
    let typed: BTreeMap<String, String> =
        fields.iter().flatten().map(|field| (field.name.clone(), field.value.clone())).collect();
    let first = input::read(&version.graph.input, &typed).unwrap_or_else(|_| Value::Object(serde_json::Map::new()));
    RunPage {
        version: version.version,
        named,
        valid: version.valid,
        fields,
        json: serde_json::to_string_pretty(&first).unwrap_or_default(),
        key: agentflow::kernel::RunId::new().to_string(),
        workflow,
        may,
    }
}

/// A wrong entry of an address: such a page does not exist.
pub fn in_address(error: Error) -> Error {
    match error.kind {
        Kind::Invalid => Error::new(Kind::NotFound, "not_found", error.message),
        _ => error,
    }
}

/// The input of what was typed.
pub async fn input(
    grant: &Grant<right::View>,
    workflow: WorkflowId,
    version: Option<i32>,
    typed: &BTreeMap<String, String>,
    json: Option<&str>,
) -> Result<Value> {
    if let Some(json) = json {
        return serde_json::from_str(json).map_err(|error| {
            let place = format!("line {}, column {}", error.line(), error.column());
            Error::invalid("json", format!("This is not valid JSON ({place})."))
        });
    }
    let (_, version) = service::to_run(grant, workflow, version).await?;
    input::read(&version.graph.input, typed).map_err(|faults| {
        let faults = faults.into_iter().map(|fault| FieldError { field: format!("typed[{}]", fault.field), ..fault });
        Error::invalid_fields(faults.collect()).unwrap_or_else(|| Error::not_found("workflow"))
    })
}

/// Faults of an input, where the form shows them.
pub fn at_typed(mut error: Error, as_json: bool) -> Error {
    if error.kind != Kind::Invalid {
        return error;
    }
    for entry in &mut error.fields {
        let Some(path) = entry.field.strip_prefix("input") else { continue };
        let path = path.trim_start_matches(['.', '/']).to_owned();
        if as_json {
            if !path.is_empty() {
                entry.message = format!("{}: {}", text::shortened(&path, 60), entry.message);
            }
            "json".clone_into(&mut entry.field);
        } else {
            let name = path.split(['.', '/', '[']).next().unwrap_or_default();
            entry.field = format!("typed[{name}]");
        }
    }
    error
}

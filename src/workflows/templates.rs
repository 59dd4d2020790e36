//! Workflows to begin with: files as anybody could write and import them.

use std::sync::LazyLock;

use super::{NewWorkflow, TemplateCard, compile, yaml};
use crate::engine::plan::walk;

/// The templates in the order in which they are offered. The ids stand in addresses.
static TEMPLATES: LazyLock<Vec<(&'static str, NewWorkflow)>> = LazyLock::new(|| {
    [
        ("triage", include_str!("templates/triage.yaml")),
        ("research", include_str!("templates/research.yaml")),
        ("links", include_str!("templates/links.yaml")),
        ("invoice", include_str!("templates/invoice.yaml")),
    ]
    .into_iter()
    .filter_map(|(id, file)| match yaml::import(file) {
        Ok(workflow) => Some((id, workflow)),
        // A test reads all of them, so this is never seen.
        Err(error) => {
            tracing::error!(template = id, %error, "a template cannot be read");
            None
        }
    })
    .collect()
});

/// What a template makes.
#[must_use]
pub fn find(id: &str) -> Option<&'static NewWorkflow> {
    TEMPLATES.iter().find(|(key, _)| *key == id).map(|(_, workflow)| workflow)
}

/// The templates as cards: what they do and what they bring.
#[must_use]
pub fn cards() -> Vec<TemplateCard> {
    TEMPLATES.iter().map(|(id, workflow)| card(id, workflow)).collect()
}

/// What a new workflow does and brings.
#[must_use]
pub fn card(id: &str, workflow: &NewWorkflow) -> TemplateCard {
    let mut steps = Vec::new();
    walk::each(&workflow.graph.nodes, &mut |path, node| {
        steps.push((path.matches('.').count(), node.kind.word().to_owned(), node.label().to_owned()));
    });
    let agents = workflow.agents.values().map(|agent| agent.name.clone()).collect();
    let used = compile::tools_of(&workflow.graph)
        .into_iter()
        .chain(workflow.agents.values().flat_map(|agent| agent.tools.keys().cloned()));
    let mut tools: Vec<String> = Vec::new();
    for name in used {
        let title = crate::tools::find(&name).map_or_else(|| name.clone(), |tool| tool.title.clone());
        if !tools.contains(&title) {
            tools.push(title);
        }
    }
    TemplateCard {
        id: id.to_owned(),
        name: workflow.name.clone(),
        description: workflow.description.clone(),
        steps,
        agents,
        tools,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        schema,
        workflows::{forms::StepForm, input, service},
    };

    #[test]
    fn every_template_can_run_as_it_is() {
        assert_eq!(TEMPLATES.len(), 4);
        for (id, workflow) in TEMPLATES.iter() {
            let agents = workflow.agents.keys().cloned().collect();
            assert_eq!(
                service::faults_given(&workflow.graph, &agents, &crate::tools::built_in(), &BTreeMap::new()),
                [],
                "{id}"
            );
            assert_eq!(compile::agents_of(&workflow.graph), agents, "{id}: it brings exactly what it names");
            for agent in workflow.agents.values() {
                assert_eq!(agent.faults(), [], "{id}: {}", agent.name);
                assert!(agent.output_schema.is_null() || schema::check_schema(&agent.output_schema).is_ok());
            }
        }
    }

    #[test]
    fn the_run_form_of_every_template_is_filled_in_so_that_one_click_runs_it() {
        for (id, workflow) in TEMPLATES.iter() {
            let fields = input::fields(&workflow.graph.input).expect("a form");
            assert!(fields.iter().all(|field| !field.label.is_empty() && !field.value.is_empty()), "{id}");
            let typed: BTreeMap<String, String> = fields.into_iter().map(|field| (field.name, field.value)).collect();
            let input = input::read(&workflow.graph.input, &typed).expect("an input");
            assert_eq!(schema::check(&workflow.graph.input, &input), [], "{id}");
        }
    }

    #[test]
    fn every_step_of_a_template_has_a_readable_name_and_survives_the_outline() {
        for (id, workflow) in TEMPLATES.iter() {
            walk::each(&workflow.graph.nodes, &mut |path, node| {
                assert!(!node.name.is_empty(), "{id}: {path}");
                assert_eq!(StepForm::of(node).node(Some(node)).as_ref(), Ok(node), "{id}: {path}");
            });
        }
    }
}

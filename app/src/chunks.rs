//! The pages by chunk: what belongs together is loaded together, when one of its pages is first opened. What every page
//! needs is in the entry, and so are the pages that a visitor sees first.

use std::{future::Future, pin::Pin};

use leptos::prelude::AnyView;
use leptos_router::ChooseView;
use wasm_split_helpers::SplitLoaderError;

use crate::host;

/// A page of a chunk, as the view of a route.
#[derive(Clone, Copy)]
pub struct ChunkPage {
    chunk: &'static str,
    load: fn() -> Boxed<()>,
    view: fn() -> Boxed<AnyView>,
}

type Boxed<T> = Pin<Box<dyn Future<Output = Result<T, SplitLoaderError>>>>;

impl ChooseView for ChunkPage {
    // The router waits for this before it leaves the old page.
    async fn preload(&self) {
        if (self.load)().await.is_err() {
            host::open_as_document::<()>().await;
        }
    }

    async fn choose(self) -> AnyView {
        host::begins_with(self.chunk);
        match (self.view)().await {
            Ok(view) => view,
            Err(_) => host::open_as_document().await,
        }
    }
}

/// Loads the chunk that the server's page begins with. Until it is there the page works as it came.
pub async fn first() {
    let load = match host::first_chunk().as_deref() {
        Some("runs") => run::page().load,
        Some("list") => run_list::page().load,
        Some("inbox") => approvals::page().load,
        Some("agents") => agent_list::page().load,
        Some("build") => outline::page().load,
        Some("connect") => integrations::page().load,
        Some("tools") => tool_list::page().load,
        Some("office") => dashboard::page().load,
        _ => return,
    };
    while load().await.is_err() {
        host::pause().await;
    }
}

/// A page of a chunk: a module with the name of the page, whose function `page` is the view of its route.
macro_rules! page {
    ($chunk:ident, $page:ident, $view:path) => {
        pub mod $page {
            use leptos::prelude::{AnyView, IntoAny};
            use wasm_split_helpers::SplitLoaderError;

            use super::ChunkPage;

            #[wasm_split_helpers::wasm_split($chunk, fallible, preload(load))]
            fn view() -> Result<AnyView, SplitLoaderError> {
                Ok($view().into_any())
            }

            /// The view of the page's route.
            pub fn page() -> ChunkPage {
                ChunkPage { chunk: stringify!($chunk), load: || Box::pin(load()), view: || Box::pin(view()) }
            }
        }
    };
}

page!(runs, run, crate::runs::page::RunPage);
page!(runs, logs, crate::logs::LogsPage);
page!(list, run_list, crate::runs::list::RunsPage);
page!(list, run_bulk, crate::runs::list::bulk::BulkPage);
page!(list, search, crate::palette::SearchPage);
page!(list, shortcuts, crate::palette::ShortcutsPage);
page!(list, run_compare, crate::runs::compare::ComparePage);
page!(inbox, approvals, crate::approvals::ApprovalsPage);
page!(inbox, approvals_together, crate::approvals::bulk::TogetherPage);
page!(agents, agent_list, crate::agents::AgentsListPage);
page!(agents, agent, crate::agents::AgentEditPage);
page!(agents, agent_versions, crate::agents::AgentVersionsPageView);
page!(agents, agent_cases, crate::agents::AgentCasesPageView);
page!(agents, agent_deploy, crate::agents::AgentDeployPageView);
page!(agents, agent_record, crate::agents::AgentRecordPageView);
page!(agents, agent_memory, crate::agents::AgentMemoryPageView);
page!(build, workflow_list, crate::workflows::WorkflowsListPage);
page!(build, new_workflow, crate::workflows::NewWorkflowPage);
page!(build, outline, crate::workflows::OutlinePage);
page!(build, versions, crate::workflows::VersionsPage);
page!(build, workflow_settings, crate::workflows::SettingsPage);
page!(build, run_form, crate::workflows::RunFormPage);
page!(build, run_again, crate::runs::again::AgainPageView);
page!(build, new_step, crate::workflows::NewStepPage);
page!(build, step, crate::workflows::StepEditPage);
page!(connect, integrations, crate::integrations::IntegrationsPageView);
page!(connect, model_classes, crate::models::ModelClassesPageView);
page!(tools, tool_list, crate::tools::ToolsPageView);
page!(tools, tool, crate::tools::rest::ToolEditPage);
page!(tools, mcp_server, crate::tools::servers::ServerEditPage);
page!(office, dashboard, crate::dashboard::DashboardPageView);
page!(office, settings, crate::settings::SettingsPage);
page!(office, budgets, crate::budgets::BudgetsPageView);
page!(office, outbox, crate::outbox::OutboxPage);

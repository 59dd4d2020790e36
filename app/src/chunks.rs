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

type Boxed<T> = Pin<Box<dyn Future<Output = Result<T, NotLoaded>>>>;

/// The chunk did not come.
struct NotLoaded;

impl From<SplitLoaderError> for NotLoaded {
    fn from(_: SplitLoaderError) -> Self {
        Self
    }
}

impl ChooseView for ChunkPage {
    // The router waits for this before it leaves the old page.
    async fn preload(&self) {
        while (self.load)().await.is_err() {
            host::without_chunk().await;
        }
    }

    async fn choose(self) -> AnyView {
        host::will_load(self.chunk);
        loop {
            match (self.view)().await {
                Ok(view) => return view,
                Err(NotLoaded) => host::without_chunk().await,
            }
        }
    }
}

/// A page of a chunk: a module with the name of the page, whose function `page` is the view of its route.
macro_rules! page {
    ($chunk:ident, $page:ident, $view:path) => {
        pub mod $page {
            use leptos::prelude::{AnyView, IntoAny};

            use super::{ChunkPage, NotLoaded};

            #[wasm_split_helpers::wasm_split($chunk, fallible, preload(load))]
            fn view() -> Result<AnyView, NotLoaded> {
                Ok($view().into_any())
            }

            /// The view of the page's route.
            pub fn page() -> ChunkPage {
                ChunkPage {
                    chunk: stringify!($chunk),
                    load: || Box::pin(async { Ok(load().await?) }),
                    view: || Box::pin(view()),
                }
            }
        }
    };
}

page!(runs, run, crate::runs::page::RunPage);
page!(runs, run_list, crate::runs::list::RunsPage);
page!(inbox, approvals, crate::approvals::ApprovalsPage);
page!(build, agent_list, crate::agents::AgentsListPage);
page!(build, agent, crate::agents::AgentEditPage);
page!(build, workflow_list, crate::workflows::WorkflowsListPage);
page!(build, new_workflow, crate::workflows::NewWorkflowPage);
page!(build, outline, crate::workflows::OutlinePage);
page!(build, versions, crate::workflows::VersionsPage);
page!(build, workflow_settings, crate::workflows::SettingsPage);
page!(build, run_form, crate::workflows::RunFormPage);
page!(build, new_step, crate::workflows::NewStepPage);
page!(build, step, crate::workflows::StepEditPage);
page!(office, dashboard, crate::dashboard::DashboardPageView);
page!(office, settings, crate::settings::SettingsPage);
page!(office, outbox, crate::outbox::OutboxPage);

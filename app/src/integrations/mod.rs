//! Integrations: which providers of models there are, and the secrets that tools may use. Secrets go one way.

pub mod api;
mod credentials;
mod models;

use agentflow::access::Permission;
use leptos::prelude::*;

use self::api::{IntegrationsPage, load_integrations};
use crate::{
    frame::use_org,
    kit::{Callout, PageHeader, Title, Tone, form::Replay},
    wire::{Loaded, loading, on_success},
};

/// The page of the integrations.
#[component]
pub fn IntegrationsPageView() -> impl IntoView {
    let org = use_org();
    // Counts what was changed.
    let changes = RwSignal::new(0_u32);
    let slug = org.clone();
    let page = loading(move || changes.get(), move |_| load_integrations(slug.clone()));
    let show = move |page: IntegrationsPage| {
        let may_change = page.role.may(Permission::Deploy);
        let IntegrationsPage { can_store, operator, connections, providers, credentials, .. } = page;
        let place = Place { org: org.clone(), may_change, can_store, changes };
        view! {
            <div class="stack">
                {may_change.then(|| no_key(can_store))}
                <models::Providers place=place.clone() operator connections providers/>
                <credentials::Credentials place credentials/>
            </div>
        }
        .into_any()
    };
    view! {
        <Title text=Signal::stored("Integrations".to_owned())/>
        <PageHeader title=Signal::stored("Integrations".to_owned())/>
        <Loaded resource=page view=show/>
    }
    .into_any()
}

/// Where the parts of the page are, and what may be done there.
#[derive(Clone)]
struct Place {
    /// The organization's part of the address.
    org: String,
    /// Whether the one who looks may change things.
    may_change: bool,
    /// Whether this server keeps secrets.
    can_store: bool,
    /// Counts what was changed.
    changes: RwSignal<u32>,
}

impl Place {
    /// Has the page read again once this was done.
    fn follow(&self, action: crate::kit::FormAction<()>) {
        let changes = self.changes;
        on_success(action, move || changes.update(|count| *count += 1));
    }
}

fn no_key(can_store: bool) -> Option<AnyView> {
    (!can_store).then(|| {
        view! {
            <Callout tone=Tone::Warning>
                <p>
                    "This server has no master key, so it cannot keep secrets. Its operator sets "
                    <code>"AGENTFLOW_MASTER_KEY"</code>
                    " (made with "
                    <code>"openssl rand -base64 32"</code>
                    ") and starts it again."
                </p>
            </Callout>
        }
        .into_any()
    })
}

/// A form that is folded away, and whose it is, for those who hear the page. It is open where the page answers it.
fn folded(title: &'static str, of: &str, id: &str, form: AnyView) -> AnyView {
    let replay = use_context::<Replay>().and_then(|replay| replay.0.get_untracked());
    let open = replay.is_some_and(|replay| replay.form == id && replay.error.is_some());
    let of = (!of.is_empty()).then(|| view! { <span class="visually-hidden">{format!(" “{of}”")}</span> });
    view! {
        <details class="integration-form" open=open>
            <summary>{title}{of}</summary>
            {form}
        </details>
    }
    .into_any()
}

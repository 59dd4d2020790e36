//! The local outbox, for trying things out: what would have gone out by mail, if there were a mail server.

pub mod api;

use agentflow::mail::OutboxEntry;
use leptos::prelude::*;

use crate::{
    frame::use_org,
    kit::{Callout, Card, EmptyState, Kv, KvList, PageFailure, PageHeader, Skeleton, Time, Title},
    wire::loading,
};
use api::load_outbox;

/// The page of the local outbox.
#[component]
pub fn OutboxPage() -> impl IntoView {
    let slug = use_org();
    let entries = loading(|| (), move |()| load_outbox(slug.clone()));
    view! {
        <Title text="Outbox"/>
        <Transition fallback=|| view! { <Skeleton lines=8/> }>
            {move || {
                Suspend::new(async move {
                    match entries.await {
                        Ok(entries) => letters(entries),
                        Err(error) => view! { <PageFailure error/> }.into_any(),
                    }
                })
            }}
        </Transition>
    }
    .into_any()
}

fn letters(entries: Vec<OutboxEntry>) -> AnyView {
    let none = entries.is_empty().then(|| {
        view! {
            <EmptyState title="Nothing was written yet">
                "What runs send with the tool email_send appears here."
            </EmptyState>
        }
    });
    let cards: Vec<_> = entries.into_iter().map(letter).collect();
    view! {
        <PageHeader title="Outbox"/>
        <div class="stack narrow">
            <Callout>
                "No mail server is set, so e-mails stay here and nobody receives them. Set SMTP_URL and MAIL_FROM to send \
                 them. This page is shown on the server's own machine only."
            </Callout>
            {none}
            {cards}
        </div>
    }
    .into_any()
}

fn letter(entry: OutboxEntry) -> AnyView {
    let OutboxEntry { to, subject, body, created_at, .. } = entry;
    view! {
        <Card title=subject>
            <KvList>
                <Kv name="To">{to.join(", ")}</Kv>
                <Kv name="Written"><Time at=created_at/></Kv>
            </KvList>
            <p class="letter">{body}</p>
        </Card>
    }
    .into_any()
}

//! The approval that a step waits for, decided where it stopped the run: the inbox's own card, with its rules.

use agentflow::{
    approvals::Shown,
    kernel::{ApprovalId, Error},
};
use leptos::{prelude::*, task::spawn_local};

use super::model::RunModel;
use crate::{
    approvals::{api, card::ApprovalCard},
    kit::{Failure, Skeleton},
    live::{Topic, use_live},
};

/// An approval, and for which id it was fetched.
pub type FetchedApproval = Option<(ApprovalId, Result<Shown, Error>)>;

/// The card of an approval.
#[component]
pub fn Asked(
    /// The run.
    model: RunModel,
    /// The approval.
    approval: ApprovalId,
    /// What came with the page.
    first: FetchedApproval,
    /// The address of the step that asks.
    href: String,
    /// Whether the address asks for the confirmation of what cannot be undone.
    confirms: Signal<bool>,
) -> impl IntoView {
    let org = model.org.get_value();
    let first = first.filter(|(id, _)| *id == approval).map(|(_, fetched)| fetched);
    let known = first.is_some();
    let fetched = RwSignal::new(first);
    // Again whenever an approval changed: somebody else may have decided.
    let ticks = use_live().ticks(org.clone(), Topic::Approvals);
    let asker = org.clone();
    Effect::new(move |before: Option<()>| {
        ticks.track();
        if before.is_none() && known {
            return;
        }
        let org = asker.clone();
        spawn_local(async move {
            let answer = api::approval(org, approval).await.map_err(|error| error.0);
            // What is on screen stays there when it cannot be had again.
            let _ = fetched.try_update(|fetched| match (&answer, &fetched) {
                (Err(_), Some(Ok(_))) => {}
                _ => *fetched = Some(answer),
            });
        });
    });
    let stage = Memo::new(move |_| fetched.with(|fetched| fetched.as_ref().map(Result::is_ok)));
    move || {
        // Read, not only tracked: a memo that nobody reads never runs, and never tells of a change.
        let _ = stage.get();
        match fetched.get_untracked() {
            Some(Ok(first)) => {
                let shown = Signal::derive(move || match fetched.get() {
                    Some(Ok(shown)) => shown,
                    _ => first.clone(),
                });
                let on_change = Callback::new(move |(shown,)| fetched.set(Some(Ok(shown))));
                view! { <ApprovalCard org=org.clone() shown on_change href=href.clone() confirms/> }.into_any()
            }
            Some(Err(error)) => view! { <Failure error/> }.into_any(),
            None => view! { <Skeleton/> }.into_any(),
        }
    }
}

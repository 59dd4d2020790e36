//! The organization's API keys: make one, see it once, list and revoke them.

use agentflow::{
    access::Role,
    keys::{ApiKey, KeyState, NewApiKey},
};
use leptos::prelude::*;

use super::api::{CreateApiKey, RevokeApiKey};
use crate::kit::form::replayed_answer;
use crate::kit::{
    Callout, CancelDialog, Card, Choice, CopyButton, DataTable, Dialog, Field, Form, FormAction, Look, NoValue,
    OpenDialog, Select, Submit, Th, Time, Tone,
};

/// All about API keys.
#[component]
pub(super) fn KeysCard(
    /// The organization's part of the address.
    org: String,
    /// The keys, for those who may manage them.
    keys: Option<Vec<ApiKey>>,
    /// One's own role.
    role: Role,
    /// What makes a key.
    create: FormAction<NewApiKey>,
    /// Counts what was changed.
    changes: RwSignal<u32>,
) -> impl IntoView {
    let Some(keys) = keys else {
        return view! {
            <Card title="API keys">
                <p>"Programs use AgentFlow with an API key. Only owners and admins can make one; ask one of them."</p>
            </Card>
        }
        .into_any();
    };
    let replayed = replayed_answer::<CreateApiKey>();
    let made = move || create.value().get().and_then(Result::ok).or_else(|| replayed.clone());
    let roles: Vec<_> = [
        (Role::Viewer, "Viewer: sees agents, workflows and runs"),
        (Role::Member, "Member: also runs, edits and decides approvals"),
        (Role::Admin, "Admin: also deploys and manages keys"),
    ]
    .into_iter()
    .filter(|(offered, _)| *offered <= role)
    .map(|(offered, words)| Choice::new(offered.as_str(), words))
    .collect();
    let days = [("30", "30 days"), ("90", "90 days"), ("365", "1 year")];
    view! {
        <Card title="API keys">
            <div class="stack">
                <p>"Programs use AgentFlow with an API key, which they send as " <code>"Authorization: Bearer …"</code> "."</p>
                {move || made().map(|key| view! { <Secret key/> })}
                <KeyList org=org.clone() keys changes/>
                <h3>"Make a key"</h3>
                <Form action=create clear=true>
                    <input type="hidden" name="org" value=org/>
                    <Field name="name" label="Name" hint="What it is for, such as “Nightly import”."/>
                    <Select name="role" label="Role" choices=roles value="member"/>
                    <Select
                        name="days"
                        label="Lifetime"
                        choices=days.map(|(value, words)| Choice::new(value, words)).to_vec()
                        value="90"
                    />
                    <Submit look=Look::Default busy="Making…">"Make API key"</Submit>
                </Form>
            </div>
        </Card>
    }
    .into_any()
}

/// The new key's secret, this once.
#[component]
fn Secret(
    /// The key.
    key: NewApiKey,
) -> impl IntoView {
    view! {
        <div role="status">
            <Callout tone=Tone::Success>
                <p>"The key “" {key.name} "” is made. Copy its secret now: it is not shown again."</p>
                <p class="row"><code class="secret">{key.secret.clone()}</code> <CopyButton text=key.secret/></p>
            </Callout>
        </div>
    }
    .into_any()
}

#[component]
fn KeyList(org: String, keys: Vec<ApiKey>, changes: RwSignal<u32>) -> impl IntoView {
    if keys.is_empty() {
        return view! { <p class="muted">"There are no keys yet."</p> }.into_any();
    }
    let rows: Vec<_> = keys.into_iter().map(|key| view! { <KeyRow org=org.clone() key changes/> }).collect();
    let head = || {
        view! {
            <Th>"Name"</Th>
            <Th>"Role"</Th>
            <Th>"Last used"</Th>
            <Th>"Ends"</Th>
            <Th><span class="visually-hidden">"Actions"</span></Th>
        }
    };
    view! { <DataTable caption="API keys" head=head.into() class="cards">{rows}</DataTable> }.into_any()
}

#[component]
fn KeyRow(org: String, key: ApiKey, changes: RwSignal<u32>) -> impl IntoView {
    let ends = match (key.state, key.expires_at) {
        (KeyState::Revoked, _) => "Revoked".into_any(),
        (KeyState::Expired, _) => "Expired".into_any(),
        (KeyState::Active, Some(at)) => view! { <Time at/> }.into_any(),
        (KeyState::Active, None) => "Never".into_any(),
    };
    let used = match key.last_used_at {
        Some(at) => view! { <Time at/> }.into_any(),
        None => view! { <NoValue/> }.into_any(),
    };
    let revoke = (key.state == KeyState::Active).then(|| view! { <Revoke org key=key.clone() changes/> });
    view! {
        <tr>
            <th scope="row">
                {key.name}
                <span class="sub mono">{key.prefix} "…"</span>
            </th>
            <td data-label="Role">{key.role.as_str()}</td>
            <td data-label="Last used">{used}</td>
            <td data-label="Ends">{ends}</td>
            <td>{revoke}</td>
        </tr>
    }
    .into_any()
}

#[component]
fn Revoke(org: String, key: ApiKey, changes: RwSignal<u32>) -> impl IntoView {
    let action = FormAction::new::<RevokeApiKey>();
    let done = Signal::derive(move || matches!(action.value().get(), Some(Ok(()))));
    Effect::new(move |_| {
        if done.get() {
            changes.update(|count| *count += 1);
        }
    });
    let name = key.name.clone();
    let (dialog, form) = (format!("revoke-{}", key.id), format!("revoke-form-{}", key.id));
    view! {
        <OpenDialog dialog=dialog.clone() look=Look::Quiet>
            "Revoke…"
            <span class="visually-hidden">" “" {name} "”"</span>
        </OpenDialog>
        <Dialog id=dialog title=format!("Revoke “{}”?", key.name) close=done>
            <p>"Programs that use this key are refused from now on. This cannot be undone."</p>
            <Form action id=form>
                <input type="hidden" name="org" value=org/>
                <input type="hidden" name="key" value=key.id.to_string()/>
                <div class="dialog-actions">
                    <CancelDialog/>
                    <Submit look=Look::Danger busy="Revoking…">"Revoke key"</Submit>
                </div>
            </Form>
        </Dialog>
    }
    .into_any()
}

//! Credentials of tools.

use agentflow::credentials::{Credential, CredentialKind, CredentialStatus};
use leptos::prelude::*;

use super::{
    Place,
    api::{AddCredential, ChangeCredential, DisconnectCredential, RemoveCredential},
    folded,
};
use crate::{
    kit::{
        CancelDialog, Card, Choice, Dialog, Field, Form, FormAction, Glyph, Kv, KvList, Look, OpenDialog, Select,
        Status, StatusBadge, Submit, Time, status::Family,
    },
    wire::hidden,
};

/// The section of credentials.
#[component]
pub(super) fn Credentials(
    /// Where it is.
    place: Place,
    /// The credentials, by name.
    credentials: Vec<Credential>,
) -> impl IntoView {
    let empty = credentials.is_empty().then(|| view! { <p>"There are no credentials yet."</p> });
    let items: Vec<_> = credentials.into_iter().map(|one| credential(&place, one)).collect();
    let add = (place.may_change && place.can_store).then(|| add(&place));
    view! {
        <Card title="Credentials">
            <div class="stack">
                <p class="muted">
                    "What tools show to other systems. A value is joined in when a call goes out: no model, page or log sees it."
                </p>
                {empty}
                <ul class="integrations">{items}</ul>
                {add}
            </div>
        </Card>
    }
    .into_any()
}

fn status(status: CredentialStatus) -> Status {
    match status {
        CredentialStatus::Connected => Status::new("Connected", Glyph::Succeeded, Family::Success),
        CredentialStatus::Error => Status::new("Error", Glyph::Failed, Family::Danger),
        CredentialStatus::Disconnected => Status::new("Disconnected", Glyph::Stopped, Family::Neutral),
    }
}

/// What the detail of a kind is called.
fn detail_name(kind: CredentialKind) -> &'static str {
    match kind {
        CredentialKind::Header => "Header",
        CredentialKind::Query => "Parameter",
        _ => "User name",
    }
}

fn credential(place: &Place, one: Credential) -> AnyView {
    let value = match (one.status, &one.last4) {
        (CredentialStatus::Disconnected, _) => "None".to_owned(),
        (_, Some(end)) => format!("Ends in {end}"),
        (_, None) => "Stored".to_owned(),
    };
    let (name, status) = (one.name.clone(), status(one.status));
    let (kind, at) = (one.kind, one.rotated_at);
    let hosts = one.allowed_hosts.join(", ");
    let detail = one.detail.clone().map(|detail| view! { <Kv name=detail_name(kind)>{detail}</Kv> });
    let used = one.last_used_at.map(|at| view! { <Kv name="Last used"><Time at/></Kv> });
    let users = one.used_by.join(", ");
    let users = (!users.is_empty()).then(|| view! { <Kv name="Used by">{users}</Kv> });
    let error = one.error.clone().map(|why| view! { <p class="field-error">{why}</p> });
    let actions = place.may_change.then(|| actions(place, &one));
    view! {
        <li>
            <div class="row">
                <h3>{name}</h3>
                <StatusBadge status=Signal::stored(status)/>
            </div>
            {error}
            <KvList>
                <Kv name="Kind">{kind.label()}</Kv>
                {detail}
                <Kv name="Hosts">{hosts}</Kv>
                <Kv name="Value">{value}</Kv>
                <Kv name="Set"><Time at/></Kv>
                {used}
                {users}
            </KvList>
            {actions}
        </li>
    }
    .into_any()
}

fn actions(place: &Place, one: &Credential) -> AnyView {
    // What stands in a form belongs to the form.
    let [of_change, of_disconnect, of_remove] =
        [(); 3].map(|()| hidden([("org", place.org.clone()), ("credential", one.id.to_string())]));
    let [disconnect_name, remove_name] = [(); 2].map(|()| format!(" “{}”", one.name));
    let change = FormAction::new::<ChangeCredential>();
    let disconnect = FormAction::new::<DisconnectCredential>();
    let remove = FormAction::new::<RemoveCredential>();
    for action in [change, disconnect, remove] {
        place.follow(action);
    }
    let change_id = format!("change-{}", one.id);
    let (dialog, remove_id) = (format!("remove-{}", one.id), format!("remove-form-{}", one.id));
    let name = one.name.clone();
    let hosts = (one.kind != CredentialKind::Postgres).then(|| hosts_field(one.allowed_hosts.join(", ")));
    let form = view! {
        <Form action=change id=change_id.clone()>
            {of_change}
            <Field name="name" label="Name" value=name/>
            {hosts}
            {value_field("New value", "Empty: the value stays. To add a host, enter it again.", true)}
            <Submit look=Look::Default>"Save credential"</Submit>
        </Form>
    };
    let form = place.can_store.then(|| folded("Change", &one.name, &change_id, form.into_any()));
    let off = (one.status != CredentialStatus::Disconnected).then(|| {
        view! {
            <Form action=disconnect id=format!("disconnect-{}", one.id) class="inline">
                {of_disconnect}
                <Submit look=Look::Quiet busy="Disconnecting…">
                    "Disconnect"
                    <span class="visually-hidden">{disconnect_name}</span>
                </Submit>
            </Form>
        }
    });
    view! {
        <div class="integration-actions">
            {off}
            <OpenDialog dialog=dialog.clone() look=Look::Quiet>
                "Remove…"
                <span class="visually-hidden">{remove_name}</span>
            </OpenDialog>
        </div>
        {form}
        <Dialog id=dialog title=format!("Remove “{}”?", one.name)>
            <p>"Its value is gone for good. A credential that a tool uses cannot be removed; disconnect it instead."</p>
            <Form action=remove id=remove_id>
                {of_remove}
                <div class="dialog-actions">
                    <CancelDialog/>
                    <Submit look=Look::Danger busy="Removing…">"Remove credential"</Submit>
                </div>
            </Form>
        </Dialog>
    }
    .into_any()
}

fn add(place: &Place) -> AnyView {
    let action = FormAction::new::<AddCredential>();
    place.follow(action);
    let kinds = CredentialKind::OF_TOOLS.map(|kind| Choice::new(kind.as_str(), kind.label())).to_vec();
    let org = hidden([("org", place.org.clone())]);
    let form = view! {
        <Form action clear=true>
            {org}
            <Field name="name" label="Name" hint="What it is for, such as “CRM”."/>
            <Select name="kind" label="Kind" choices=kinds value=CredentialKind::Bearer.as_str()/>
            <Field
                name="detail"
                label="User name, header or parameter"
                hint="For a password the user name, for a header or the address the name, such as X-Api-Key. Else empty."
                optional=true
            />
            {hosts_field(String::new())}
            {value_field("Value", "Of a PostgreSQL database its address: postgres://user:password@host/name.", false)}
            <Submit look=Look::Default>"Store credential"</Submit>
        </Form>
    };
    folded("Add a credential", "", "add_credential", form.into_any())
}

fn hosts_field(value: String) -> AnyView {
    view! {
        <Field
            name="hosts"
            label="Hosts"
            hint="Where it may be sent, such as api.example.com, with commas between; what is below a name is included. Of a database empty."
            value
            optional=true
        />
    }
    .into_any()
}

fn value_field(label: &'static str, hint: &'static str, optional: bool) -> AnyView {
    view! { <Field name="secret" label kind="password" autocomplete="off" hint optional class="mono"/> }.into_any()
}

//! Providers of models: the operator's, to be seen, and the organization's own, to be changed.

use agentflow::connections::{ModelConnection, OperatorProvider, ProviderChoice};
use leptos::prelude::*;

use super::{
    Place,
    api::{AddModelConnection, ChangeModelConnection, RemoveModelConnection, ReplaceModelKey, TestModelConnection},
    folded,
};
use crate::{
    kit::{
        CancelDialog, Card, Checkbox, Choice, Dialog, Field, Form, FormAction, Glyph, Kv, KvList, Look, OpenDialog,
        Select, Status, StatusBadge, Submit, Time, status::Family,
    },
    wire::hidden,
};

/// The section of model providers.
#[component]
pub(super) fn Providers(
    /// Where it is.
    place: Place,
    /// The operator's.
    operator: Vec<OperatorProvider>,
    /// The organization's own.
    connections: Vec<ModelConnection>,
    /// The providers to choose from.
    providers: Vec<ProviderChoice>,
) -> impl IntoView {
    let of_server: Vec<_> = operator.into_iter().map(of_operator).collect();
    let is_empty = of_server.is_empty() && connections.is_empty();
    let own: Vec<_> = connections.into_iter().map(|one| connection(&place, one)).collect();
    let add = place.may_change.then(|| add(&place, providers));
    view! {
        <Card title="Model providers">
            <div class="stack">
                <p class="muted">
                    "Whose models agents can use. Keys of the organization's own are asked in the order of their rank."
                </p>
                {is_empty.then(|| view! { <p>"No provider is connected: agents work with the sandbox model."</p> })}
                <ul class="integrations">{of_server}{own}</ul>
                {add}
            </div>
        </Card>
    }
    .into_any()
}

fn of_operator(one: OperatorProvider) -> AnyView {
    view! {
        <li>
            <div class="row">
                <h3>{one.label}</h3>
                <span class="badge neutral">"Of this server"</span>
            </div>
            <p class="muted">{models_in_words(&one.models)}</p>
        </li>
    }
    .into_any()
}

fn models_in_words(models: &[String]) -> String {
    if models.is_empty() { "All known models".to_owned() } else { models.join(", ") }
}

fn status(one: &ModelConnection) -> Status {
    match (one.enabled, &one.error, one.checked_at) {
        (false, ..) => Status::new("Off", Glyph::Stopped, Family::Neutral),
        (true, Some(_), _) => Status::new("Error", Glyph::Failed, Family::Danger),
        (true, None, Some(_)) => Status::new("Connected", Glyph::Succeeded, Family::Success),
        (true, None, None) => Status::new("Not tested", Glyph::Pending, Family::Neutral),
    }
}

fn connection(place: &Place, one: ModelConnection) -> AnyView {
    let key = match (one.has_key, &one.last4) {
        (false, _) => "None".to_owned(),
        (true, Some(end)) => format!("Ends in {end}"),
        (true, None) => "Stored".to_owned(),
    };
    let (name, status, rank) = (one.label.clone(), status(&one), one.rank);
    let (provider, models) = (one.provider_label.clone(), models_in_words(&one.models));
    let tested = one.checked_at.map(|at| view! { <Kv name="Last test"><Time at/></Kv> });
    let used = one.last_used_at.map(|at| view! { <Kv name="Last used"><Time at/></Kv> });
    let address = one.base_url.clone().unwrap_or_else(|| "The provider's usual one".to_owned());
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
                <Kv name="Provider">{provider}</Kv>
                <Kv name="Models">{models}</Kv>
                <Kv name="Address">{address}</Kv>
                <Kv name="Key">{key}</Kv>
                <Kv name="Rank">{rank}</Kv>
                {tested}
                {used}
            </KvList>
            {actions}
        </li>
    }
    .into_any()
}

fn actions(place: &Place, one: &ModelConnection) -> AnyView {
    // What stands in a form belongs to the form.
    let [of_test, of_change, of_replace, of_remove] =
        [(); 4].map(|()| hidden([("org", place.org.clone()), ("connection", one.id.to_string())]));
    let [test_name, remove_name] = [(); 2].map(|()| format!(" “{}”", one.label));
    let test = FormAction::new::<TestModelConnection>();
    let change = FormAction::new::<ChangeModelConnection>();
    let replace = FormAction::new::<ReplaceModelKey>();
    let remove = FormAction::new::<RemoveModelConnection>();
    for action in [test, change, replace, remove] {
        place.follow(action);
    }
    let (change_id, replace_id) = (format!("change-{}", one.id), format!("replace-{}", one.id));
    let (dialog, remove_id) = (format!("remove-{}", one.id), format!("remove-form-{}", one.id));
    let (label, models, rank, enabled) = (one.label.clone(), one.models.join(", "), one.rank, one.enabled);
    let change_form = view! {
        <Form action=change id=change_id.clone()>
            {of_change}
            <Field name="label" label="Name" value=label/>
            {models_field(models)}
            {rank_field(rank)}
            <Checkbox name="enabled" label="Use it" checked=enabled/>
            <Submit look=Look::Default>"Save connection"</Submit>
        </Form>
    };
    let replace_form = view! {
        <Form action=replace id=replace_id.clone()>
            {of_replace}
            {key_field("New key", "It takes the old one's place once the provider has answered with it.", false)}
            {anyway_box()}
            <Submit look=Look::Default busy="Testing…">"Replace key"</Submit>
        </Form>
    };
    let replace_form = place.can_store.then(|| folded("Replace key", &one.label, &replace_id, replace_form.into_any()));
    view! {
        <div class="integration-actions">
            <Form action=test id=format!("test-{}", one.id) class="inline">
                {of_test}
                <Submit look=Look::Default busy="Testing…">
                    "Test"
                    <span class="visually-hidden">{test_name}</span>
                </Submit>
            </Form>
            <OpenDialog dialog=dialog.clone() look=Look::Quiet>
                "Remove…"
                <span class="visually-hidden">{remove_name}</span>
            </OpenDialog>
        </div>
        {folded("Change", &one.label, &change_id, change_form.into_any())}
        {replace_form}
        <Dialog id=dialog title=format!("Remove “{}”?", one.label)>
            <p>"Its key is removed with it. Agents that use its models fall back to other connections, or fail."</p>
            <Form action=remove id=remove_id>
                {of_remove}
                <div class="dialog-actions">
                    <CancelDialog/>
                    <Submit look=Look::Danger busy="Removing…">"Remove connection"</Submit>
                </div>
            </Form>
        </Dialog>
    }
    .into_any()
}

fn add(place: &Place, providers: Vec<ProviderChoice>) -> AnyView {
    let action = FormAction::new::<AddModelConnection>();
    place.follow(action);
    let choices: Vec<_> = providers.into_iter().map(|one| Choice::new(one.name, one.label)).collect();
    let org = hidden([("org", place.org.clone())]);
    let form = view! {
        <Form action clear=true>
            {org}
            <Select name="provider" label="Provider" choices/>
            {key_field("Key", "It is stored encrypted and shown to nobody again. A server of your own may need none.", true)}
            <Field name="label" label="Name" hint="Empty: as the provider." optional=true/>
            <Field
                name="base_url"
                label="Address"
                kind="url"
                hint="Empty: the provider's usual one. It cannot be changed later, as the key belongs to it."
                optional=true
            />
            {models_field(String::new())}
            {rank_field(1)}
            {anyway_box()}
            <Submit look=Look::Default busy="Testing…">"Test and add provider"</Submit>
        </Form>
    };
    folded("Add a provider", "", "add_model_connection", form.into_any())
}

fn key_field(label: &'static str, hint: &'static str, optional: bool) -> AnyView {
    view! { <Field name="secret" label kind="password" autocomplete="off" hint optional class="mono"/> }.into_any()
}

fn models_field(value: String) -> AnyView {
    view! {
        <Field
            name="models"
            label="Models"
            hint="Names with commas between, such as gpt-5, gpt-5-mini. Empty: all that AgentFlow knows of this provider."
            value
            optional=true
        />
    }
    .into_any()
}

fn rank_field(value: i16) -> AnyView {
    view! {
        <Field
            name="rank"
            label="Rank"
            hint="1 is asked first. Connections of one rank share the work."
            value=value.to_string()
            inputmode="numeric"
            class="short"
        />
    }
    .into_any()
}

fn anyway_box() -> AnyView {
    view! { <Checkbox name="anyway" label="Save even if the test fails"/> }.into_any()
}

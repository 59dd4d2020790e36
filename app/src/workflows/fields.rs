//! The fields of a step's form that its kind has of its own.

use agentflow::workflows::forms::StepForm;
use leptos::prelude::*;

use super::api::{Argument, StepPage};
use crate::kit::{Checkbox, Choice, Field, Select, TextArea};

/// The fields of the form's kind.
pub(super) fn own_fields(form: &StepForm, page: &StepPage) -> AnyView {
    let form = form.clone();
    match form.kind.as_str() {
        "agent" => {
            let choices: Vec<Choice> =
                page.agents.iter().map(|agent| Choice::new(agent.key.clone(), agent.name.clone())).collect();
            let choices = with_chosen(choices, &form.agent);
            view! {
                <Select name="form[agent]" label="Agent" choices value=form.agent/>
                <TextArea name="form[prompt]" label="What the agent is asked" rows=8 value=form.prompt
                    hint="A template: {{ input.message }} is replaced by what the run was given."/>
                <TextArea name="form[history]" label="What was said before" optional=true class="mono" rows=2 value=form.history
                    hint="Exactly one expression that gives a list of {\"role\": \"user\" or \"assistant\", \"text\"}, such as {{ input.history }}."/>
                <Field name="form[memory_key]" label="Remember under" optional=true class="mono" value=form.memory_key
                    hint="For an agent whose memory is by key: whom or what the task is about, such as {{ input.customer }}. Empty: it remembers nothing of it."/>
            }
            .into_any()
        }
        "tool" => tool_fields(&form, page),
        "transform" => view! {
            <TextArea name="form[value]" label="Value" class="mono" rows=8 value=form.value
                hint="A text, JSON, or exactly one expression such as {{ input.items.length }}, which keeps its type."/>
        }
        .into_any(),
        "http" => http_fields(form),
        "decision" => decision_fields(&form),
        "approval" => approval_fields(form),
        "map" => view! {
            <Field name="form[items]" label="List" class="mono" value=form.items
                hint="Exactly one expression that gives a list, such as {{ input.urls }}. The steps inside see item and index."/>
            <Field name="form[concurrency]" label="Items at the same time" class="short" inputmode="numeric" value=form.concurrency
                hint="1 to 100."/>
            <TextArea name="form[result]" label="Result of an item" optional=true class="mono" rows=3 value=form.result
                hint="Such as {{ steps.judge.output }}. Empty: the output of the last step that ran."/>
            <Field name="form[max_failures]" label="Items that may fail" class="short" inputmode="numeric" value=form.max_failures
                hint="With one more, this step fails. The result of an item that failed is null."/>
        }
        .into_any(),
        "loop" => view! {
            <Field name="form[until_done]" label="Done when" class="mono" value=form.until_done
                hint="Asked after each round, exactly one expression, such as {{ result.score > 0.9 }}. It sees result, previous, index, and the round's steps."/>
            <Field name="form[max]" label="Rounds at most" class="short" inputmode="numeric" value=form.max
                hint="1 to 1,000. When they are used up, a person is asked whether to go on."/>
            <TextArea name="form[result]" label="Result of a round" optional=true class="mono" rows=3 value=form.result
                hint="Such as {{ steps.draft.output }}. The next round reads it as previous. Empty: the output of the last step that ran."/>
        }
        .into_any(),
        "workflow" => {
            let choices = page.workflows.iter().map(|(id, name)| Choice::new(id.clone(), name.clone())).collect();
            let choices = with_chosen(choices, &form.workflow);
            view! {
                <Select name="form[workflow]" label="Workflow" choices value=form.workflow/>
                <Field name="form[version]" label="Version" optional=true class="short" inputmode="numeric" value=form.version
                    hint="Empty: the one that is deployed when the run starts."/>
                <TextArea name="form[input]" label="Its input" optional=true class="mono" rows=6 value=form.input
                    hint="JSON with templates inside, such as {\"customer\": \"{{ input.customer }}\"}."/>
            }
            .into_any()
        }
        "wait_event" => view! {
            <Field name="form[event]" label="Key of the event" class="mono" value=form.event
                hint="A template, such as payment.{{ input.order }}. Programs send events to /api/v1/events; the event's data is this step's output."/>
            <Field name="form[timeout_s]" label="Seconds to wait at most" optional=true class="short" inputmode="numeric" value=form.timeout_s
                hint="Empty: as long as the run may last. After that the step fails; a step that runs after its error can go on from there."/>
        }
        .into_any(),
        "wait" => view! {
            <Field name="form[seconds]" label="Seconds" optional=true class="mono" value=form.seconds
                hint="A number, or one expression. Nothing is held while the run waits."/>
            <Field name="form[until]" label="Or until" optional=true class="mono" value=form.until
                hint="A moment such as 2026-12-24T18:00:00Z, or one expression."/>
        }
        .into_any(),
        "end" => view! {
            <TextArea name="form[output]" label="Output of the run" optional=true class="mono" rows=8 value=form.output
                hint="A text, JSON, or one expression such as {{ steps.draft.output }}."/>
        }
        .into_any(),
        _ => view! { <p class="hint">"The run begins here. Its output is the run's input."</p> }.into_any(),
    }
}

/// The choices with the one that is chosen, though it may not be there any more.
fn with_chosen(mut choices: Vec<Choice>, chosen: &str) -> Vec<Choice> {
    if !choices.iter().any(|choice| choice.value == chosen) {
        let label = if chosen.is_empty() { "Choose one".to_owned() } else { format!("{chosen} (not there)") };
        choices.insert(0, Choice::new(chosen, label));
    }
    choices
}

fn tool_fields(form: &StepForm, page: &StepPage) -> AnyView {
    let hidden = view! { <input type="hidden" name="form[tool]" value=form.tool.clone()/> };
    if form.tool.is_empty() {
        return view! { {hidden}<p class="hint">"Choose the tool above."</p> }.into_any();
    }
    // One expression for all arguments stays one, until it is cleared.
    if page.arguments.is_empty() || !form.arguments_value.is_empty() {
        return view! {
            {hidden}
            <TextArea name="form[arguments_value]" label="Arguments" optional=true class="mono" rows=6
                value=form.arguments_value.clone() hint="JSON, or one expression. Where the tool has fields of its own, they show when this is saved empty."/>
        }
        .into_any();
    }
    let fields: Vec<_> = page.arguments.iter().map(|argument| argument_field(form, argument)).collect();
    view! { {hidden}{fields} }.into_any()
}

fn argument_field(form: &StepForm, argument: &Argument) -> AnyView {
    let Argument { name, hint, required, choices, long } = argument.clone();
    let value = form.arguments.get(&name).cloned().unwrap_or_default();
    let entry = format!("form[arguments][{name}]");
    let label = {
        let words = name.replace('_', " ");
        let mut letters = words.chars();
        letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect::<String>())
    };
    let optional = !required;
    // An expression stands in a line of text, not in a list.
    if !choices.is_empty() && (value.is_empty() || choices.contains(&value)) {
        let choices = choices.into_iter().map(|choice| Choice::new(choice.clone(), choice)).collect::<Vec<_>>();
        return view! { <Select name=entry label choices value hint optional/> }.into_any();
    }
    if long {
        return view! { <TextArea name=entry label value hint optional rows=6/> }.into_any();
    }
    view! { <Field name=entry label value hint optional/> }.into_any()
}

fn http_fields(form: StepForm) -> AnyView {
    let methods = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"].map(|method| Choice::new(method, method)).to_vec();
    let checked = form.accept_errors == "true";
    view! {
        <Select name="form[method]" label="Method" choices=methods value=form.method/>
        <Field name="form[url]" label="Address" class="mono" value=form.url
            hint="A template, such as https://api.example.com/orders/{{ input.order }}."/>
        <TextArea name="form[headers]" label="Headers" optional=true class="mono" rows=3 value=form.headers
            hint="JSON, such as {\"Accept\": \"application/json\"}."/>
        <TextArea name="form[query]" label="Parameters of the address" optional=true class="mono" rows=3 value=form.query hint="JSON."/>
        <TextArea name="form[body]" label="Body" optional=true class="mono" rows=6 value=form.body
            hint="A text is sent as it is, anything else as JSON."/>
        <Checkbox name="form[accept_errors]" label="An answer of 400 and more is a result too" checked
            hint="Else the step fails with it."/>
    }
    .into_any()
}

fn decision_fields(form: &StepForm) -> AnyView {
    let places = form.branch.len();
    // Two empty lines to add branches; an empty line counts for nothing.
    let lines: Vec<_> = (0..places + 2)
        .map(|place| {
            let place = format!("{place:02}");
            let name = form.branch.get(&place).cloned().unwrap_or_default();
            let when = form.when.get(&place).cloned().unwrap_or_default();
            let number = place.parse::<usize>().unwrap_or_default() + 1;
            view! {
                <div class="branch">
                    <Field name=format!("form[branch][{place}]") label=format!("Branch {number}") optional=true class="mono" value=name/>
                    <Field name=format!("form[when][{place}]") label="is taken when" optional=true class="mono" value=when/>
                </div>
            }
        })
        .collect();
    view! {
        <p class="hint">"The first branch whose condition holds is taken. A condition is exactly one expression, such as {{ input.amount > 500 }}. Clear a line to take its branch away."</p>
        {lines}
        <Field name="form[otherwise]" label="Branch for everything else" class="mono short" value=form.otherwise.clone()/>
    }
    .into_any()
}

fn approval_fields(form: StepForm) -> AnyView {
    let roles = vec![
        Choice::new("", "Whoever may decide approvals, unless people are named"),
        Choice::new("member", "Members and above"),
        Choice::new("admin", "Admins and owners"),
        Choice::new("owner", "Owners"),
    ];
    let mut expiry = vec![
        Choice::new("reject", "It counts as rejected"),
        Choice::new("approve", "It counts as approved"),
        Choice::new("escalate", "Admins and owners decide, with as much time again"),
        Choice::new("escalate_owner", "Owners decide, with as much time again"),
    ];
    if form.on_expiry == "escalate_member" {
        expiry.push(Choice::new("escalate_member", "Members and above decide, with as much time again"));
    }
    let not_own = form.not_own == "true";
    let checked = form.reversible == "true";
    view! {
        <Field name="form[title]" label="What will happen" value=form.title hint="One sentence, as a template: Send this reply to {{ input.customer }}."/>
        <TextArea name="form[message]" label="What the decider should know" optional=true rows=4 value=form.message/>
        <TextArea name="form[payload]" label="What is approved" optional=true class="mono" rows=6 value=form.payload
            hint="JSON or a text. It can be edited on approval; later steps read it as steps.KEY.output.payload."/>
        <TextArea name="form[impact]" label="Who and what is touched" optional=true rows=2 value=form.impact/>
        <Field name="form[amount]" label="Amount of money" optional=true class="mono" value=form.amount
            hint="A number or an expression, such as {{ input.amount }}. Above the organization's limit it is typed to approve what cannot be undone."/>
        <Field name="form[currency]" label="Currency" optional=true class="short" value=form.currency hint="Such as EUR. Without one: USD."/>
        <TextArea name="form[why]" label="Why it is proposed" optional=true rows=2 value=form.why/>
        <Field name="form[confidence]" label="Confidence" optional=true class="mono" value=form.confidence
            hint="A number from 0 to 1 or an expression, such as {{ steps.KEY.output.confidence }}."/>
        <Checkbox name="form[reversible]" label="What follows can be undone" checked
            hint="Then approving takes one press and can be taken back for a few seconds. Else it asks again first."/>
        <Field name="form[reversible_until]" label="Until when it can be undone" optional=true class="mono" value=form.reversible_until
            hint="A moment or an expression. Without one: at any time."/>
        <Select name="form[role]" label="Who may decide" choices=roles value=form.role/>
        <TextArea name="form[people]" label="Or these people" optional=true class="mono" rows=2 value=form.people
            hint="An e-mail address or an expression in each line. With a role above, both decide; without one, these alone."/>
        <Field name="form[quorum]" label="How many have to agree" optional=true class="short" inputmode="numeric" value=form.quorum
            hint="One no is enough to reject."/>
        <Checkbox name="form[not_own]" label="Not whoever started the run" checked=not_own/>
        <Field name="form[expires_h]" label="Deadline in hours" optional=true class="short" inputmode="decimal" value=form.expires_h/>
        <Select name="form[on_expiry]" label="At the deadline" choices=expiry value=form.on_expiry/>
    }
    .into_any()
}

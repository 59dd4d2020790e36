//! The same decision on several approvals: first all that it would reach, and what is left out and why, then what became
//! of each. A page of its own, so that it works without JavaScript.

use leptos::prelude::*;
use leptos_router::hooks::use_query_map;

use super::api::{Chosen, DecideTogether, load_together};
use crate::{
    frame::use_org,
    kit::{
        Callout, Card, Choice, Crumb, DataTable, EmptyState, Form, FormAction, Glyph, PageHeader, RadioGroup,
        Reversibility, Submit, TextArea, Th, Time, Title, Tone, form::replayed_answer,
    },
    runs::words::counted,
    wire::{Loaded, hidden, loading},
};

/// The page.
#[component]
pub fn TogetherPage() -> impl IntoView {
    let org = use_org();
    let query = use_query_map();
    let picked = Memo::new(move |_| query.with(|query| query.get_all("pick")).unwrap_or_default().join(","));
    let slug = org.clone();
    let page = loading(move || picked.get(), move |picked| load_together(slug.clone(), picked));
    let view = move |chosen: Vec<Chosen>| view! { <Whole org=org.clone() chosen/> }.into_any();
    view! { <Loaded resource=page view/> }.into_any()
}

#[component]
fn Whole(org: String, chosen: Vec<Chosen>) -> impl IntoView {
    let send = FormAction::new::<DecideTogether>();
    let replayed = replayed_answer::<DecideTogether>();
    let done = Memo::new(move |_| send.value().get().and_then(Result::ok).or_else(|| replayed.clone()));
    let crumbs = vec![Crumb::new("Approvals", format!("/o/{org}/approvals"))];
    let body = move || match done.get() {
        Some(lines) => outcomes(&org, &lines),
        None => confirmation(&org, send, &chosen),
    };
    view! {
        <Title text="Decide together · Approvals"/>
        <PageHeader title="Decide together" crumbs/>
        <div class="stack">{body}</div>
    }
    .into_any()
}

/// What it would reach, and the form that decides.
fn confirmation(org: &str, send: FormAction<Vec<Chosen>>, chosen: &[Chosen]) -> AnyView {
    let back = format!("/o/{org}/approvals");
    let reached: Vec<_> = chosen.iter().filter(|(_, left_out)| left_out.is_none()).map(|(row, _)| row).collect();
    if reached.is_empty() {
        let words = match chosen.len() {
            0 => "Nothing is selected",
            _ => "None of these can be decided together",
        };
        return view! {
            <EmptyState title=words glyph=Glyph::Approvals>
                <p>"Select approvals of the same kind in the list, whose effect can be undone."</p>
                <p><a class="btn" href=back>"Back to the list"</a></p>
            </EmptyState>
            {(!chosen.is_empty()).then(|| table(org, chosen, "Left out"))}
        }
        .into_any();
    }
    let count = reached.len();
    let ids: Vec<_> = reached.iter().map(|row| row.id.to_string()).collect();
    let entries = hidden([("org", org.to_owned()), ("approvals", ids.join(","))]);
    let words = format!(
        "{} decided, each as if you had decided it alone. Each can be undone for as long as you have set.",
        counted(count, "approval is", "approvals are")
    );
    let left_out = chosen.len() - count;
    let left_out = (left_out > 0).then(|| {
        let words = format!("{} out, for the reason in its row.", counted(left_out, "is left", "are left"));
        view! { <Callout tone=Tone::Warning><p>{words}</p></Callout> }
    });
    let choices = vec![Choice::new("approve", "Approve"), Choice::new("reject", "Reject")];
    view! {
        <Card title="What happens">
            <div class="stack">
                <p>{words}</p>
                {left_out}
                <Form action=send>
                    {entries}
                    <RadioGroup name="decision" label="Decision" choices value="approve"/>
                    <TextArea name="reason" label="Reason for a no" rows=2 optional=true/>
                    <div class="row">
                        <Submit busy="Deciding…">{format!("Decide {}", counted(count, "approval", "approvals"))}</Submit>
                        <a class="btn btn-quiet" href=back>"Back to the list"</a>
                    </div>
                </Form>
            </div>
        </Card>
        {table(org, chosen, "Left out")}
    }
    .into_any()
}

/// Each of them, and what is to be said of it.
fn table(org: &str, rows: &[Chosen], what: &'static str) -> AnyView {
    let head = ViewFnOnce::from(move || {
        view! { <Th>"Approval"</Th><Th>"Workflow"</Th><Th>"Can it be undone"</Th><Th>"Deadline"</Th><Th>{what}</Th> }
    });
    let rows: Vec<_> = rows
        .iter()
        .map(|(row, words)| {
            let words = words.clone().unwrap_or_else(|| match &row.decision {
                Some(decision) => format!("Decided by {}", decision.by_name),
                None => "No".to_owned(),
            });
            let deadline = row.expires_at.map_or_else(|| "None".into_any(), |at| view! { <Time at/> }.into_any());
            view! {
                <tr>
                    <th scope="row" data-label="Approval"><a href=format!("/o/{org}/approvals?sel={}", row.id)>{row.title.clone()}</a></th>
                    <td data-label="Workflow">{row.workflow_name.clone()}</td>
                    <td data-label="Can it be undone"><Reversibility reversible=row.reversible until=row.reversible_until/></td>
                    <td data-label="Deadline">{deadline}</td>
                    <td data-label=what>{words}</td>
                </tr>
            }
        })
        .collect();
    view! { <DataTable caption="Selected approvals" head class="cards">{rows}</DataTable> }.into_any()
}

/// What became of each.
fn outcomes(org: &str, lines: &[Chosen]) -> AnyView {
    let done = lines.iter().filter(|(_, refused)| refused.is_none()).count();
    let mut words = format!("{} decided.", counted(done, "approval is", "approvals are"));
    if done < lines.len() {
        words.push_str(&format!(" With {} nothing was done, for the reasons below.", lines.len() - done));
    }
    let tone = if done < lines.len() { Tone::Warning } else { Tone::Success };
    let head = ViewFnOnce::from(|| view! { <Th>"Approval"</Th><Th>"What became of it"</Th> });
    let rows: Vec<_> = lines
        .iter()
        .map(|(row, refused)| {
            let became = refused.clone().unwrap_or_else(|| "Decided".to_owned());
            view! {
                <tr>
                    <th scope="row" data-label="Approval"><a href=format!("/o/{org}/approvals?sel={}", row.id)>{row.title.clone()}</a></th>
                    <td data-label="What became of it">{became}</td>
                </tr>
            }
        })
        .collect();
    view! {
        <div role="status"><Callout tone><p>{words}</p></Callout></div>
        <DataTable caption="What became of each approval" head class="cards">{rows}</DataTable>
        <p><a class="btn" href=format!("/o/{org}/approvals")>"Back to the list"</a></p>
    }
    .into_any()
}

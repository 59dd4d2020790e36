//! `/approve/{secret}`: the page of a link in a message, without signing in and without a script. Opening it decides
//! nothing, however often; its form does, once. The secret is in the path: it stands in no log, in no cache, and no page
//! that is opened from here is told of it.

use agentflow::{
    approvals::{
        Approval, ApprovalState, Decision, Verdict,
        links::{self, Opened},
    },
    kernel::{Error, Kind, text::visible},
};
use axum::{
    Router,
    extract::{Form, Path, State as Extract},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use serde::Deserialize;

use super::request;
use crate::state::State;

/// What every path of these pages begins with.
pub const PATH: &str = "/approve/";

/// Nothing but our own styles, and the form.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The page and its form. HEAD is answered as GET is.
pub fn routes() -> Router<State> {
    Router::new().route("/approve/{secret}", get(open).post(decide))
}

/// What the form sends.
#[derive(Deserialize)]
struct Sent {
    decision: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    seen: String,
}

async fn open(Extract(state): Extract<State>, Path(secret): Path<String>, headers: HeaderMap) -> Response {
    match links::open(&state.deps, &secret, request::id(&headers)).await {
        Ok(opened) => page(&state, StatusCode::OK, "Decide", &body(&opened, None)),
        Err(error) => refused(&state, &error),
    }
}

async fn decide(
    Extract(state): Extract<State>,
    Path(secret): Path<String>,
    headers: HeaderMap,
    Form(sent): Form<Sent>,
) -> Response {
    let (deps, request) = (&state.deps, request::id(&headers));
    let done = match sent.decision.as_str() {
        "approve" => {
            links::decide(deps, &secret, request, &Verdict::Approve { payload: None, amount: None }, &sent.seen).await
        }
        "reject" => {
            links::decide(deps, &secret, request, &Verdict::Reject { reason: sent.reason.clone() }, &sent.seen).await
        }
        "undo" => links::undo(deps, &secret, request).await,
        _ => Err(Error::invalid("decision", "Approve, or reject with a reason.")),
    };
    let error = match done {
        // Back to the page: sent again, the form would only be told who was first.
        Ok(_) => return see_again(&secret),
        Err(error) => error,
    };
    let status = status_of(&error);
    match links::open(deps, &secret, request).await {
        Ok(opened) => page(&state, status, "Decide", &body(&opened, Some(&error))),
        Err(error) => refused(&state, &error),
    }
}

fn see_again(secret: &str) -> Response {
    // A secret that led somewhere has no letters that an address could not have.
    let location = HeaderValue::from_str(&format!("{PATH}{secret}")).unwrap_or(HeaderValue::from_static("/"));
    let mut response = StatusCode::SEE_OTHER.into_response();
    response.headers_mut().insert(header::LOCATION, location);
    private(response)
}

fn status_of(error: &Error) -> StatusCode {
    StatusCode::from_u16(error.kind.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn refused(state: &State, error: &Error) -> Response {
    let words = match error.kind {
        Kind::NotFound => "This link does not work",
        _ => "Something is in the way",
    };
    let body = format!(
        "<h1>{words}</h1><p>{}</p><p><a class=\"btn\" href=\"/\">Open AgentFlow</a></p>",
        escaped(&error.message)
    );
    page(state, status_of(error), words, &body)
}

/// What is asked, and the two buttons; or what became of it.
fn body(opened: &Opened, error: Option<&Error>) -> String {
    let Opened { org, person, approval, used, elsewhere } = opened;
    let card = format!("/o/{}/approvals?sel={}", org.slug, approval.id);
    let mut out = format!("<h1>{}</h1>", escaped(&approval.title));
    if let Some(error) = error {
        out.push_str(&format!("<div class=\"callout danger\" role=\"alert\"><p>{}</p></div>", escaped(&error.message)));
    }
    out.push_str(&facts(opened));
    let signed_in = |words: &str| format!("<p><a class=\"btn\" href=\"{card}\">{words}</a></p>");
    match (approval.state, elsewhere) {
        (ApprovalState::Pending, Some(why)) => {
            out.push_str(&format!("<p>{}</p>{}", escaped(why), signed_in("Open it in AgentFlow")));
        }
        (ApprovalState::Pending, None) if *used => {
            out.push_str("<p>It waits again, and this link has been used.</p>");
            out.push_str(&signed_in("Decide in AgentFlow"));
        }
        (ApprovalState::Pending, None) => {
            out.push_str(&forms(approval, person));
            out.push_str(&signed_in("See all of it in AgentFlow"));
        }
        _ => {
            out.push_str(&format!("<p role=\"status\"><strong>{}</strong></p>", escaped(&outcome(approval))));
            if *used && approval.decision.as_ref().is_some_and(|decision| decision.can_undo) {
                out.push_str(
                    "<form class=\"form\" method=\"post\"><input type=\"hidden\" name=\"decision\" value=\"undo\">\
                     <button class=\"btn\" type=\"submit\">Undo</button></form>",
                );
            }
            out.push_str(&signed_in("Open it in AgentFlow"));
        }
    }
    out
}

/// In short: no more than the message itself could say.
fn facts(opened: &Opened) -> String {
    let approval = &opened.approval;
    let until = |at: agentflow::kernel::Timestamp| at.format("%-d %B %Y, %H:%M UTC").to_string();
    let undone = match (approval.reversible, approval.details.reversible_until) {
        (true, Some(at)) => format!("Reversible until {}", until(at)),
        (true, None) => "Reversible".to_owned(),
        (false, _) => "Cannot be undone".to_owned(),
    };
    let deadline = approval.expires_at.filter(|_| approval.state == ApprovalState::Pending);
    let facts = [
        ("Can it be undone", Some(undone)),
        ("Impact", Some(approval.impact.clone()).filter(|impact| !impact.is_empty())),
        ("Amount", approval.details.amount.as_ref().map(ToString::to_string)),
        ("Who asks", Some(approval.requested_by.clone())),
        ("Workflow", Some(format!("{}, in {}", approval.workflow_name, opened.org.name))),
        ("Deadline", deadline.map(|at| format!("{}, then it {}", until(at), approval.then))),
    ];
    let rows: String = facts
        .into_iter()
        .filter_map(|(name, value)| Some(format!("<div><dt>{name}</dt><dd>{}</dd></div>", escaped(&value?))))
        .collect();
    format!("<dl class=\"kv\">{rows}</dl>")
}

fn forms(approval: &Approval, person: &str) -> String {
    let seen = &approval.payload_sha256;
    format!(
        "<p class=\"muted\">You decide as {person}.</p>\
         <form class=\"form\" method=\"post\"><input type=\"hidden\" name=\"decision\" value=\"approve\">\
         <input type=\"hidden\" name=\"seen\" value=\"{seen}\">\
         <button class=\"btn btn-primary\" type=\"submit\">Approve</button></form>\
         <form class=\"form\" method=\"post\"><input type=\"hidden\" name=\"decision\" value=\"reject\">\
         <input type=\"hidden\" name=\"seen\" value=\"{seen}\">\
         <div class=\"field\"><label class=\"label\" for=\"reason\">Reason for a no</label>\
         <textarea class=\"input\" id=\"reason\" name=\"reason\" rows=\"2\" required></textarea></div>\
         <button class=\"btn\" type=\"submit\">Reject</button></form>",
        person = escaped(person),
    )
}

/// Who decided, and when it counts.
fn outcome(approval: &Approval) -> String {
    let word = match approval.state {
        ApprovalState::Approved => "Approved",
        ApprovalState::Rejected => "Rejected",
        ApprovalState::ChangesRequested => "Changes asked for",
        ApprovalState::Expired => return "The deadline passed before anybody decided.".to_owned(),
        ApprovalState::Withdrawn => return "The run ended first, so there is nothing to decide any more.".to_owned(),
        ApprovalState::Pending => return "It waits for a decision.".to_owned(),
    };
    let Some(Decision { by_name, at, effective_at, can_undo, .. }) = &approval.decision else {
        return format!("{word}.");
    };
    let later = match *can_undo {
        true => format!(" It takes effect at {} UTC and can be undone until then.", effective_at.format("%H:%M:%S")),
        false => String::new(),
    };
    format!("{word} by {by_name} on {}.{later}", at.format("%-d %B %Y, %H:%M:%S UTC"))
}

fn page(state: &State, status: StatusCode, title: &str, body: &str) -> Response {
    let css = match state.assets.css.as_str() {
        "" => String::new(),
        css => format!("<link rel=\"stylesheet\" href=\"{css}\">"),
    };
    let html = format!(
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1, viewport-fit=cover\"><meta name=\"color-scheme\" \
         content=\"light dark\"><meta name=\"robots\" content=\"noindex, nofollow\"><title>{title} · AgentFlow</title>\
         <link rel=\"icon\" type=\"image/svg+xml\" href=\"/favicon.svg\">{css}</head><body><div class=\"entrance\">\
         <header><a class=\"brand\" href=\"/\">AgentFlow</a></header><main id=\"content\" class=\"entrance-card by-link\">\
         {body}</main></div></body></html>"
    );
    private((status, Html(html)).into_response())
}

/// The address is a secret: it is passed on to nobody and kept nowhere.
fn private(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert("x-robots-tag", HeaderValue::from_static("noindex, nofollow"));
    response
}

/// A text as it stands between tags and in attributes, with what nobody would see in sight.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in visible(text).chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn a_title_is_a_text_and_nothing_else() {
        assert_eq!(escaped("<a href=\"x\">R&D's"), "&lt;a href=&quot;x&quot;&gt;R&amp;D&#39;s");
        assert_eq!(escaped("moc\u{202e}.x"), r"moc\u202e.x");
    }
}

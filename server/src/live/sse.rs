//! Server-Sent Events. Every kept event has its number as `id:`; whoever comes again with the last number gets exactly
//! the rest and then what is committed, none lost, none twice, in order.
//!
//! Besides a run's events there are `step.partial` (streamed tokens, without a number), `reset` (the number is unknown:
//! the run's events follow from the first) and `reconnect` (come again: too slow, the server stops, or the access ended).

use std::{convert::Infallible, time::Duration};

use agentflow::{
    access::Ctx,
    accounts::service::Visitor,
    approvals,
    kernel::{Error, RunId},
    live::{Tick, Ticks},
    orgs,
    runs::follow::{Follower, News, follow},
};
use axum::{
    extract::{FromRequestParts, Path, State as Extract},
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures::{
    FutureExt, Stream, StreamExt,
    stream::{self, BoxStream},
};
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use crate::{
    rest::{
        input::{Query, id},
        key::Caller,
        problem::{Answer, Problem},
    },
    state::State,
};

/// How often a line that nobody needs keeps the connection open.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How often it is asked again whether the reader may still read.
const CHECK: Duration = Duration::from_secs(15);
/// How long a connection stays open after the end of its run: where many readers wait for it, all read it before the work
/// of closing begins.
const CLOSE: Duration = Duration::from_millis(100);
/// The shortest time between two ticks of one stream.
const TICK_PAUSE: Duration = Duration::from_millis(300);
/// Runs that one tab follows at most.
const RUNS_OF_A_TAB: usize = 8;

/// Where a reader stands.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AfterQuery {
    after: Option<i64>,
}

/// `GET /api/v1/runs/{id}/events`: a run's events for a program. The stream ends with the run; a reader that comes again
/// after the last event gets 204, which tells an `EventSource` to stay away.
pub async fn run_events(
    Extract(state): Extract<State>,
    caller: Caller,
    Path(run): Path<String>,
    Query(query): Query<AfterQuery>,
    headers: HeaderMap,
) -> Answer<Response> {
    let run: RunId = id(&run, "run")?;
    let after = last_event_id(&headers).or(query.after).unwrap_or(0);
    let follower = follow(&caller.cx.grant()?, run, after).await?;
    // Who is told something now has not seen the end: nothing to ask for then.
    if follower.is_up_to_date() {
        let (run_state, last) = agentflow::runs::service::find_state(&caller.cx.grant()?, run).await?;
        if run_state.is_end() && last == after {
            return Ok(StatusCode::NO_CONTENT.into_response());
        }
    }
    let events = events_of(follower, true);
    let still_let_in = move || {
        // The key moves in here: the question is asked as long as the stream lives.
        let caller = caller.clone();
        async move { caller.is_still_let_in().await }
    };
    Ok(answer(events, &state, still_let_in))
}

/// What a tab follows.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TabQuery {
    topics: String,
    after: Option<i64>,
}

/// Who looks at a page.
pub struct Tab {
    visitor: Visitor,
}

impl FromRequestParts<State> for Tab {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Problem> {
        Ok(Self { visitor: Visitor::of(&state.deps, parts)? })
    }
}

/// `GET /o/{slug}/stream?topics=run:…,approvals,runs&after=…`: all that one tab follows, by cookie.
pub async fn tab(
    Extract(state): Extract<State>,
    Path(slug): Path<String>,
    Query(query): Query<TabQuery>,
    headers: HeaderMap,
    Tab { visitor }: Tab,
) -> Answer<Response> {
    let cx = enter(&visitor, &slug).await?;
    let mut sources: Vec<BoxStream<'static, Event>> = Vec::new();
    let mut ticks = Tick::default();
    let after = last_event_id(&headers).or(query.after).unwrap_or(0);
    for topic in query.topics.split(',').take(RUNS_OF_A_TAB + 2) {
        match topic.split_once(':') {
            None if topic == "runs" => ticks.runs = true,
            None if topic == "approvals" => ticks.approvals = true,
            Some(("run", run)) => {
                let follower = follow(&cx.grant()?, id(run, "run")?, after).await?;
                sources.push(events_of(follower, false).boxed());
            }
            _ => return Err(Error::not_found("topic").into()),
        }
    }
    if ticks != Tick::default() {
        sources.push(ticks_of(cx, ticks).boxed());
    }
    let still_let_in = move || {
        let (visitor, slug) = (visitor.clone(), slug.clone());
        async move {
            // The session as it is now, not as it was when the stream began.
            match visitor.is_still_here().await {
                Ok(false) => false,
                Ok(true) => !matches!(enter(&visitor, &slug).await, Err(Problem(error)) if is_refusal(&error)),
                // What cannot be asked now counts as yes: the next question decides.
                Err(_) => true,
            }
        }
    };
    Ok(answer(stream::select_all(sources), &state, still_let_in))
}

async fn enter(visitor: &Visitor, slug: &str) -> Answer<Ctx> {
    let person = visitor.clone().signed_in().await?;
    Ok(orgs::service::enter(&person, slug).await?)
}

fn is_refusal(error: &Error) -> bool {
    use agentflow::kernel::Kind;
    matches!(error.kind, Kind::Unauthenticated | Kind::NotFound | Kind::Forbidden)
}

/// A number that cannot be read stands for one that does not exist: the answer begins with a reset.
fn last_event_id(headers: &HeaderMap) -> Option<i64> {
    let value = headers.get("last-event-id")?;
    Some(value.to_str().ok().and_then(|text| text.trim().parse().ok()).unwrap_or(-1))
}

/// A run's events from a follower; with `ends`, as long as the run lasts.
fn events_of(follower: Follower, ends: bool) -> impl Stream<Item = Event> + Send + 'static {
    stream::unfold(Some(follower), move |follower| async move {
        let mut follower = follower?;
        match follower.next().await {
            News::Event(stored) => {
                let name = stored.event.name();
                let is_end = ends && matches!(name, "run.succeeded" | "run.failed" | "run.cancelled");
                let event =
                    stored.json().map(|json| Event::default().id(stored.seq.to_string()).event(name).data(json));
                Some((event.unwrap_or_default(), (!is_end).then_some(follower)))
            }
            News::Partial(partial) => {
                // A tab may follow several runs.
                let run = follower.run();
                let data =
                    json!({ "run": run, "step": partial.step, "attempt": partial.attempt, "text": partial.text });
                Some((Event::default().event("step.partial").data(data.to_string()), Some(follower)))
            }
            News::Reset => Some((Event::default().event("reset").id("0").data("{}"), Some(follower))),
            News::Reconnect => Some((reconnect("too_slow"), None)),
        }
    })
}

/// An organization's ticks: `runs`, and `approvals` with how many wait. Not more often than anybody can look. What
/// somebody has put off comes back by itself: the stream knows when.
fn ticks_of(cx: Ctx, wanted: Tick) -> impl Stream<Item = Event> + Send + 'static {
    let ticks = cx.deps().live.subscribe_org(cx.org_id());
    stream::unfold((cx, ticks, None), move |(cx, mut ticks, mut returns)| async move {
        let events = loop {
            if wanted.approvals && returns.is_none() {
                returns = Some(next_return(&cx).await);
            }
            let returned = tokio::time::sleep_until(returns.unwrap_or_else(far));
            let tick = tokio::select! {
                tick = next_tick(&mut ticks) => tick,
                // A tick that came at the same moment is in it.
                () = returned => Tick { runs: true, approvals: true },
            };
            let mut events = Vec::new();
            if wanted.runs && tick.runs {
                events.push(Event::default().event("runs").data("{}"));
            }
            if wanted.approvals && tick.approvals {
                returns = None;
                events.extend(pending(&cx).await);
            }
            if !events.is_empty() {
                break events;
            }
        };
        Some((stream::iter(events), (cx, ticks, returns)))
    })
    .flatten()
}

/// When the next approval comes back that the person has put off.
async fn next_return(cx: &Ctx) -> Instant {
    match approvals::hands::next_return(cx).await {
        Ok(Some(after)) => Instant::now() + after,
        _ => far(),
    }
}

/// Longer than any stream lasts.
fn far() -> Instant {
    Instant::now() + Duration::from_secs(86_400)
}

async fn next_tick(ticks: &mut Ticks) -> Tick {
    let first = ticks.next().await;
    tokio::time::sleep(TICK_PAUSE).await;
    // What gathered in the pause belongs to it.
    ticks.next().now_or_never().map_or(first, |more| first.and(more))
}

async fn pending(cx: &Ctx) -> Option<Event> {
    let pending = approvals::service::pending_count(&cx.grant().ok()?).await.ok()?;
    Some(Event::default().event("approvals").data(json!({ "pending": pending }).to_string()))
}

fn reconnect(reason: &str) -> Event {
    Event::default().event("reconnect").retry(Duration::from_secs(1)).data(json!({ "reason": reason }).to_string())
}

/// The stream until it ends, the server stops, or the reader is not let in any more.
fn answer<A>(
    events: impl Stream<Item = Event> + Send + 'static,
    state: &State,
    still_let_in: impl Fn() -> A + Send + Sync + 'static,
) -> Response
where
    A: Future<Output = bool> + Send + 'static,
{
    let stop = state.stop.clone();
    let end = async move {
        let refused = async {
            loop {
                tokio::time::sleep(CHECK).await;
                if !still_let_in().await {
                    return;
                }
            }
        };
        let reason = tokio::select! {
            () = stop.requested() => "stopping",
            () = refused => "access_ended",
        };
        [Some(reconnect(reason)), None]
    };
    let close = async {
        tokio::time::sleep(CLOSE).await;
        None
    };
    let events = events.map(Some).chain(stream::once(close));
    let end = stream::once(end).flat_map(stream::iter);
    let until_end = stream::select(end, events)
        .take_while(|event| std::future::ready(event.is_some()))
        .filter_map(std::future::ready)
        .map(Ok::<_, Infallible>);
    let mut response = Sse::new(until_end).keep_alive(KeepAlive::new().interval(HEARTBEAT)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies that gather answers would hold events back.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

//! Somebody else's service, as the runs' tools call it. It writes each call down before it does anything else, so that
//! what the other side saw is known whatever happens to the caller; and it can have the caller killed at that moment.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant, SystemTime},
};

use agentflow::engine::retry::{scramble, seed_of};
use axum::{
    Json, Router,
    extract::{ConnectInfo, Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::{Value, json};

use crate::{model, processes::Fleet};

/// A call that came, with what it said of itself.
#[derive(Debug, Clone)]
pub struct Call {
    /// When it came, by the harness's own clock.
    pub at: Instant,
    /// When it came, by the machine's clock.
    pub wall: SystemTime,
    /// Its idempotency key, `run/step`.
    pub key: String,
    /// The attempt, and the owner's fence; 0 where the caller tells none (models).
    pub attempt: u32,
    /// See `attempt`.
    pub fence: i64,
    /// What it is about, apart from its key: the run, the node, and the item.
    pub about: String,
    /// What was sent.
    pub body: Value,
    /// A word that is in the answer to this call and no other.
    pub nonce: String,
    /// The status that was answered, and when; none: not yet.
    pub answered: Option<(u16, Instant)>,
    /// When the caller went away before the answer.
    pub dropped: Option<Instant>,
    /// Tokens that the answer is billed with.
    pub tokens: (u64, u64),
}

impl Call {
    /// The run that it belongs to.
    pub fn run(&self) -> &str {
        self.key.split('/').next().unwrap_or_default()
    }
}

/// The moment of a call at which its caller is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The call has come, and nothing is answered.
    Called,
    /// The answer's last byte is on its way.
    Answered,
}

/// Somebody who was killed by a trap.
#[derive(Debug, Clone)]
pub struct Sprung {
    /// The process.
    pub place: usize,
    /// When.
    pub at: Instant,
}

/// The service. Cheap to clone.
#[derive(Clone)]
pub struct Outside {
    /// Where it listens.
    pub address: SocketAddr,
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    calls: Mutex<Vec<Call>>,
    fleet: Mutex<Weak<Fleet>>,
    trap: Mutex<Option<Moment>>,
    sprung: Mutex<Vec<Sprung>>,
}

impl Outside {
    /// Starts it on a free port.
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let outside = Self { address, inner: Arc::default() };
        let router = Router::new()
            .route("/do/{kind}", post(take))
            .route("/v1/chat/completions", post(model::complete))
            .with_state(outside.clone())
            .into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, router).await });
        outside
    }

    /// The processes among which traps find their victim.
    pub fn watch(&self, fleet: &Arc<Fleet>) {
        *lock(&self.inner.fleet) = Arc::downgrade(fleet);
    }

    /// The next call's caller is killed at this moment.
    pub fn set_trap(&self, moment: Moment) {
        *lock(&self.inner.trap) = Some(moment);
    }

    /// Takes the trap away.
    pub fn clear_trap(&self) {
        *lock(&self.inner.trap) = None;
    }

    /// Those who were killed since this was asked last.
    pub fn take_sprung(&self) -> Vec<Sprung> {
        std::mem::take(&mut *lock(&self.inner.sprung))
    }

    /// All calls so far.
    pub fn calls(&self) -> Vec<Call> {
        lock(&self.inner.calls).clone()
    }

    /// Calls so far that fit.
    pub fn count(&self, which: impl Fn(&Call) -> bool) -> usize {
        lock(&self.inner.calls).iter().filter(|call| which(call)).count()
    }

    /// Writes a call down. Gives its number.
    pub fn note(&self, call: Call) -> usize {
        let mut calls = lock(&self.inner.calls);
        calls.push(call);
        calls.len() - 1
    }

    /// Changes what is written of a call.
    pub fn amend(&self, number: usize, change: impl FnOnce(&mut Call)) {
        if let Some(call) = lock(&self.inner.calls).get_mut(number) {
            change(call);
        }
    }

    /// Kills the caller, where a trap is set for this moment (or `always`).
    pub fn spring(&self, moment: Moment, peer: SocketAddr, always: bool) {
        if !always {
            let mut trap = lock(&self.inner.trap);
            if *trap != Some(moment) {
                return;
            }
            *trap = None;
        }
        if let Some(place) = self.place_of(peer) {
            self.kill(place);
        }
    }

    /// The process that calls.
    fn place_of(&self, peer: SocketAddr) -> Option<usize> {
        let fleet = lock(&self.inner.fleet).upgrade()?;
        // The kernel's list may be read while it changes, and an entry missed.
        (0..20).find_map(|_| fleet.place_of_peer(peer.port()))
    }

    fn kill(&self, place: usize) {
        let Some(fleet) = lock(&self.inner.fleet).upgrade() else { return };
        if let Some(mut child) = fleet.kill_now(place) {
            lock(&self.inner.sprung).push(Sprung { place, at: Instant::now() });
            tokio::spawn(async move { child.wait().await });
        }
    }
}

impl Outside {
    /// An answer is about to leave: kills who gets it a moment later, where a trap is set for that.
    pub fn answered(&self, peer: SocketAddr, key: &str) {
        // Now, as long as the connection is there.
        let armed = *lock(&self.inner.trap) == Some(Moment::Answered);
        let Some(place) = armed.then(|| self.place_of(peer)).flatten() else { return };
        if lock(&self.inner.trap).take().is_none() {
            return;
        }
        // Somewhere around the moment at which it is read and recorded.
        let delay = scramble(seed_of(key)) % 6;
        let outside = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(delay)).await;
            outside.kill(place);
        });
    }
}

/// Notes that the caller went away, unless it was answered.
pub struct Watch {
    outside: Outside,
    number: usize,
}

impl Watch {
    /// Watches over a call.
    pub fn over(outside: &Outside, number: usize) -> Self {
        Self { outside: outside.clone(), number }
    }

    /// It is answered with this status.
    pub fn answered(self, status: u16) {
        self.outside.amend(self.number, |call| call.answered = Some((status, Instant::now())));
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.outside.amend(self.number, |call| {
            if call.answered.is_none() {
                call.dropped = Some(Instant::now());
            }
        });
    }
}

async fn take(
    State(outside): State<Outside>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Path(kind): Path<String>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let key = text("idempotency-key");
    let earlier = outside.count(|call| call.key == key && call.answered.is_some());
    let nonce = uuid::Uuid::new_v4().simple().to_string();
    let number = outside.note(Call {
        at: Instant::now(),
        wall: SystemTime::now(),
        key: key.clone(),
        attempt: text("x-agentflow-attempt").parse().unwrap_or(0),
        fence: text("x-agentflow-fence").parse().unwrap_or(0),
        about: format!("{}/{}/{}", plain(&body["run"]), plain(&body["node"]), plain(&body["item"])),
        body: body.clone(),
        nonce: nonce.clone(),
        answered: None,
        dropped: None,
        tokens: (0, 0),
    });
    let watch = Watch::over(&outside, number);
    outside.spring(Moment::Called, peer, kind == "poison");
    let pause = body["ms"].as_u64().unwrap_or_else(|| 10 + scramble(seed_of(&nonce)) % 90);
    tokio::time::sleep(Duration::from_millis(pause)).await;
    let wanted = body["script"].get(earlier).cloned().unwrap_or(json!(200));
    let status = wanted.as_u64().and_then(|code| u16::try_from(code).ok()).unwrap_or(200);
    watch.answered(status);
    outside.answered(peer, &key);
    let code = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    let mut response = (code, Json(json!({ "nonce": nonce, "sent": body }))).into_response();
    if status == 429 {
        response.headers_mut().insert(header::RETRY_AFTER, 1.into());
    }
    response
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

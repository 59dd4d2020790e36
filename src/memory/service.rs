//! Reading, keeping and forgetting. Runs read and keep, each inside of its own organization; people read and forget.

use super::{Memories, store};
use crate::{
    access::{Grant, right},
    db::Db,
    engine::{
        plan::Flow,
        port::{CallScope, PastTask, RECALLED_TASKS, Recalled},
    },
    kernel::{AgentId, OrgId, Result, text},
};

/// The most tasks that are kept under a key. With one more the oldest goes.
const MAX_KEPT: i64 = 200;
/// The most characters of a task, and of an answer, that are kept.
const MAX_CHARS: usize = 20_000;
/// The most keys that a page shows.
const SHOWN: i64 = 100;

/// What an agent remembers under a key.
///
/// # Errors
/// When the database does not answer.
pub async fn recall(db: &Db, org: OrgId, agent: &str, key: &str) -> Result<Recalled> {
    let mut tx = db.tenant(org).await?;
    let newest_first = store::last(&mut tx, agent, key, RECALLED_TASKS as i64).await?;
    let mut seen = Flow::default();
    for (_, read) in &newest_first {
        seen.untrusted |= read.untrusted;
        seen.private |= read.private;
    }
    Ok(Recalled { tasks: PastTask::last(newest_first.into_iter().map(|(task, _)| task)), seen })
}

/// Remembers a task: once for its step, however often that is tried. Of a long task the beginning is kept.
///
/// # Errors
/// When the database does not answer.
pub async fn keep(db: &Db, scope: &CallScope, agent: &str, key: &str, task: &PastTask, seen: Flow) -> Result<()> {
    let [prompt, answer] = [&task.prompt, &task.answer].map(|text| text::shortened(text, MAX_CHARS));
    let mut tx = db.tenant(scope.org).await?;
    store::insert(&mut tx, (agent, key), (scope.run, &scope.step), &PastTask { prompt, answer }, seen).await?;
    store::remove_oldest(&mut tx, agent, key, MAX_KEPT).await?;
    tx.commit().await
}

/// The keys that an agent remembers something under, those whose text holds `wanted`, and the tasks under the one that is
/// to be opened.
///
/// # Errors
/// When the database does not answer.
pub async fn look(
    grant: &Grant<right::ViewPayloads>,
    agent: AgentId,
    wanted: &str,
    open: Option<String>,
) -> Result<Memories> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    let keys = store::keys(&mut tx, agent, wanted.trim(), SHOWN).await?;
    let all = store::count(&mut tx, agent).await?;
    let open = match open {
        Some(key) => {
            let entries = store::entries(&mut tx, agent, &key, MAX_KEPT).await?;
            Some((key, entries)).filter(|(_, entries)| !entries.is_empty())
        }
        None => None,
    };
    Ok(Memories { keys, all, open })
}

/// Makes an agent forget what it remembers under a key, or all of it. A run that has read it before keeps what it read as
/// long as the run itself is kept. Returns how many tasks were forgotten.
///
/// # Errors
/// When the database does not answer.
pub async fn forget(grant: &Grant<right::Build>, agent: AgentId, key: Option<&str>) -> Result<u64> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    let forgotten = store::remove(&mut tx, agent, key).await?;
    tx.commit().await?;
    Ok(forgotten)
}

//! Reading, keeping and forgetting. Runs read and keep, each inside of its own organization; people read and forget.

use super::{Memories, store};
use crate::{
    access::{Grant, right},
    db::Db,
    engine::port::{CallScope, PastTask, RECALLED_TASKS, Recalled},
    kernel::{AgentId, OrgId, Result, text},
};

/// The most tasks that are kept under a key. With one more the oldest goes.
const MAX_KEPT: i64 = 200;
/// The most keys that a page shows.
const SHOWN: i64 = 100;
/// The most tasks under a key that a page shows.
const SHOWN_TASKS: i64 = 20;
/// The most characters of a task, and of an answer, that a page shows.
const SHOWN_CHARS: usize = 4_000;

/// What an agent remembers under a key.
///
/// # Errors
/// When the database does not answer.
pub async fn recall(db: &Db, org: OrgId, agent: &str, key: &str) -> Result<Recalled> {
    let mut tx = db.tenant(org).await?;
    let newest_first = store::last(&mut tx, agent, key, RECALLED_TASKS as i64).await?;
    Ok(Recalled { tasks: PastTask::last(newest_first) })
}

/// Remembers a task: once for its step, however often that is tried. Of a long task the beginning is kept.
///
/// # Errors
/// When the database does not answer.
pub async fn keep(db: &Db, scope: &CallScope, agent: &str, key: &str, task: PastTask) -> Result<()> {
    let mut tx = db.tenant(scope.org).await?;
    store::insert(&mut tx, (agent, key), (scope.run, &scope.step), &task.shortened()).await?;
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
            let mut entries = store::entries(&mut tx, agent, &key, SHOWN_TASKS).await?;
            for entry in &mut entries {
                entry.prompt = text::shortened(&entry.prompt, SHOWN_CHARS);
                entry.answer = text::shortened(&entry.answer, SHOWN_CHARS);
            }
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
    // The key may be a customer's name.
    let (by, all) = (grant.actor().reference(), key.is_none());
    tracing::info!(organization = %grant.org_id(), %agent, by, forgotten, all, "memories removed");
    Ok(forgotten)
}

//! Running an agent's test cases, and reading what came of it.

use serde_json::{Value, json};

use super::{Outcome, Rehearsal, SHOWN_CHARS, Tried, Verdict};
use crate::{
    access::{Grant, right},
    agents::{
        cases::Check,
        service::{for_trial, held, usable},
        store::{
            cases,
            rehearsals::{self as store, Begun, RunRow},
        },
        trial::{Effects, Trial},
    },
    engine::state::{Priority, RunState, WaitingOn},
    kernel::{AgentId, Error, RehearsalId, Result, text::shortened},
    workflows,
};

/// How many rehearsals of an agent are kept. Their runs stay as long as any run does.
const KEPT: i64 = 20;

/// Runs the test cases of an agent with one of its versions, and with the deployed one where that is another. What would
/// change or send something is simulated. One of the same cases that is under way already is that one. Durable once it
/// answers.
///
/// # Errors
/// `not_found`; `invalid` where what the version holds cannot be used; `conflict` where there are no cases, or the agent
/// cannot run.
pub async fn start(grant: &Grant<right::Operate>, agent: AgentId, version: i32) -> Result<RehearsalId> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    held(&mut tx, agent).await?;
    let agent = for_trial(&mut tx, agent).await?;
    let config = usable(&mut tx, agent.id, version).await?;
    let live = agent.deployed_version.filter(|live| *live != version);
    if let Some(id) = store::under_way(&mut tx, agent.id, version, live).await? {
        return Ok(id);
    }
    let cases = cases::list(&mut tx, agent.id).await?;
    if cases.is_empty() {
        return Err(Error::conflict("agents.no_cases", "This agent has no test cases. Add one, then run them."));
    }
    let workflow = workflows::service::for_trials(&mut tx, &agent, grant.actor()).await?;
    let (simulated, priority) = (Effects::Simulated, Priority::Normal);
    let candidate = Trial::of(&mut tx, &agent, workflow, config.spec(version), simulated, priority).await?;
    let beside = match live {
        Some(live) => {
            // It is at work as it is, so it is tried as it is.
            let config = crate::agents::service::config_at(&mut tx, agent.id, live).await?;
            Some(Trial::of(&mut tx, &agent, workflow, config.spec(live), simulated, priority).await?)
        }
        None => None,
    };
    let nothing_said = json!([]);
    let mut begun = Vec::with_capacity(cases.len());
    for case in cases {
        let run = candidate.start(&mut tx, grant.actor(), &case.prompt, &nothing_said).await?;
        let live = match &beside {
            Some(beside) => Some(beside.start(&mut tx, grant.actor(), &case.prompt, &nothing_said).await?),
            None => None,
        };
        begun.push(Begun { case, run, live });
    }
    let id = RehearsalId::new();
    store::insert(&mut tx, id, agent.id, (version, live), &begun, grant.actor()).await?;
    store::keep_newest(&mut tx, agent.id, KEPT).await?;
    tx.commit().await?;
    for run in begun.iter().flat_map(|one| [Some(one.run), one.live]).flatten() {
        grant.deps().engine.started(grant.org_id(), run, None);
    }
    Ok(id)
}

/// A rehearsal of a version of an agent, as far as it has come; without an id, the newest. Nothing where there is none, or
/// its runs are kept no more.
///
/// # Errors
/// `not_found`.
pub async fn find(
    grant: &Grant<right::ViewPayloads>,
    agent: AgentId,
    version: i32,
    id: Option<RehearsalId>,
) -> Result<Option<Rehearsal>> {
    let (head, rows) = {
        let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
        let Some(head) = store::find(&mut tx, agent, version, id).await? else {
            return if id.is_some() { Err(Error::not_found("rehearsal")) } else { Ok(None) };
        };
        let rows = store::rows(&mut tx, head.id).await?;
        (head, rows)
    };
    if rows.is_empty() {
        return Ok(None);
    }
    // Two hundred expressions and schemas of other people take longer than a thread for everybody may be held.
    let judged = tokio::task::spawn_blocking(move || {
        let tried = |row: store::Row| Tried {
            candidate: outcome(row.run, &row.check),
            live: row.live.map(|live| outcome(live, &row.check)),
            seq: row.seq,
            name: row.name,
            prompt: shortened(&row.prompt, SHOWN_CHARS),
            check: row.check.kind().to_owned(),
            expected: shortened(&row.check.expected(), SHOWN_CHARS),
        };
        rows.into_iter().map(tried).collect()
    });
    Ok(Some(Rehearsal { cases: judged.await.map_err(Error::internal)?, ..head }))
}

fn outcome(row: RunRow, check: &Check) -> Outcome {
    let RunRow { run, state, waiting_on, output, error, cost, took_ms } = row;
    let answer = output.as_ref().filter(|output| !output.is_null()).map(|output| match output {
        Value::String(text) => shortened(text.trim(), SHOWN_CHARS),
        other => shortened(&other.to_string(), SHOWN_CHARS),
    });
    Outcome { run, verdict: Verdict::of(state, waiting_on, output.as_ref(), error, check), answer, cost, took_ms }
}

impl Verdict {
    /// What a run says of a check.
    fn of(
        state: RunState,
        waiting_on: Option<WaitingOn>,
        output: Option<&Value>,
        error: Option<String>,
        check: &Check,
    ) -> Self {
        match state {
            RunState::Succeeded => match check.holds(output.unwrap_or(&Value::Null)) {
                Ok(()) => Self::Passed,
                Err(why) => Self::Failed { why },
            },
            RunState::Failed => Self::Broken { why: error.unwrap_or_else(|| "The run failed.".to_owned()) },
            RunState::Cancelled => Self::Broken { why: "The run was stopped.".to_owned() },
            RunState::Waiting if waiting_on == Some(WaitingOn::Approval) => Self::NeedsApproval,
            RunState::Queued | RunState::Running | RunState::Waiting | RunState::Paused | RunState::Cancelling => {
                Self::UnderWay
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_what_the_run_says_of_the_check() {
        let check = Check::Contains { text: "42".to_owned() };
        let of = |state, waiting_on, output: Option<Value>, error: Option<&str>| {
            Verdict::of(state, waiting_on, output.as_ref(), error.map(str::to_owned), &check)
        };
        assert_eq!(of(RunState::Succeeded, None, Some(json!("It is 42.")), None), Verdict::Passed);
        let why = "“42” is not in the answer.".to_owned();
        assert_eq!(of(RunState::Succeeded, None, Some(json!("No.")), None), Verdict::Failed { why: why.clone() });
        assert_eq!(of(RunState::Succeeded, None, None, None), Verdict::Failed { why });
        let why = "The model cannot be had.".to_owned();
        assert_eq!(of(RunState::Failed, None, None, Some(&why)), Verdict::Broken { why: why.clone() });
        assert_eq!(
            of(RunState::Cancelled, None, None, None),
            Verdict::Broken { why: "The run was stopped.".to_owned() }
        );
        assert_eq!(of(RunState::Waiting, Some(WaitingOn::Approval), None, None), Verdict::NeedsApproval);
        for state in [RunState::Queued, RunState::Running, RunState::Paused, RunState::Cancelling, RunState::Waiting] {
            assert_eq!(of(state, None, None, None), Verdict::UnderWay, "{state}");
        }
    }
}

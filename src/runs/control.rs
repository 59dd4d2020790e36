//! Use cases of runs that are there: hold, let go on, stop, and run again.

use std::sync::Arc;

use serde_json::json;

use super::{
    Again, AgainFrom, Preview, PreviewStep, Started,
    service::{Accepted, check_json, finish, group, input_faults, summary, title},
    store,
};
use crate::{
    access::{Grant, right},
    db::TenantTx,
    engine::{
        journal::Event,
        machine::Machine,
        plan::{NodeKind, Plan, ToolEffect},
        reuse::{self, Reuse},
        state::{RunState, StepKind},
        store::{self as engine, NewRun, Signal},
    },
    idempotency::Keyed,
    kernel::{Error, Money, Result, RunId},
    run_files, workflows,
};

/// Stops a run. Stopping one that is being stopped changes nothing.
///
/// # Errors
/// `not_found`; `conflict` when the run has ended.
pub async fn cancel(grant: &Grant<right::Operate>, run: RunId) -> Result<RunState> {
    let by = grant.actor().name().to_owned();
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    let event = Event::RunCancelling { by: by.clone() };
    if let Some(state) = engine::signal(&mut tx, run, &Signal::Cancel { by }, &[event]).await? {
        tx.commit().await?;
        grant.deps().engine.committed(grant.org_id(), run);
        return Ok(state);
    }
    match store::progress(&mut tx, run).await? {
        None => Err(Error::not_found("run")),
        Some((state, _)) if state.is_end() => {
            Err(Error::conflict("runs.ended", format!("This run has already ended: it is {state}.")))
        }
        Some((state, _)) => Ok(state),
    }
}

/// Holds a run: what is under way comes to its end, and nothing new begins. Holding one that is held changes nothing.
///
/// # Errors
/// `not_found`; `conflict` when the run has ended, or is being stopped.
pub async fn pause(grant: &Grant<right::Operate>, run: RunId) -> Result<RunState> {
    tell(grant, run, &Signal::Pause { by: grant.actor().name().to_owned() }, RunState::Paused).await
}

/// Lets a held run go on. Of one that is not held nothing changes.
///
/// # Errors
/// `not_found`; `conflict` when the run has ended, or is being stopped.
pub async fn resume(grant: &Grant<right::Operate>, run: RunId) -> Result<RunState> {
    tell(grant, run, &Signal::Resume { by: grant.actor().name().to_owned() }, RunState::Running).await
}

async fn tell(grant: &Grant<right::Operate>, run: RunId, signal: &Signal, then: RunState) -> Result<RunState> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    match engine::signal(&mut tx, run, signal, &[]).await? {
        Some(RunState::Cancelling) => {
            Err(Error::conflict("runs.cancelling", "This run is being stopped, so it can neither be held nor go on."))
        }
        Some(_) => {
            tx.commit().await?;
            grant.deps().engine.committed(grant.org_id(), run);
            Ok(then)
        }
        None => match store::progress(&mut tx, run).await? {
            None => Err(Error::not_found("run")),
            Some((state, _)) if state.is_end() => {
                Err(Error::conflict("runs.ended", format!("This run has already ended: it is {state}.")))
            }
            Some((state, _)) => Ok(state),
        },
    }
}

/// Retries a run that ended without success, from the steps that did not succeed: recorded results are taken over. The
/// new run executes the same plan.
///
/// # Errors
/// As [`again`].
pub async fn retry(grant: &Grant<right::Operate>, run: RunId, idempotency_key: Option<&str>) -> Result<Started> {
    again(grant, run, &Again::default(), idempotency_key).await
}

/// Runs a run that has ended again, as another run: from the steps that did not succeed, from the start (with another
/// input, if one is given), or from any step. What is not done again is taken over as it was recorded.
///
/// # Errors
/// `not_found`; `conflict` while the run has not ended, or where there is nothing to retry; `invalid`, with the input's
/// fields.
pub async fn again(
    grant: &Grant<right::Operate>,
    run: RunId,
    how: &Again,
    idempotency_key: Option<&str>,
) -> Result<Started> {
    if let Some(input) = &how.input {
        check_json(input, "input")?;
    }
    let (route, body) = match how.from {
        // As requests were kept before there was more than this.
        AgainFrom::Failed if !how.newest => ("runs.retry", json!({ "run": run })),
        _ => ("runs.again", json!({ "run": run, "how": how })),
    };
    let request = Keyed::new(idempotency_key, route, &body)?;
    let id = RunId::new();
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    if let Some(before) = request.answered(&mut tx, &Accepted { run: id }).await? {
        return Ok(Started { run: before.run, repeated: true });
    }
    let Prepared { before, plan, version, reuse, name } = prepare(&mut tx, run, how).await?;
    let links = store::links(&mut tx, run).await?.ok_or_else(|| Error::not_found("run"))?;
    let input = match &how.input {
        Some(input) => input.clone(),
        None => engine::value(&mut tx, links.input).await?,
    };
    if let Some(error) = Error::invalid_fields(input_faults(&plan, &input)) {
        return Err(error);
    }
    let new = NewRun {
        id,
        workflow: before.workflow_id,
        workflow_version: version,
        title: if how.input.is_some() { title(&plan.graph.title, &name, &input) } else { before.title },
        trigger: match how.from {
            AgainFrom::Failed => "retry",
            AgainFrom::Start => "rerun",
            AgainFrom::Step(_) => "fork",
        },
        started_by: grant.actor().reference(),
        started_by_name: grant.actor().name().to_owned(),
        deadline_s: plan.graph.deadline_s,
        retry_of: Some(run),
        priority: plan.graph.priority,
        group: group(before.workflow_id, &plan.graph, &input),
        labels: before.labels,
        plan: Arc::new(plan),
        input,
    };
    let fresh = engine::start_run(&mut tx, &new, grant.deps().engine.begin(grant.org_id(), &new)).await?;
    engine::take_over(&mut tx, run, id, &reuse).await?;
    if !matches!(how.from, AgainFrom::Start) {
        run_files::service::take_over(&mut tx, run, id).await?;
    }
    finish(grant, tx, id, fresh).await
}

/// What running again would do: shown before it is done.
///
/// # Errors
/// As [`again`].
pub async fn preview(grant: &Grant<right::Operate>, run: RunId, how: &Again) -> Result<Preview> {
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    let Prepared { plan, version, reuse, .. } = prepare(&mut tx, run, how).await?;
    let view = store::view(&mut tx, run).await?;
    let mut preview = Preview { reused: Vec::new(), again: Vec::new(), cost: Money(0), version };
    for step in view.steps {
        let shown = PreviewStep {
            acts_outside: acts_outside(&plan, &step.id, step.kind, step.about.as_deref()),
            id: step.id,
            name: step.name,
            kind: step.kind,
        };
        if reuse.kept.contains(&shown.id) {
            preview.reused.push(shown);
        } else if step.started_at.is_some() && !reuse.reopened.contains(&shown.id) {
            preview.cost += step.usage.cost;
            preview.again.push(shown);
        }
    }
    Ok(preview)
}

/// Whether a step does something outside, as far as can be told: a request other than for reading, a tool that writes.
pub(super) fn acts_outside(
    plan: &Plan,
    id: &crate::engine::state::StepId,
    kind: StepKind,
    about: Option<&str>,
) -> bool {
    match kind {
        StepKind::Http => match Machine::node_of(plan, id).map(|node| &node.kind) {
            Some(NodeKind::Http(http)) => !matches!(http.method.as_str(), "GET" | "HEAD"),
            _ => true,
        },
        StepKind::Tool => {
            about.and_then(|tool| plan.tools.get(tool)).is_none_or(|tool| tool.effect != ToolEffect::Read)
        }
        _ => false,
    }
}

struct Prepared {
    before: super::RunSummary,
    plan: Plan,
    version: i32,
    reuse: Reuse,
    name: String,
}

async fn prepare(tx: &mut TenantTx, run: RunId, how: &Again) -> Result<Prepared> {
    let before = summary(tx, run).await?;
    match (&how.from, before.state) {
        (_, state) if !state.is_end() => {
            return Err(Error::conflict("runs.not_ended", "This run has not ended yet. Stop it first, then retry it."));
        }
        (AgainFrom::Failed, RunState::Succeeded) => {
            return Err(Error::conflict("runs.succeeded", "This run succeeded: there is nothing to retry."));
        }
        (AgainFrom::Failed | AgainFrom::Step(_), _) if how.input.is_some() => {
            let message = "Another input means to begin from the start: results of the old one do not go with it.";
            return Err(Error::invalid("input", message));
        }
        _ => {}
    }
    let own = store::plan(tx, run).await?.ok_or_else(|| Error::not_found("run"))?;
    let steps = store::recorded(tx, run).await?;
    let mut reuse = match &how.from {
        AgainFrom::Failed => reuse::from_failed(&steps),
        AgainFrom::Start => Reuse::default(),
        AgainFrom::Step(step) if steps.iter().any(|recorded| recorded.id == *step) => {
            reuse::from_step(&own, &steps, step)
        }
        AgainFrom::Step(_) => return Err(Error::not_found("step")),
    };
    let name = before.workflow_name.clone();
    let (plan, version) = if how.newest {
        let ready = workflows::service::plan_for_run(tx, before.workflow_id, None).await?;
        // Results go over where the graph is the same up to there: anything else would mix two versions.
        if ready.plan.graph.nodes != own.graph.nodes && !matches!(how.from, AgainFrom::Start) {
            reuse = reuse::unchanged(&own, &ready.plan, &reuse);
        }
        (ready.plan, ready.version)
    } else {
        (own, before.workflow_version)
    };
    Ok(Prepared { before, plan, version, reuse, name })
}

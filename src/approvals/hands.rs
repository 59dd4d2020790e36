//! In whose hands an approval is: asking a member to decide it, and putting it off for oneself.

use std::time::Duration;

use chrono::{NaiveDateTime, TimeDelta};
use serde_json::Value;

use super::{
    Approval, ApprovalState,
    service::{find_again, not_a_decider, read, run_ended, unknown, viewer},
    store::{self, Viewer},
};
use crate::{
    access::{Ctx, Grant, right},
    engine::{
        journal::{Event, LogLevel},
        store as engine,
    },
    kernel::{ApprovalId, Error, Result, Timestamp, UserId},
};

/// The longest that something is put off.
const LONGEST_DAYS: i64 = 90;

/// Asks a member to decide it, who may; or nobody in particular any more. Others who may decide it still may, but it does
/// not wait for them.
///
/// # Errors
/// `not_found`; `forbidden` for those who may not decide it themselves; `invalid`, where the member may not; `conflict`,
/// when it does not wait any more.
pub async fn assign(grant: &Grant<right::View>, id: ApprovalId, to: Option<UserId>) -> Result<Approval> {
    let viewer = &viewer(grant);
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    let seen = read(&mut tx, viewer, id).await?;
    still_waits(&seen)?;
    if !seen.may_decide && !seen.voted {
        return Err(not_a_decider(&seen));
    }
    let by = grant.actor().name();
    let (_, now) = store::lock_run(&mut tx, seen.run_id).await?.ok_or_else(unknown)?;
    let Some(name) = store::hands::assign(&mut tx, viewer, id, to, by, now).await? else {
        let there = read(&mut tx, viewer, id).await?;
        still_waits(&there)?;
        return Err(Error::invalid("to", "Choose a member who may decide this."));
    };
    let words = match to {
        None => format!("{by} gave the decision back to all who may take it."),
        Some(to) if viewer.user == Some(to) => format!("{by} took the decision on."),
        Some(_) => format!("{by} asked {name} to decide."),
    };
    let step = Some(seen.step_id.clone());
    let line = Event::Log { level: LogLevel::Info, step, message: words, fields: Value::Null };
    if !engine::tell(&mut tx, seen.run_id, &[line]).await? {
        return Err(run_ended());
    }
    tx.commit().await?;
    grant.deps().engine.committed(grant.org_id(), seen.run_id);
    find_again(grant, viewer, id).await
}

/// Puts it off for the one who asks: for some hours, or until a moment in UTC, as both come from a form. Never past its
/// deadline. It comes back by itself.
///
/// # Errors
/// `not_found`; `forbidden` for programs; `invalid`, at the field; `conflict`, when it does not wait any more.
pub async fn snooze(grant: &Grant<right::View>, id: ApprovalId, hours: &str, until: &str) -> Result<Approval> {
    let viewer = &viewer(grant);
    let user = person(viewer)?;
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    let seen = read(&mut tx, viewer, id).await?;
    still_waits(&seen)?;
    let now = store::now(&mut tx).await?;
    let until = moment(now, hours, until)?;
    if until <= now {
        return Err(Error::invalid("until", "Choose a time that is still to come."));
    }
    if until - now > TimeDelta::days(LONGEST_DAYS) {
        return Err(Error::invalid("until", format!("Choose a time within {LONGEST_DAYS} days.")));
    }
    if let Some(deadline) = seen.expires_at.filter(|deadline| until > *deadline) {
        let deadline = deadline.format("%-d %B %Y, %H:%M UTC");
        return Err(Error::invalid(
            "until",
            format!("It must be decided until {deadline}. Choose a time before that."),
        ));
    }
    store::hands::snooze(&mut tx, id, user, until).await?;
    tx.commit().await?;
    // Nothing was written to the run: this wakes whoever looks at the organization's lists.
    grant.deps().engine.committed(grant.org_id(), seen.run_id);
    find_again(grant, viewer, id).await
}

/// Brings back what the one who asks has put off.
///
/// # Errors
/// `not_found`; `forbidden` for programs.
pub async fn wake(grant: &Grant<right::View>, id: ApprovalId) -> Result<Approval> {
    let viewer = &viewer(grant);
    let user = person(viewer)?;
    let mut tx = grant.deps().db.tenant(grant.org_id()).await?;
    let seen = read(&mut tx, viewer, id).await?;
    store::hands::wake(&mut tx, id, user).await?;
    tx.commit().await?;
    grant.deps().engine.committed(grant.org_id(), seen.run_id);
    find_again(grant, viewer, id).await
}

/// How long it is until the next one comes back that the one who asks has put off.
///
/// # Errors
/// When the database does not answer.
pub async fn next_return(cx: &Ctx) -> Result<Option<Duration>> {
    let Some(user) = cx.actor().user() else { return Ok(None) };
    let mut tx = cx.deps().db.tenant(cx.org_id()).await?;
    let seconds = store::hands::next_return(&mut tx, user).await?;
    // A little later than to the point: the question that follows must find it there.
    Ok(seconds.map(|seconds| Duration::from_secs_f64(seconds.clamp(0.0, 1e7) + 0.05)))
}

fn person(viewer: &Viewer) -> Result<UserId> {
    viewer.user.ok_or_else(|| Error::forbidden("Only people put something off: it hides it from nobody but them."))
}

fn still_waits(approval: &Approval) -> Result<()> {
    if approval.state == ApprovalState::Pending {
        return Ok(());
    }
    Err(Error::conflict("approvals.not_pending", "This does not wait for a decision any more."))
}

fn moment(now: Timestamp, hours: &str, until: &str) -> Result<Timestamp> {
    let (hours, until) = (hours.trim(), until.trim().trim_end_matches('Z'));
    if !until.is_empty() {
        let read = |form| NaiveDateTime::parse_from_str(until, form).ok();
        let at = read("%Y-%m-%dT%H:%M").or_else(|| read("%Y-%m-%dT%H:%M:%S")).or_else(|| read("%Y-%m-%d %H:%M"));
        let at = at.ok_or_else(|| Error::invalid("until", "Enter a time in UTC, such as 2026-11-27T14:30."))?;
        return Ok(at.and_utc());
    }
    let hours: i64 = hours.parse().map_err(|_| Error::invalid("hours", "Choose for how long, or until when."))?;
    if !(1..=LONGEST_DAYS * 24).contains(&hours) {
        return Err(Error::invalid("hours", format!("Choose a time within {LONGEST_DAYS} days.")));
    }
    Ok(now + TimeDelta::hours(hours))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_as_forms_send_it() {
        let now: Timestamp = "2026-11-27T10:00:00Z".parse().unwrap();
        let read = |hours: &str, until: &str| moment(now, hours, until).map(|at| at.to_rfc3339());
        assert_eq!(read("4", ""), Ok("2026-11-27T14:00:00+00:00".to_owned()));
        for until in ["2026-11-28T08:30", "2026-11-28T08:30:00", "2026-11-28 08:30", "2026-11-28T08:30Z"] {
            assert_eq!(read("4", until), Ok("2026-11-28T08:30:00+00:00".to_owned()), "{until}");
        }
        for (hours, until, field) in
            [("", "", "hours"), ("0", "", "hours"), ("99999", "", "hours"), ("1", "tomorrow", "until")]
        {
            let error = moment(now, hours, until).unwrap_err();
            assert_eq!(error.fields[0].field, field, "{hours} {until}");
        }
    }
}

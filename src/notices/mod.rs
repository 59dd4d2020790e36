//! Notices by e-mail: an approval that waits, to those who may decide it, or to the one who was asked to; a run that
//! failed, to whoever started it; a budget that is half, nearly or wholly spent, to admins and owners. Once for each
//! person, with a link to the page. No link decides anything: that takes a form on a page.

mod store;

use std::fmt::Write as _;

use url::Url;

use crate::{
    approvals::links,
    budgets::{self, Period, Subject},
    db::TenantTx,
    deps::Deps,
    jobs::{Chore, Every},
    kernel::{ApprovalId, BudgetId, Money, OrgId, Result, RunId, Timestamp, UserId},
    mail::Letter,
};

/// The minutes that an approval waits before people are told of it by e-mail, where nothing else was said.
pub const USUAL_MINUTES: i32 = 10;

/// The most that one round takes on: the next one is a minute away.
const ROUND: i64 = 200;
/// The most characters of a title in a subject.
const SUBJECT: usize = 120;

/// Finds what people have not been told of, and tells them.
#[derive(Debug)]
pub struct Notices {
    /// The minutes that an approval waits first.
    pub minutes: i32,
    /// The address that people open AgentFlow at.
    pub public_url: Url,
}

/// Somebody to tell.
pub(crate) struct Recipient {
    pub user: UserId,
    pub email: String,
}

/// An approval that nobody was told of, or not whoever was asked to decide it.
pub(crate) struct Waiting {
    pub title: String,
    /// Who asked the one who is told, if somebody did.
    pub assigned_by: Option<String>,
    pub workflow: String,
    pub slug: String,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
}

/// A failed run that nobody was told of.
pub(crate) struct FailedRun {
    pub title: String,
    pub workflow: String,
    pub slug: String,
    pub message: Option<String>,
}

/// A mark that a budget has passed and that nobody was told of.
pub(crate) struct Spent {
    pub subject: Subject,
    pub name: Option<String>,
    pub period: Period,
    pub slug: String,
    /// 50, 80 or 100.
    pub percent: i16,
    pub spent: Money,
    pub limit: Money,
    pub resets_at: Option<Timestamp>,
}

impl Chore for Notices {
    const NAME: &'static str = "notices";
    const EVERY: Every = Every::Minute;

    async fn run(&self, deps: &Deps) -> Result<()> {
        // First, so that nobody is told twice of one thing.
        for (org, approval) in store::assigned(deps.db.keeper(), ROUND).await? {
            self.tell_of_assignment(deps, org, approval).await?;
        }
        for (org, approval) in store::waiting(deps.db.keeper(), self.minutes, ROUND).await? {
            self.tell_of_approval(deps, org, approval).await?;
        }
        for (org, run) in store::failed(deps.db.keeper(), ROUND).await? {
            self.tell_of_failure(deps, org, run).await?;
        }
        for (org, budget, account) in store::spent(deps.db.keeper(), ROUND).await? {
            self.tell_of_budget(deps, org, budget, &account).await?;
        }
        Ok(())
    }
}

impl Notices {
    /// The mark, the messages and the jobs that send them come to be together or not at all.
    async fn tell_of_approval(&self, deps: &Deps, org: OrgId, id: ApprovalId) -> Result<()> {
        let mut tx = deps.db.tenant(org).await?;
        let Some(waiting) = store::mark_approval(&mut tx, id).await? else { return Ok(()) };
        for recipient in store::deciders(&mut tx, id).await? {
            let key = format!("notice/{id}/{}", recipient.user);
            self.leave_with_link(deps, &mut tx, &key, id, &waiting, recipient).await?;
        }
        tx.commit().await
    }

    /// Somebody was asked to decide: they are told at once, and once each time that they are asked.
    async fn tell_of_assignment(&self, deps: &Deps, org: OrgId, id: ApprovalId) -> Result<()> {
        let mut tx = deps.db.tenant(org).await?;
        let Some((waiting, at)) = store::mark_assignment(&mut tx, id).await? else { return Ok(()) };
        if let Some(recipient) = store::assignee(&mut tx, id).await? {
            let key = format!("notice/{id}/{}/{}", recipient.user, at.timestamp_micros());
            self.leave_with_link(deps, &mut tx, &key, id, &waiting, recipient).await?;
        }
        tx.commit().await
    }

    /// Leaves a message about an approval. The link in it is made with it: where there is such a message already, nobody
    /// would get the link.
    async fn leave_with_link(
        &self,
        deps: &Deps,
        tx: &mut TenantTx,
        key: &str,
        id: ApprovalId,
        waiting: &Waiting,
        Recipient { user, email }: Recipient,
    ) -> Result<()> {
        let secret = links::secret();
        if deps.mail.leave(tx, key, &self.letter_of_approval(id, waiting, &secret, email)).await? {
            links::keep(tx, &secret, id, user).await?;
        }
        Ok(())
    }

    /// With a link that is this person's own, and one to the page for those who are signed in.
    fn letter_of_approval(&self, id: ApprovalId, waiting: &Waiting, secret: &str, to: String) -> Letter {
        let own = format!("{}/approve/{secret}", self.base());
        let page = self.link(&waiting.slug, &format!("approvals?sel={id}"));
        let (since, workflow) = (moment(waiting.created_at), &waiting.workflow);
        let mut body = match &waiting.assigned_by {
            Some(by) => format!("{}\n\n{by} asked you to decide this, for the workflow “{workflow}”.\n", waiting.title),
            None => {
                format!("{}\n\nThe workflow “{workflow}” has waited for a decision since {since}.\n", waiting.title)
            }
        };
        if let Some(until) = waiting.expires_at {
            _ = writeln!(body, "It must be decided until {}.", moment(until));
        }
        _ = write!(body, "\nLook at it and decide:\n{page}\n");
        _ = write!(
            body,
            "\nOr decide without signing in. This link is yours alone, so do not pass it on; it works once, for a week at \
             most:\n{own}\n{}",
            self.footer(&waiting.slug, "you may decide it")
        );
        let what = if waiting.assigned_by.is_some() { "You are asked to decide" } else { "Waiting for a decision" };
        Letter { to: vec![to], subject: subject(what, &waiting.title), body }
    }

    async fn tell_of_failure(&self, deps: &Deps, org: OrgId, id: RunId) -> Result<()> {
        let mut tx = deps.db.tenant(org).await?;
        let Some(failed) = store::mark_failure(&mut tx, id).await? else { return Ok(()) };
        let link = self.link(&failed.slug, &format!("runs/{id}"));
        let letter = |to: String| {
            let mut body = format!("{}\n\nThis run of the workflow “{}” failed.\n", failed.title, failed.workflow);
            if let Some(message) = &failed.message {
                _ = writeln!(body, "{message}");
            }
            _ = write!(
                body,
                "\nSee what happened, and try again:\n{link}\n{}",
                self.footer(&failed.slug, "it is yours")
            );
            Letter { to: vec![to], subject: subject("Failed", &failed.title), body }
        };
        for Recipient { user, email } in store::answerable(&mut tx, id).await? {
            deps.mail.leave(&mut tx, &format!("notice/{id}/{user}"), &letter(email)).await?;
        }
        tx.commit().await
    }

    async fn tell_of_budget(&self, deps: &Deps, org: OrgId, id: BudgetId, account: &str) -> Result<()> {
        let mut tx = deps.db.tenant(org).await?;
        let Some(spent) = store::mark_budget(&mut tx, id, account).await? else { return Ok(()) };
        let title = budgets::title(&spent.subject, spent.name.as_deref(), spent.period);
        let link = self.link(&spent.slug, "settings/budgets");
        let letter = |to: String| {
            let mut body = format!("Budget: {title}\n\n{} of {} is spent.", spent.spent, spent.limit);
            if spent.percent >= 100 {
                body.push_str(" Calls that do not fit any more wait for a decision.");
            }
            if let Some(at) = spent.resets_at {
                _ = write!(body, "\nIt begins anew on {}.", moment(at));
            }
            _ = write!(
                body,
                "\n\nSee all budgets, and change them:\n{link}\n{}",
                self.footer(&spent.slug, "you may set budgets")
            );
            let what = match spent.percent {
                100.. => "Budget used up".to_owned(),
                percent => format!("{percent} % of a budget spent"),
            };
            Letter { to: vec![to], subject: subject(&what, &title), body }
        };
        for Recipient { user, email } in store::treasurers(&mut tx).await? {
            let key = format!("notice/{id}/{account}/{}/{user}", spent.percent);
            deps.mail.leave(&mut tx, &key, &letter(email)).await?;
        }
        tx.commit().await
    }

    fn base(&self) -> &str {
        self.public_url.as_str().trim_end_matches('/')
    }

    fn link(&self, slug: &str, rest: &str) -> String {
        format!("{}/o/{slug}/{rest}", self.base())
    }

    fn footer(&self, slug: &str, why: &str) -> String {
        let settings = self.link(slug, "settings");
        format!("\n--\nYou get this message because {why}. You can switch such messages off:\n{settings}\n")
    }
}

/// A subject on one line, and not too long.
fn subject(what: &str, title: &str) -> String {
    let line: String = title.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    let short: String = line.chars().take(SUBJECT).collect();
    let end = if short.len() < line.len() { "…" } else { "" };
    format!("{what}: {}{end}", short.trim())
}

fn moment(at: Timestamp) -> String {
    at.format("%-d %B %Y, %H:%M UTC").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_one_line_whatever_the_title_is() {
        assert_eq!(subject("Failed", "Ticket 7\r\nBcc: x@example.com"), "Failed: Ticket 7  Bcc: x@example.com");
        let long = subject("Failed", &"ä".repeat(500));
        assert_eq!(long.chars().count(), "Failed: ".len() + SUBJECT + 1);
    }
}

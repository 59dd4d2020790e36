//! What the inbox holds while it is open. Rows stay where they are; news is offered, and put in when it is asked for.

use agentflow::{
    approvals::{ApprovalRow, ApprovalState, Inbox, Shown},
    kernel::{ApprovalId, Cursor, Error, Timestamp},
};
use leptos::prelude::*;

use super::card::Sending;

/// One approval that was asked for, and what came.
type Fetched = (ApprovalId, Result<Shown, Error>);

/// See above.
#[derive(Clone, Copy)]
pub(super) struct State {
    /// The rows of the list.
    pub rows: RwSignal<Vec<ApprovalRow>>,
    /// What came since and is not in the list yet.
    pub news: RwSignal<Vec<ApprovalRow>>,
    /// Decided lately.
    pub decided: RwSignal<Vec<ApprovalRow>>,
    /// The one that is looked at.
    pub shown: RwSignal<Option<Shown>>,
    /// The last one that was asked for.
    pub fetched: RwSignal<Option<Fetched>>,
    /// The last decision that went out, as long as its answer has not come, or what was in its way.
    pub sent: RwSignal<Option<(ApprovalId, Sending)>>,
    /// How many wait for this person, in all.
    pub waiting: RwSignal<i64>,
    /// Where those come that the list does not show.
    pub next: RwSignal<Option<Cursor>>,
    /// What the clock of the last answer said.
    pub now: RwSignal<Timestamp>,
}

impl State {
    pub fn new(inbox: Inbox, shown: Option<Shown>) -> Self {
        let Inbox { pending, next, decided, waiting, now } = inbox;
        Self {
            rows: RwSignal::new(pending),
            news: RwSignal::new(Vec::new()),
            decided: RwSignal::new(decided),
            shown: RwSignal::new(shown),
            fetched: RwSignal::new(None),
            sent: RwSignal::new(None),
            waiting: RwSignal::new(waiting),
            next: RwSignal::new(next),
            now: RwSignal::new(now),
        }
    }

    /// Whether it is this one that is looked at.
    pub fn shown_is(self, id: ApprovalId) -> bool {
        self.shown.with_untracked(|shown| shown.as_ref().is_some_and(|shown| shown.approval.id == id))
    }

    /// Takes a fresh answer in: rows change in place, new ones wait beside the list. Says how many are new.
    pub fn merge(self, inbox: Inbox, shown: Option<Shown>, selected: Option<ApprovalId>) -> usize {
        let Inbox { pending, next, decided, waiting, now } = inbox;
        self.now.set(now);
        self.next.set(next);
        self.waiting.set(waiting);
        if let Some(shown) = shown.filter(|shown| Some(shown.approval.id) == selected) {
            self.shown.set(Some(shown));
        }
        self.rows.update(|rows| {
            for row in rows.iter_mut() {
                if let Some(fresh) = pending.iter().chain(&decided).find(|fresh| fresh.id == row.id) {
                    row.clone_from(fresh);
                }
            }
        });
        self.decided.set(decided);
        let known = self.rows.with_untracked(|rows| rows.iter().map(|row| row.id).collect::<Vec<_>>());
        let news: Vec<_> = pending.into_iter().filter(|row| !known.contains(&row.id)).collect();
        let before = self.news.with_untracked(Vec::len);
        let more = news.len().saturating_sub(before);
        self.news.set(news);
        more
    }

    /// Puts what came since into the list, and takes out what does not wait any more.
    pub fn show_news(self) {
        let mut rows = self.rows.get_untracked();
        rows.retain(|row| row.state == ApprovalState::Pending);
        rows.extend(self.news.get_untracked());
        rows.sort_by_key(|row| (row.expires_at.is_none(), row.expires_at, row.created_at, row.id));
        self.news.set(Vec::new());
        self.rows.set(rows);
    }

    /// One approval became something else by this person's doing.
    pub fn change(self, shown: Shown) {
        let approval = &shown.approval;
        let id = approval.id;
        self.now.set(shown.now);
        let of_it = |rows: &Vec<ApprovalRow>| rows.iter().find(|row| row.id == id).cloned();
        let row = self.rows.with_untracked(of_it);
        let is_listed = row.is_some();
        let row = row.or_else(|| self.decided.with_untracked(of_it)).or_else(|| self.news.with_untracked(of_it));
        if let Some(mut row) = row {
            let before = counts(&row);
            row.follow(approval);
            self.waiting.update(|waiting| *waiting = (*waiting + counts(&row) - before).max(0));
            self.rows.update(|rows| match rows.iter_mut().find(|there| there.id == id) {
                Some(there) => there.clone_from(&row),
                // What was decided before this page was opened waits again.
                None if !is_listed && row.state == ApprovalState::Pending => rows.insert(0, row.clone()),
                None => {}
            });
            self.decided.update(|decided| {
                decided.retain(|there| there.id != id);
                if row.decision.is_some() {
                    decided.insert(0, row);
                }
            });
        }
        self.sent.set(None);
        // A row may be undone while another one's card shows.
        if self.shown.with_untracked(|there| there.as_ref().is_none_or(|there| there.approval.id == id)) {
            self.shown.set(Some(shown));
        }
    }

    /// The next one that waits after this one.
    pub fn after(self, id: ApprovalId) -> Option<ApprovalId> {
        self.rows.with_untracked(|rows| {
            let here = rows.iter().position(|row| row.id == id)?;
            let mut after = rows[here + 1..].iter().chain(&rows[..here]);
            let waits = |row: &&ApprovalRow| row.state == ApprovalState::Pending && row.snoozed_until.is_none();
            after.find(waits).map(|row| row.id)
        })
    }
}

/// Whether it counts among what waits for this person.
fn counts(row: &ApprovalRow) -> i64 {
    let with_another = row.assigned_to.is_some() && !row.assigned_to_me;
    i64::from(row.may_decide && !with_another && row.snoozed_until.is_none())
}

//! What a run that starts in this node's hands does first. It is decided before the run is written, and written with it:
//! so its first steps begin with the start's own commit.

use chrono::TimeDelta;

use super::{
    Runner,
    actor::{at_work, fill_in_constants},
};
use crate::{
    engine::{
        decide::decide,
        machine::{Input, Machine},
        store::{self, First, NewRun},
    },
    kernel::OrgId,
};

impl Runner {
    /// Decides it. Nothing for a run that has to be read first, and for one that does more than to begin steps: that is
    /// decided by whoever takes it up.
    pub(super) fn first(&self, org: OrgId, run: &NewRun) -> Option<First> {
        if run.retry_of.is_some() || run.group.is_some() || !store::is_small(&run.input) {
            return None;
        }
        let now = self.clock.now();
        let deadline = run.lasts_s().map(|seconds| TimeDelta::seconds(seconds.into()));
        let input = store::as_stored(run.input.clone());
        let by = run.started_by_name.clone();
        let machine = Machine::new(org, run.id, 1, run.plan.clone(), by, input, deadline.map(|time| now + time));
        let mut machine = at_work(machine, self);
        let mut turn = decide(&mut machine, Input::Loaded, now);
        fill_in_constants(&mut machine, &mut turn, &self.clock);
        let only_begins = machine.is_busy() && turn.approvals.is_empty() && turn.withdrawn.is_empty();
        only_begins.then(|| First {
            steps: turn.touched.iter().filter_map(|(_, id)| machine.steps.get(id).cloned()).collect(),
            events: turn.events,
            effects: turn.effects,
            machine: Box::new(machine),
        })
    }
}

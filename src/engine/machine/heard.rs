//! What models under way have written so far.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{engine::state::StepId, kernel::text};

/// What the models of a run have written in calls that have not come back, as far as it may be shown. Shared with those
/// calls, which add to it; kept in no other way, so a process that dies takes it along.
#[derive(Debug, Clone, Default)]
pub struct Heard(Arc<Mutex<HashMap<StepId, String>>>);

impl Heard {
    /// A piece more of a step's text; nothing where the text begins anew.
    pub fn hear(&self, step: &StepId, piece: Option<&str>) {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match piece {
            Some(piece) => heard.entry(step.clone()).or_default().push_str(piece),
            None => drop(heard.remove(step)),
        }
    }

    /// What a step's model has written, if it has written anything.
    #[must_use]
    pub fn of(&self, step: &StepId) -> Option<String> {
        let heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heard.get(step).filter(|text| !text.is_empty()).cloned().map(text::without_nul)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_begins_anew_leaves_nothing_of_the_one_before() {
        let (heard, step) = (Heard::default(), StepId::root("ask"));
        let call = heard.clone();
        assert_eq!(heard.of(&step), None);
        call.hear(&step, Some("Half an "));
        call.hear(&step, Some("ans\0wer"));
        assert_eq!(heard.of(&step).as_deref(), Some("Half an ans\u{fffd}wer"));
        call.hear(&step, None);
        assert_eq!(heard.of(&step), None);
        assert_eq!(heard.of(&StepId::root("other")), None);
    }
}

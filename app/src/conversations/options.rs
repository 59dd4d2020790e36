//! What a message is sent with, besides its text: whether tools really do what they do, and whether the deployed version
//! is asked too.

use std::collections::BTreeSet;

use agentflow::kernel::AgentId;
use leptos::{prelude::*, task::spawn_local};

use super::{
    SAY,
    api::{Changes, TrialPage, load_changes},
};
use crate::error::ApiError;

/// The tools that are not off, as the form stands.
pub type Tools = Memo<Vec<String>>;

/// The switches.
pub fn options(org: StoredValue<String>, agent: AgentId, page: &TrialPage, tools: Tools) -> AnyView {
    if !page.can_try {
        return view! { <p class="hint">"Members, admins and owners can try the agent."</p> }.into_any();
    }
    let (changes, deployed) = (RwSignal::new(page.changes.clone()), page.deployed);
    let saved = page.tools.clone();
    // A tick was for what the switch named when it was set.
    let ticked = RwSignal::new(false);
    Effect::new(move |before: Option<Vec<String>>| {
        let now = tools.get();
        if before.as_ref().unwrap_or(&saved) != &now {
            ticked.set(false);
            let asked = now.clone();
            spawn_local(async move {
                let found = load_changes(org.get_value(), agent, asked.clone()).await;
                // Of several answers the one to what stands in the form by now counts.
                if tools.try_get_untracked() == Some(asked) {
                    changes.set(found);
                }
            });
        }
        now
    });
    let real = move || real(changes.get(), deployed, ticked);
    let beside = deployed.map(|version| {
        view! {
            <label class="trial-option">
                <input type="checkbox" name="beside_deployed" value="true" form=SAY/>
                <span>{format!("Ask version {version}, which is deployed, the same")}</span>
            </label>
        }
    });
    view! { <div class="trial-options">{real}{beside}</div> }.into_any()
}

/// The switch that names what is really done from then on.
fn real(changes: Result<Changes, ApiError>, deployed: Option<i32>, ticked: RwSignal<bool>) -> AnyView {
    let changes = match changes {
        Ok(changes) => changes,
        Err(error) => return view! { <p class="hint">{error.0.message}</p> }.into_any(),
    };
    let Some(words) = in_words(&changes, deployed) else { return ().into_any() };
    let named = listed(changes.draft.union(&changes.deployed), ",");
    view! {
        <label class="trial-option">
            <input
                type="checkbox" name="for_real" value="true" form=SAY
                prop:checked=move || ticked.get()
                on:change=move |event| ticked.set(event_target_checked(&event))
            />
            <span>
                "Really do it: " {words}
                <span class="hint">"Off: these calls are simulated, and nothing leaves the house. On: approvals still apply."</span>
            </span>
        </label>
        <input type="hidden" name="named" value=named form=SAY/>
    }
    .into_any()
}

/// What the switch names; nothing where there is nothing to switch on.
fn in_words(changes: &Changes, deployed: Option<i32>) -> Option<String> {
    let draft = listed(&changes.draft, ", ");
    let more = listed(&changes.deployed, ", ");
    match (draft.is_empty(), deployed.filter(|_| !more.is_empty())) {
        (true, None) => None,
        (false, None) => Some(draft),
        (true, Some(version)) => Some(format!("{more}, where version {version} is asked")),
        (false, Some(version)) => Some(format!("{draft}; and {more}, where version {version} is asked")),
    }
}

fn listed<'a>(names: impl IntoIterator<Item = &'a String>, between: &str) -> String {
    names.into_iter().map(String::as_str).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(between)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_switch_names_what_is_really_done_and_by_whom() {
        let changes = |draft: &[&str], deployed: &[&str]| {
            let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
            Changes { draft: set(draft), deployed: set(deployed) }
        };
        let words = |draft: &[&str], deployed: &[&str], version| in_words(&changes(draft, deployed), version);
        assert_eq!(words(&[], &[], Some(1)), None);
        assert_eq!(words(&["b", "a"], &[], None).as_deref(), Some("a, b"));
        assert_eq!(words(&["a"], &["b"], Some(3)).as_deref(), Some("a; and b, where version 3 is asked"));
        assert_eq!(words(&[], &["b"], Some(3)).as_deref(), Some("b, where version 3 is asked"));
    }
}

//! Searching a run: the field, and what the server found. The search itself is the server's, and so is what is said of it.

use agentflow::engine::state::StepId;
use leptos::{ev, html, prelude::*, task::spawn_local};

use super::{
    api,
    line::base,
    model::RunModel,
    place::{Only, Place, address},
};
use crate::kit::{Glyph, Html, Icon};

/// What a search found: the steps, and what is said of them.
pub type Found = (Vec<String>, Html);

/// The search of a run.
#[component]
pub fn Find(
    /// The run.
    model: RunModel,
    /// What came with the page.
    first: Html,
    /// Whether the page is alive.
    alive: RwSignal<bool>,
) -> impl IntoView {
    let (field, result) = (NodeRef::<html::Input>::new(), NodeRef::<html::Div>::new());
    let text = Memo::new(move |_| model.place.with(|place| place.find.clone()));
    let told = RwSignal::new(first);
    let fetch = move |wanted: String| {
        let org = model.org.get_value();
        spawn_local(async move {
            let found: Result<Found, _> = api::find_in_run(org, model.id, wanted.clone()).await;
            if let Ok((steps, html)) = found
                && text.try_get_untracked().as_ref() == Some(&wanted)
            {
                model.mark(&steps);
                told.set(html);
            }
        });
    };
    // What came with the page is there already; not so when the tree is drawn anew, after the log was looked at.
    let anew = alive.get_untracked();
    Effect::new(move |before: Option<String>| {
        let text = text.get();
        if before.map_or(anew, |before| before != text) {
            if text.is_empty() {
                model.mark(&[]);
            } else {
                fetch(text.clone());
            }
        }
        text
    });
    let search = move |event: ev::SubmitEvent| {
        event.prevent_default();
        let Some(field) = field.get_untracked() else { return };
        let wanted = field.value().trim().to_owned();
        // The keys of the run work there; in the field they are letters.
        if let Some(result) = result.get_untracked().filter(|_| !wanted.is_empty()) {
            let _ = result.focus();
        }
        if text.get_untracked() == wanted {
            fetch(wanted);
        } else {
            let place = Place { find: wanted, ..Place::default() };
            model.go.run((address(&base(model), &model.selected_address(), "", &place), false));
        }
    };
    let any = move || model.hits.with(|hits| !hits.steps.is_empty());
    let only = move || {
        let found = model.place.with(|place| place.only == Only::Found);
        let to = if found { Only::All } else { Only::Found };
        let href =
            move || address(&base(model), &model.selected_address(), "", &model.place.with(|place| place.with(to)));
        view! { <a class="btn btn-quiet btn-small" href=href data-noscroll>{if found { "All steps" } else { "Only these" }}</a> }
    };
    let clear = move || address(&base(model), &model.selected_address(), "", &Place::default());
    view! {
        <div class="steps-find" role="search">
            <form method="get" action=base(model) on:submit=search>
                <label class="visually-hidden" for="run-find">"Search in this run"</label>
                <input class="input" id="run-find" type="search" name="find" maxlength="200" placeholder="Search names, inputs, outputs, log"
                    aria-keyshortcuts="/" autocomplete="off" value=text.get_untracked() prop:value=move || text.get() node_ref=field/>
                <button class="btn">"Search"</button>
            </form>
            <div class="steps-found" tabindex="-1" aria-live="polite" node_ref=result>
                <Show when=move || !text.with(String::is_empty)>
                    <div inner_html=move || told.get().into_inner()></div>
                    <p class="steps-found-bar">
                        <Show when=any>
                            <Show when=move || alive.get()>
                                <button type="button" class="btn btn-quiet btn-small" aria-keyshortcuts="Shift+N" title="Previous (N)" on:click=move |_| model.to_hit(false)>
                                    <Icon glyph=Glyph::ArrowUp/>"Previous"
                                </button>
                                <button type="button" class="btn btn-quiet btn-small" aria-keyshortcuts="n" title="Next (n)" on:click=move |_| model.to_hit(true)>
                                    <Icon glyph=Glyph::ArrowDown/>"Next"
                                </button>
                            </Show>
                            {only}
                        </Show>
                        <a class="btn btn-quiet btn-small" href=clear data-noscroll>"End the search"</a>
                    </p>
                </Show>
            </div>
        </div>
    }
    .into_any()
}

/// The steps that a search found, by their places; in the order of the tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hits {
    /// Their places among the steps.
    pub steps: Vec<usize>,
    /// Of each place whether it is one of them.
    pub marks: Vec<bool>,
}

impl Hits {
    /// Whether a step is one of them.
    #[must_use]
    pub fn has(&self, step: usize) -> bool {
        self.marks.get(step).copied().unwrap_or_default()
    }

    /// The steps with these ids.
    #[must_use]
    pub fn of(tree: &super::tree::Tree, ids: &[String]) -> Self {
        let mut marks = vec![false; tree.len()];
        for place in ids.iter().filter_map(|id| tree.find(&StepId::from_text(id.as_str()))) {
            marks[place] = true;
        }
        Self { steps: tree.ordered(|place| marks[place]), marks }
    }
}

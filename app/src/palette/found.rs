//! The lists of the palette, as the server writes them.

use agentflow::{
    access::Role,
    kernel::Timestamp,
    search::{Found, Hit},
};
use chrono::SecondsFormat;
use leptos::prelude::*;

use super::commands::{ACTIONS, Command, KEYS, PLACES};
use crate::{
    kit::{Glyph, Icon, fragment::Html, status::Status},
    runs::line::encoded,
};

/// What of a text is a name: without the sign that says what is looked for.
#[must_use]
pub fn name_of(typed: &str) -> &str {
    let typed = typed.trim();
    typed.strip_prefix(['>', '#', '@']).unwrap_or(typed).trim()
}

/// All lists for a text, in the order of the palette. Where nothing fits there is a way forward.
#[must_use]
pub fn lists(org: &str, typed: &str, role: Role, hits: &[Hit]) -> Html {
    let (sign, name) = (typed.trim().chars().next(), name_of(typed).to_lowercase());
    let wants = |group: char| !matches!(sign, Some('>' | '#' | '@')) || sign == Some(group);
    let of = |commands: &[Command]| -> Vec<AnyView> {
        let fits = |it: &&Command| role.may(it.needs) && it.name.to_lowercase().contains(&name);
        commands.iter().filter(fits).map(|it| command(org, it)).collect()
    };
    let found = |wanted: fn(&Found) -> bool| -> Vec<AnyView> {
        hits.iter().filter(|it| wanted(&it.found)).map(|it| hit(org, it)).collect()
    };
    let mut groups = Vec::new();
    let mut add = |wanted: bool, heading: &'static str, items: Vec<AnyView>| {
        if wanted && !items.is_empty() {
            groups.push((heading, items));
        }
    };
    add(wants(' '), "Go to", of(&PLACES));
    add(wants('>'), "Actions", of(&ACTIONS));
    add(wants(' '), "Workflows", found(|it| matches!(it, Found::Workflow(_))));
    add(wants('@'), "Agents", found(|it| matches!(it, Found::Agent(_))));
    let runs = if name.is_empty() { "Newest runs" } else { "Runs" };
    add(wants('#'), runs, found(|it| matches!(it, Found::Run(..))));
    if groups.is_empty() {
        let href = format!("/o/{org}/runs?q={}", encoded(&name));
        return Html::of(move || {
            view! {
                <p class="quiet">"Nothing has this name."</p>
                <ul><li><a class="menu-item" href=href><Icon glyph=Glyph::Search/>"Look among all runs"</a></li></ul>
            }
        });
    }
    Html::of(move || {
        groups
            .into_iter()
            .map(|(heading, items)| view! { <h2>{heading}</h2><ul aria-label=heading>{items}</ul> })
            .collect::<Vec<_>>()
    })
}

fn command(org: &str, it: &Command) -> AnyView {
    let keys = (!it.keys.is_empty()).then(|| view! { <kbd>{it.keys}</kbd> });
    view! {
        <li>
            <a class="menu-item" href=format!("/o/{org}/{}", it.below)>
                <Icon glyph=it.glyph/>
                <span class="cut">{it.name}</span>
                {keys}
            </a>
        </li>
    }
    .into_any()
}

fn hit(org: &str, hit: &Hit) -> AnyView {
    let (glyph, below, about) = match hit.found {
        Found::Workflow(id) => (Glyph::Workflows, format!("workflows/{id}"), None),
        Found::Agent(id) => (Glyph::Agents, format!("agents/{id}"), None),
        Found::Run(id, state, at) => {
            let status = Status::from(state);
            (status.glyph, format!("runs/{id}"), Some((status.word, at)))
        }
    };
    let about = about.map(|(word, at)| view! { <span class="muted">{word}", "{moment(at)}</span> });
    view! {
        <li>
            <a class="menu-item" href=format!("/o/{org}/{below}")>
                <Icon glyph/>
                <span class="cut">{hit.name.clone()}</span>
                {about}
            </a>
        </li>
    }
    .into_any()
}

fn moment(at: Timestamp) -> AnyView {
    let exact = at.to_rfc3339_opts(SecondsFormat::Secs, true);
    view! { <time datetime=exact>{at.format("%-d %b, %H:%M UTC").to_string()}</time> }.into_any()
}

/// All shortcuts, by where they act.
#[must_use]
pub fn shortcuts() -> Html {
    let places = PLACES.iter().filter(|it| it.keys.starts_with("g ")).map(|it| (it.keys, it.name));
    let lists = KEYS.iter().map(|(place, keys)| (*place, keys.to_vec())).chain([("Go to", places.collect())]);
    let lists: Vec<_> = lists
        .map(|(place, keys)| {
            let rows: Vec<_> = keys
                .into_iter()
                .map(|(keys, does)| view! { <div><dt><kbd>{keys}</kbd></dt><dd>{does}</dd></div> })
                .collect();
            (place, rows)
        })
        .collect();
    Html::of(move || {
        let lists = lists.into_iter().map(|(place, rows)| view! { <section><h2>{place}</h2><dl>{rows}</dl></section> });
        view! {
            <p class="quiet">"Single keys act where nothing is typed. Everything they do has a button or a link as well."</p>
            <div class="shortcut-lists">{lists.collect::<Vec<_>>()}</div>
        }
    })
}

#[cfg(test)]
mod tests {
    use agentflow::kernel::{AgentId, WorkflowId};

    use super::*;

    fn html(typed: &str, role: Role, hits: &[Hit]) -> String {
        lists("acme", typed, role, hits).into_inner()
    }

    #[test]
    fn a_viewer_is_offered_nothing_that_a_viewer_may_not_do() {
        let all = html("", Role::Admin, &[]);
        assert!(all.contains("New agent") && all.contains("Connect an MCP server"));
        let some = html("", Role::Viewer, &[]);
        assert!(some.contains("Dashboard") && !some.contains("New agent") && !some.contains("Connect an MCP server"));
    }

    #[test]
    fn a_sign_narrows_it_down() {
        let hits = [
            Hit { found: Found::Workflow(WorkflowId::new()), name: "Refunds <b>".to_owned() },
            Hit { found: Found::Agent(AgentId::new()), name: "Refunder".to_owned() },
        ];
        let both = html("refund", Role::Owner, &hits);
        assert!(both.contains("Refunds &lt;b>") || both.contains("Refunds &lt;b&gt;"), "{both}");
        assert!(both.contains("Refunder") && !both.contains("Dashboard"));
        let agents = html("@refund", Role::Owner, &hits);
        assert!(agents.contains("Refunder") && !agents.contains("Refunds"));
        assert!(html(">new", Role::Owner, &hits).contains("New workflow"));
        assert!(html("@nobody", Role::Owner, &[]).contains("Nothing has this name"));
        assert_eq!((name_of(" @ Ana "), name_of("#run_1"), name_of("plain")), ("Ana", "run_1", "plain"));
    }
}

//! What is around every page of an organization: the top bar, the sidebar, and what they need to know.
//!
//! The menus and the drawer are the browser's own popovers: they open, close on Escape and on a click elsewhere, and
//! give the focus back, all without a script.

pub mod api;
mod stale;

use leptos::{html, prelude::*, server_fn::ServerFn};
use leptos_router::{
    components::Outlet,
    hooks::{use_location, use_params_map},
};

use self::{
    api::{FrameData, SetTheme, Theme},
    stale::Stale,
};
use crate::{
    kit::{Announcer, Form, FormAction, Glyph, Icon, title::OrgName},
    live::{Topic, provide_live},
    palette::Palette,
    sign_in::api::SignOut,
    wire::{Loading, loading},
};

/// The organization's part of the address. Going to another organization loads a new page, so this never changes.
#[must_use]
pub fn use_org() -> String {
    use_params_map().read_untracked().get("org").unwrap_or_default()
}

/// What the frame knows. To be read inside of a `Suspense`.
pub type FrameResource = Loading<FrameData>;

/// What the frame knows, for the pages inside it.
#[must_use]
pub fn use_frame() -> Option<FrameResource> {
    use_context()
}

/// Whether keys of a single letter act: to be asked when one is pressed. Yes, as long as nothing else is known.
pub fn single_keys() -> impl Fn() -> bool + Copy + Send + Sync + 'static {
    let data = use_frame();
    move || !matches!(data.and_then(|data| data.get_untracked()), Some(Ok(FrameData { single_keys: false, .. })))
}

/// The frame, with the page in it.
#[component]
pub fn Frame() -> impl IntoView {
    let org = use_org();
    let changes = provide_live().ticks(org.clone(), Topic::Approvals);
    let slug = org.clone();
    let data: FrameResource = loading(move || changes.get(), move |_| api::frame(slug.clone()));
    provide_context(data);
    announce(data);

    view! {
        <a class="skip" href="#content" rel="external">"Skip to content"</a>
        <header class="topbar">
            <button type="button" class="btn btn-quiet btn-icon drawer-button" popovertarget="nav" aria-label="Menu">
                <Icon glyph=Glyph::Menu/>
            </button>
            <a class="brand" href=format!("/o/{org}/") aria-label="AgentFlow, to the dashboard">
                <Icon glyph=Glyph::Logo/>
            </a>
            <span class="slash" aria-hidden="true">"/"</span>
            <Transition fallback=|| ()>
                {move || Suspend::new(async move { data.await.ok().map(organization) })}
            </Transition>
            <div class="topbar-end">
                <Palette org=org.clone()/>
                <Bell org=org.clone() data/>
                <Transition fallback=|| ()>
                    {move || Suspend::new(async move { data.await.ok().map(account) })}
                </Transition>
            </div>
        </header>
        <div class="shell">
            <Sidebar org data/>
            <main id="content" class="content" tabindex="-1">
                <Stale/>
                <Transition fallback=|| ()>
                    {move || Suspend::new(async move { data.await.is_ok_and(|data| data.sandbox_only).then(sandbox) })}
                </Transition>
                <Outlet/>
            </main>
        </div>
    }
    .into_any()
}

/// A calm word on every page for as long as no provider is connected.
fn sandbox() -> AnyView {
    view! {
        <p class="banner">
            <Icon glyph=Glyph::Info/>
            <span>
                <strong>"Sandbox model only."</strong>
                " Agents answer by fixed rules, at no cost. For real models, set a provider's key such as "
                <code>"OPENAI_API_KEY"</code>"."
            </span>
        </p>
    }
    .into_any()
}

/// Tells people who hear the page that more waits for them.
fn announce(data: FrameResource) {
    let announcer = use_context::<Announcer>();
    Effect::new(move |before: Option<Option<i64>>| {
        let now = data.get().and_then(Result::ok).map(|data| data.approvals);
        if let (Some(Some(before)), Some(now), Some(announcer)) = (before, now, announcer)
            && now > before
        {
            announcer.say(waiting(now));
        }
        now
    });
}

fn waiting(count: i64) -> String {
    match count {
        0 => "No approval waits for you".to_owned(),
        1 => "1 approval waits for you".to_owned(),
        more => format!("{more} approvals wait for you"),
    }
}

/// The organization's name, and the way to the person's others.
fn organization(data: FrameData) -> AnyView {
    if let Some(OrgName(name)) = use_context() {
        name.set(Some(data.org.name.clone()));
    }
    let FrameData { org, organizations, .. } = data;
    if organizations.len() < 2 {
        return view! { <span class="org-name">{org.name}</span> }.into_any();
    }
    let others: Vec<_> = organizations
        .into_iter()
        .map(|membership| {
            let current = (membership.org.id == org.id).then_some("true");
            view! {
                <li>
                    <a class="menu-item" href=format!("/o/{}/", membership.org.slug) rel="external" aria-current=current>
                        <span>{membership.org.name}</span>
                        <span class="muted">{membership.role.as_str()}</span>
                    </a>
                </li>
            }
        })
        .collect();
    view! {
        <button type="button" class="btn btn-quiet org-name" popovertarget="organizations">
            <span class="cut">{org.name}</span>
            <Icon glyph=Glyph::ChevronDown/>
            <span class="visually-hidden">", change organization"</span>
        </button>
        <div id="organizations" class="menu-panel at-start" popover="auto">
            <ul>{others}</ul>
        </div>
    }
    .into_any()
}

/// The bell: how many approvals wait, and the way to them.
#[component]
fn Bell(org: String, data: FrameResource) -> impl IntoView {
    view! {
        <a class="btn btn-quiet btn-icon bell" href=format!("/o/{org}/approvals")>
            <Icon glyph=Glyph::Bell/>
            <Transition fallback=|| view! { <span class="visually-hidden">"Approvals"</span> }>
                {move || Suspend::new(async move {
                    let count = data.await.map_or(0, |data| data.approvals);
                    view! {
                        <span class="visually-hidden">{waiting(count)}</span>
                        {(count > 0).then(|| view! { <span class="count" aria-hidden="true">{shown(count)}</span> })}
                    }
                })}
            </Transition>
        </a>
    }
    .into_any()
}

fn shown(count: i64) -> String {
    if count > 99 { "99+".to_owned() } else { count.to_string() }
}

/// The person, the theme, and the way out.
fn account(data: FrameData) -> AnyView {
    let profile = format!("/o/{}/settings", data.org.slug);
    let initial = data.name.chars().next().map(String::from).unwrap_or_default();
    view! {
        <button type="button" class="btn btn-quiet btn-icon" popovertarget="account" aria-label="Your account">
            <span class="avatar" aria-hidden="true">{initial}</span>
        </button>
        <div id="account" class="menu-panel at-end" popover="auto">
            <div class="menu-head">
                <p><strong>{data.name}</strong></p>
                <p class="muted">{data.email}</p>
                <p class="muted">{format!("{} of {}", capital(data.role.as_str()), data.org.name)}</p>
            </div>
            <a class="menu-item" href=profile>
                <Icon glyph=Glyph::Settings/>
                "Settings"
            </a>
            <ThemeSwitch/>
            // A plain form: the browser forgets the pages that it has in memory.
            <form class="menu-foot" action=SignOut::PATH method="post">
                <button type="submit" class="menu-item">
                    <Icon glyph=Glyph::SignOut/>
                    "Sign out"
                </button>
            </form>
        </div>
    }
    .into_any()
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| std::iter::once(first.to_ascii_uppercase()).chain(letters).collect()).unwrap_or_default()
}

/// Light, dark, or as the system is. The form keeps the choice; with a script the page changes at once.
#[component]
fn ThemeSwitch() -> impl IntoView {
    let choice = |theme: Theme, value: &'static str, word: &'static str, glyph: Glyph| {
        let apply = move |_| {
            let Some(root) = document().document_element() else { return };
            let _ = match theme.word() {
                Some(word) => root.set_attribute("data-theme", word),
                None => root.remove_attribute("data-theme"),
            };
        };
        view! {
            <button type="submit" class="menu-item" name="theme" value=value on:click=apply>
                <Icon glyph/>
                {word}
            </button>
        }
    };
    let action = FormAction::new::<SetTheme>();
    view! {
        <Form action class="theme">
            <fieldset>
                <legend class="muted">"Theme"</legend>
                {choice(Theme::Light, "light", "Light", Glyph::Sun)}
                {choice(Theme::Dark, "dark", "Dark", Glyph::Moon)}
                {choice(Theme::System, "system", "As the system", Glyph::Settings)}
            </fieldset>
        </Form>
    }
    .into_any()
}

/// A place of the sidebar: what it is called, where it is below the organization's address, and its icon.
struct Place(&'static str, &'static str, Glyph);

const PLACES: [(&str, &[Place]); 4] = [
    (
        "Operate",
        &[
            Place("Dashboard", "", Glyph::Dashboard),
            Place("Runs", "runs", Glyph::Runs),
            Place("Logs", "logs", Glyph::Logs),
            Place("Approvals", "approvals", Glyph::Approvals),
        ],
    ),
    (
        "Build",
        &[
            Place("Agents", "agents", Glyph::Agents),
            Place("Workflows", "workflows", Glyph::Workflows),
            Place("Tools", "tools", Glyph::Tool),
        ],
    ),
    ("Connect", &[Place("Integrations", "integrations", Glyph::Link)]),
    ("Organization", &[Place("Settings", "settings", Glyph::Settings)]),
];

/// A place that is there while developing.
const OUTBOX: Place = Place("Outbox", "outbox", Glyph::Mail);

/// The places of the organization. On a phone it is a drawer.
#[component]
fn Sidebar(org: String, data: FrameResource) -> impl IntoView {
    let path = use_location().pathname;
    let node = NodeRef::<html::Nav>::new();
    // A drawer that is open closes when its link was followed.
    Effect::new(move |before: Option<String>| {
        let now = path.get();
        if before.is_some_and(|before| before != now)
            && let Some(nav) = node.get_untracked()
        {
            let _ = nav.hide_popover();
        }
        now
    });
    let slug = org.clone();
    let groups = PLACES.iter().map(move |(group, places)| {
        let links: Vec<_> = places.iter().map(|place| link(&slug, place, path, data)).collect();
        view! {
            <div class="nav-group">
                <h2>{*group}</h2>
                <ul>{links}</ul>
            </div>
        }
    });
    view! {
        <nav id="nav" class="sidebar" aria-label="Main" popover="auto" node_ref=node>
            {groups.collect::<Vec<_>>()}
            <Transition fallback=|| ()>
                {move || {
                    let org = org.clone();
                    Suspend::new(async move {
                        let outbox = data.await.is_ok_and(|data| data.outbox);
                        outbox.then(|| view! {
                            <div class="nav-group">
                                <h2>"Development"</h2>
                                <ul>{link(&org, &OUTBOX, path, data)}</ul>
                            </div>
                        })
                    })
                }}
            </Transition>
        </nav>
    }
    .into_any()
}

fn link(org: &str, place: &'static Place, path: Memo<String>, data: FrameResource) -> AnyView {
    let Place(word, below, glyph) = place;
    let (home, href) = (format!("/o/{org}/"), format!("/o/{org}/{below}"));
    let to = href.clone();
    let current = move || {
        let path = path.get();
        let here =
            if to == home { path.trim_end_matches('/') == home.trim_end_matches('/') } else { is_in(&path, &to) };
        here.then_some("page")
    };
    let count = (*below == "approvals").then(|| {
        view! {
            <Transition fallback=|| ()>
                {move || Suspend::new(async move {
                    let count = data.await.map_or(0, |data| data.approvals);
                    (count > 0).then(|| view! {
                        <span class="count">{shown(count)}<span class="visually-hidden">" waiting"</span></span>
                    })
                })}
            </Transition>
        }
    });
    view! {
        <li>
            <a class="nav-link" href=href aria-current=current>
                <Icon glyph=*glyph/>
                {*word}
                {count}
            </a>
        </li>
    }
    .into_any()
}

fn is_in(path: &str, place: &str) -> bool {
    path.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_current_on_its_page_and_below_but_not_beside() {
        assert!(is_in("/o/acme/runs", "/o/acme/runs"));
        assert!(is_in("/o/acme/runs/run_1", "/o/acme/runs"));
        assert!(!is_in("/o/acme/runs-archive", "/o/acme/runs"));
        assert_eq!(capital("owner"), "Owner");
    }
}

//! Icons: one sprite of line drawings, which the shell puts at the foot of each page, and a reference to one of them.

use leptos::prelude::*;

/// The drawings, as `<symbol>`s.
pub const SPRITE: &str = include_str!("icons.svg");

macro_rules! glyphs {
    ($($name:ident = $id:literal,)*) => {
        /// A drawing of the sprite.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[expect(missing_docs, reason = "the name says what is drawn")]
        pub enum Glyph { $($name,)* }

        impl Glyph {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Where in the page the drawing is.
            #[must_use]
            pub const fn href(self) -> &'static str {
                match self { $(Self::$name => concat!("#i-", $id),)* }
            }
        }
    };
}

glyphs! {
    Queued = "queued", Clock = "clock", Running = "running", Hand = "hand", Paused = "paused", Retry = "retry",
    Succeeded = "succeeded", Warning = "warning", Failed = "failed", TimedOut = "timed-out", Stopped = "stopped",
    Skipped = "skipped", RolledBack = "rolled-back", Pending = "pending", Question = "question",
    Reversible = "reversible", ReversibleUntil = "reversible-until", Irreversible = "irreversible",
    Dashboard = "dashboard", Runs = "runs", Logs = "logs", Approvals = "approvals", Agents = "agents", Workflows = "workflows",
    Settings = "settings", Bell = "bell", Sun = "sun", Moon = "moon", Menu = "menu", Close = "close",
    ChevronRight = "chevron-right", ChevronDown = "chevron-down", ArrowLeft = "arrow-left",
    ArrowRight = "arrow-right", ArrowUp = "arrow-up", ArrowDown = "arrow-down", Plus = "plus", Search = "search",
    Filter = "filter", Copy = "copy", Check = "check", Info = "info", User = "user", SignOut = "sign-out", Key = "key",
    Mail = "mail", Edit = "edit", Trash = "trash", Download = "download", More = "more", Play = "play", Tool = "tool",
    Model = "model", Decision = "decision", Transform = "transform", Map = "map", Loop = "loop", Globe = "globe", Item = "item", Start = "start",
    End = "end", Link = "link", Coins = "coins", Logo = "logo",
}

/// An icon beside a word that says the same; assistive technology does not see it.
#[component]
pub fn Icon(
    /// What is drawn.
    glyph: Glyph,
) -> impl IntoView {
    view! {
        <svg class="icon" aria-hidden="true" focusable="false">
            <use href=glyph.href()></use>
        </svg>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_glyph_is_drawn_once_and_no_drawing_is_without_a_name() {
        for glyph in Glyph::ALL {
            let id = format!("id=\"{}\"", &glyph.href()[1..]);
            assert_eq!(SPRITE.matches(&id).count(), 1, "{glyph:?}");
        }
        assert_eq!(SPRITE.matches("<symbol").count(), Glyph::ALL.len());
    }
}

//! Where one can go and what one can begin, from anywhere, and the keys for it.

use agentflow::access::Permission;

use crate::kit::Glyph;

/// A link that is always there.
pub struct Command {
    /// Where it leads, below the organization's address.
    pub below: &'static str,
    /// What it is called.
    pub name: &'static str,
    /// Its picture.
    pub glyph: Glyph,
    /// The keys for it; nothing where there are none.
    pub keys: &'static str,
    /// What one must be allowed.
    pub needs: Permission,
}

const fn command(
    below: &'static str,
    name: &'static str,
    glyph: Glyph,
    keys: &'static str,
    needs: Permission,
) -> Command {
    Command { below, name, glyph, keys, needs }
}

/// Places.
pub const PLACES: [Command; 12] = [
    command("", "Dashboard", Glyph::Dashboard, "g d", Permission::View),
    command("runs", "Runs", Glyph::Runs, "g r", Permission::View),
    command("approvals", "Approvals", Glyph::Approvals, "g a", Permission::View),
    command("logs", "Logs", Glyph::Logs, "g l", Permission::View),
    command("agents", "Agents", Glyph::Agents, "g g", Permission::View),
    command("workflows", "Workflows", Glyph::Workflows, "g w", Permission::View),
    command("tools", "Tools", Glyph::Tool, "g t", Permission::View),
    command("integrations", "Integrations", Glyph::Link, "", Permission::View),
    command("settings", "Settings", Glyph::Settings, "g s", Permission::View),
    command("settings/models", "Model classes", Glyph::Settings, "", Permission::View),
    command("settings/budgets", "Budgets", Glyph::Settings, "", Permission::View),
    command("shortcuts", "Keyboard shortcuts", Glyph::Info, "?", Permission::View),
];

/// What can be begun.
pub const ACTIONS: [Command; 6] = [
    command("agents/new", "New agent", Glyph::Agents, "", Permission::Build),
    command("workflows/new", "New workflow", Glyph::Workflows, "", Permission::Build),
    command("tools/new", "New REST tool", Glyph::Tool, "", Permission::Deploy),
    command("tools/servers/new", "Connect an MCP server", Glyph::Tool, "", Permission::Deploy),
    command("runs?state=failed", "Show failed runs", Glyph::Failed, "", Permission::View),
    command("runs?state=running", "Show runs that are under way", Glyph::Running, "", Permission::View),
];

/// Keys that are no place: where they act, and what they do.
pub const KEYS: [(&str, &[(&str, &str)]); 5] = [
    (
        "Everywhere",
        &[
            ("Ctrl K or ⌘ K", "Search and go anywhere"),
            ("?", "These shortcuts"),
            ("/", "To the search or filter of the page"),
        ],
    ),
    (
        "A run",
        &[
            ("↑ ↓ ← →", "Move in the tree, open and close"),
            ("Home End", "First and last step"),
            ("*", "Open all steps beside this one"),
            ("1 to 9", "Open to this level"),
            (". ,", "Next and previous error"),
            ("n N", "Next and previous step that the search found"),
            ("+ - 0", "Zoom the waterfall, all of it"),
            ("l", "The log"),
            ("i t", "Input and output beside the tree"),
            ("Alt ↑", "Out of the step in focus"),
            ("Shift R", "Run again"),
        ],
    ),
    (
        "The log",
        &[("f or End", "Follow the end again"), ("w", "Wrap lines"), ("Enter, Shift Enter", "Next and previous hit")],
    ),
    (
        "Approvals",
        &[
            ("j k", "Next and previous"),
            ("Enter", "Open"),
            ("a", "Approve"),
            ("r", "Reject"),
            ("e", "Edit and approve"),
            ("c", "Ask for changes"),
            ("h", "Put off"),
            ("x", "Choose, to decide several at once"),
            ("z", "Undo"),
        ],
    ),
    ("Dialogs and menus", &[("Esc", "Close")]),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_commands_have_the_same_keys_or_place() {
        let all = || PLACES.iter().chain(&ACTIONS);
        let keys: Vec<_> = all().map(|it| it.keys).filter(|keys| !keys.is_empty()).collect();
        assert_eq!(keys.iter().collect::<HashSet<_>>().len(), keys.len());
        assert_eq!(all().map(|it| it.below).collect::<HashSet<_>>().len(), all().count());
        // The browser's half knows the same letters.
        for (letter, below) in super::super::keys::PLACES {
            assert!(PLACES.iter().any(|it| it.keys == format!("g {letter}") && it.below == below), "{letter}");
        }
        assert_eq!(keys.iter().filter(|keys| keys.starts_with("g ")).count(), super::super::keys::PLACES.len());
    }
}

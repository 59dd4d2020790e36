//! People: their accounts, passwords and sessions. An account belongs to no organization; memberships (`orgs`) do that.

#[cfg(feature = "ssr")]
pub mod admission;
#[cfg(feature = "ssr")]
pub mod password;
#[cfg(feature = "ssr")]
pub mod service;
#[cfg(feature = "ssr")]
pub mod sessions;
#[cfg(feature = "ssr")]
mod store;
#[cfg(feature = "ssr")]
pub mod throttle;

use serde::{Deserialize, Serialize};

use crate::kernel::{Error, Result, UserId, text};

/// The least and the most characters of a password.
pub const PASSWORD_LENGTH: std::ops::RangeInclusive<usize> = 8..=200;

/// Whether somebody may sign up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Admission {
    /// As everybody may.
    Open,
    /// With the link to the first account.
    First,
    /// Not: the operator makes the accounts.
    Closed,
}

/// An account as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// The person.
    pub id: UserId,
    /// The name that others see.
    pub name: String,
    /// The address to sign in with.
    pub email: String,
    /// What happens after one's own reversible decision.
    pub undo: UndoWindow,
    /// Whether they get e-mail about what waits for them.
    pub email_notices: bool,
    /// Whether keys of a single letter act, in the inbox and on the page of a run.
    pub single_keys: bool,
}

/// What a person switches on and off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wishes {
    /// Whether they get e-mail about what waits for them.
    pub email_notices: bool,
    /// Whether keys of a single letter act.
    pub single_keys: bool,
}

/// How long one's own reversible decision can be taken back before it acts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UndoWindow {
    /// Ask before deciding; the decision acts at once.
    Confirm,
    /// 5 seconds.
    #[default]
    Short,
    /// 15 seconds.
    Medium,
    /// 60 seconds.
    Long,
}

impl UndoWindow {
    /// All choices, in the order of a form.
    pub const ALL: [Self; 4] = [Self::Short, Self::Medium, Self::Long, Self::Confirm];

    /// The seconds, or nothing where a confirmation stands in their place. What the database keeps.
    #[must_use]
    pub const fn seconds(self) -> Option<i32> {
        match self {
            Self::Confirm => None,
            Self::Short => Some(5),
            Self::Medium => Some(15),
            Self::Long => Some(60),
        }
    }

    /// The window of what the database keeps.
    #[must_use]
    pub fn of_seconds(seconds: Option<i32>) -> Self {
        Self::ALL.into_iter().find(|window| window.seconds() == seconds).unwrap_or(Self::Short)
    }

    /// The value in a form.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Confirm => "confirm",
            Self::Short => "5",
            Self::Medium => "15",
            Self::Long => "60",
        }
    }

    /// The window of a form's value.
    ///
    /// # Errors
    /// `invalid`, when it is none of the four.
    pub fn parse(value: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|window| window.as_str() == value)
            .ok_or_else(|| Error::invalid("undo", "Choose 5, 15 or 60 seconds, or a confirmation."))
    }
}

/// A name of a person, organization or key: 1 to 80 characters, trimmed, on one line.
///
/// # Errors
/// `invalid`, at the field that is named.
pub fn parse_name(field: &str, name: &str) -> Result<String> {
    let name = name.trim();
    if name.is_empty() {
        return Err(Error::invalid(field, "Enter a name."));
    }
    if name.chars().count() > 80 {
        return Err(Error::invalid(field, "Use 80 characters at most."));
    }
    if name.chars().any(char::is_control) {
        return Err(Error::invalid(field, "Use a name on one line, without control characters."));
    }
    Ok(name.to_owned())
}

/// An e-mail address, as typed but trimmed. Only a message that arrives can prove one, so this catches slips alone.
///
/// # Errors
/// `invalid`, at `email`.
pub fn parse_email(email: &str) -> Result<String> {
    let email = email.trim();
    if text::is_email(email) {
        Ok(email.to_owned())
    } else {
        Err(Error::invalid("email", "Enter an e-mail address, such as name@example.com."))
    }
}

/// Where to go after signing in: a path of this site, or nothing when `next` could lead anywhere else.
#[must_use]
pub fn local_path(next: &str) -> Option<&str> {
    let plain = next.bytes().all(|byte| (0x21..0x7f).contains(&byte) && byte != b'\\');
    (plain && next.len() <= 2_000 && next.starts_with('/') && !next.starts_with("//")).then_some(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_this_site_are_returned_to() {
        for good in ["/", "/o/acme/", "/o/acme/runs?state=failed&q=a%20b"] {
            assert_eq!(local_path(good), Some(good));
        }
        for bad in
            ["", "//evil.example", "/\\evil.example", "https://evil.example", "o/acme", "/a\r\nSet-Cookie: x", "/\t/x"]
        {
            assert_eq!(local_path(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn addresses_are_checked_for_slips() {
        assert_eq!(parse_email(" Ada@Example.com ").as_deref(), Ok("Ada@Example.com"));
        for bad in ["", "ada", "ada@", "@example.com", "ada@localhost", "a da@example.com", "ada@.com", "ada@example."]
        {
            assert!(parse_email(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn names_are_one_trimmed_line() {
        assert_eq!(parse_name("name", "  Ada ").as_deref(), Ok("Ada"));
        assert!(parse_name("name", "   ").is_err());
        assert!(parse_name("name", "a\nb").is_err());
        assert!(parse_name("name", &"ä".repeat(80)).is_ok());
        assert!(parse_name("name", &"ä".repeat(81)).is_err());
    }

    #[test]
    fn windows_survive_the_form_and_the_database() {
        for window in UndoWindow::ALL {
            assert_eq!(UndoWindow::parse(window.as_str()), Ok(window));
            assert_eq!(UndoWindow::of_seconds(window.seconds()), window);
        }
    }
}

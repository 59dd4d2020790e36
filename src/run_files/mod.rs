//! The files of a run: its own small workspace, kept in the database, so that whichever node goes on with the run finds
//! them. They go with the run.

#[cfg(feature = "ssr")]
pub mod service;
#[cfg(feature = "ssr")]
mod store;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::kernel::Timestamp;

/// The most bytes of one file.
pub const MAX_FILE: usize = 1 << 20;
/// The most files of a run.
pub const MAX_FILES: usize = 100;
/// The most bytes of all files of a run.
pub const MAX_ALL: usize = 10 << 20;
/// The most bytes of a path.
const MAX_PATH: usize = 200;
/// The most folders of a path, the file included.
const MAX_PARTS: usize = 12;

/// What a file is, besides what is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFile {
    /// Its path.
    pub path: FilePath,
    /// How many bytes it has.
    pub size: usize,
    /// What it is, by what is in it.
    pub media_type: String,
    /// When it was written last.
    pub updated_at: Timestamp,
}

/// The path of a file: relative, with `/` between its parts, none of them `.` or `..`, and no letter that a file system, a
/// header or a terminal could take for something else.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FilePath(String);

impl FilePath {
    /// Reads a path and brings it into its one form. The error is a sentence.
    ///
    /// # Errors
    /// When it leads out of the run's files, or no file can be called so.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with('/') || text.contains('\\') {
            return Err("A path is relative, with / between its parts, such as data/orders.csv.".to_owned());
        }
        let parts: Vec<&str> = text.split('/').filter(|part| *part != ".").collect();
        if parts.contains(&"..") {
            return Err("A path must not lead out of the run's files.".to_owned());
        }
        if parts.is_empty() || parts.iter().any(|part| part.trim().is_empty()) {
            return Err("Each part of a path needs a name, and a path ends with that of a file.".to_owned());
        }
        if text.chars().any(is_unfit) {
            return Err("A path has letters in it that nobody sees.".to_owned());
        }
        let path = parts.join("/");
        if path.len() > MAX_PATH || parts.len() > MAX_PARTS {
            return Err(format!("A path has at most {MAX_PATH} bytes and {MAX_PARTS} parts."));
        }
        Ok(Self(path))
    }

    /// The path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The file's own name, without its folders.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }
}

/// Control letters, and those that change how the others are shown.
fn is_unfit(letter: char) -> bool {
    letter.is_control()
        || matches!(
            letter,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
                | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}'
        )
}

impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for FilePath {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl From<FilePath> for String {
    fn from(path: FilePath) -> Self {
        path.0
    }
}

/// What a file is: by what is in it, and only among kinds of text by its name. Nothing that a browser would run.
#[must_use]
pub fn media_type(path: &FilePath, content: &[u8]) -> &'static str {
    let begins = [
        (b"%PDF-".as_slice(), "application/pdf"),
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\xff\xd8\xff", "image/jpeg"),
        (b"GIF8", "image/gif"),
        (b"PK\x03\x04", "application/zip"),
        (b"\x1f\x8b", "application/gzip"),
    ];
    if let Some((_, kind)) = begins.iter().find(|(start, _)| content.starts_with(start)) {
        return kind;
    }
    if std::str::from_utf8(content).is_err() || content.contains(&0) {
        return "application/octet-stream";
    }
    match path.name().rsplit_once('.').map(|(_, end)| end.to_ascii_lowercase()).as_deref() {
        Some("csv") => "text/csv",
        Some("json") => "application/json",
        Some("md") => "text/markdown",
        _ => "text/plain",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Option<String> {
        FilePath::parse(text).ok().map(String::from)
    }

    #[test]
    fn a_path_stays_inside_and_has_one_form() {
        for (text, path) in [
            ("a.txt", "a.txt"),
            ("./a/./b.txt", "a/b.txt"),
            ("bücher/ä b.csv", "bücher/ä b.csv"),
            ("...", "..."),
            ("-rf", "-rf"),
        ] {
            assert_eq!(parse(text).as_deref(), Some(path), "{text}");
        }
        for text in [
            "",
            ".",
            "./",
            "/",
            "/a",
            "a/",
            "a//b",
            "..",
            "../a",
            "a/../b",
            "a/..",
            "a\\b",
            "a\0b",
            "a\nb",
            "a\u{202e}b",
            " ",
            "a/ /b",
            "C:\\x",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
        assert_eq!(parse(&"a".repeat(201)), None);
        assert_eq!(parse(&"a/".repeat(20)), None);
    }

    #[test]
    fn what_a_browser_would_run_is_plain_text() {
        let kind = |name: &str, content: &[u8]| media_type(&FilePath::parse(name).unwrap(), content);
        assert_eq!(kind("a.html", b"<script>x</script>"), "text/plain");
        assert_eq!(kind("a.svg", b"<svg onload=x>"), "text/plain");
        assert_eq!(kind("a.txt", b"%PDF-1.7"), "application/pdf");
        assert_eq!(kind("a.json", b"{}"), "application/json");
        assert_eq!(kind("a.json", b"\xff\xfe"), "application/octet-stream");
    }

    proptest! {
        #[test]
        fn a_path_that_is_read_is_in_its_one_form(text in "[a./\\\\ \u{0}-\u{20}é-]{0,24}") {
            if let Ok(path) = FilePath::parse(&text) {
                prop_assert!(!path.as_str().starts_with('/'));
                prop_assert!(path.as_str().split('/').all(|part| !part.is_empty() && part != "." && part != ".."));
                prop_assert_eq!(FilePath::parse(path.as_str()), Ok(path.clone()));
            }
        }
    }
}

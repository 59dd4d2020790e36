//! The rules of the house that no compiler checks, read from the sources.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Server functions that touch nothing of anybody's: the theme is a cookie of the browser's.
const BEFORE_THE_DOOR: [&str; 1] = ["set_theme"];

/// The longest file.
const LINES: usize = 600;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// The Rust sources below these folders, as (path from the root, text).
fn sources(folders: &[&str]) -> Vec<(String, String)> {
    fn walk(folder: &Path, found: &mut Vec<(String, String)>) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root()).expect("below the root").to_string_lossy().into_owned();
                found.push((name, fs::read_to_string(&path).expect("a source")));
            }
        }
    }
    let mut found = Vec::new();
    for folder in folders {
        walk(&root().join(folder), &mut found);
    }
    assert!(!found.is_empty(), "no sources below {folders:?}");
    found.sort();
    found
}

/// The part of a file before its tests.
fn product(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod ").next().unwrap_or_default()
}

/// What stands behind each `#[server]` or `#[server(…)]`.
fn server_functions(text: &str) -> impl Iterator<Item = &str> {
    text.split("\n#[server").skip(1).filter(|rest| rest.starts_with([']', '(']))
}

fn none(faults: &[String], rule: &str) {
    assert!(faults.is_empty(), "{rule}:\n  {}", faults.join("\n  "));
}

#[test]
fn sql_stands_in_stores_alone() {
    let mut faults = Vec::new();
    for (path, text) in sources(&["src", "app/src", "server/src", "frontend/src"]) {
        let allowed = path == "src/db.rs" || path.ends_with("/store.rs") || path.contains("/store/");
        let words = ["sqlx::query", "query!(", "query_as!(", "query_scalar!(", "sqlx::raw_sql", "QueryBuilder"];
        if !allowed && words.iter().any(|word| product(&text).contains(word)) {
            faults.push(path);
        }
    }
    none(&faults, "SQL stands in store.rs files and src/db.rs");
}

#[test]
fn features_are_switched_on_whole_items_alone() {
    let whole = ["mod ", "use ", "trait ", "impl ", "impl<", "const ", "compile_error!"];
    let mut faults = Vec::new();
    for (path, text) in sources(&["src", "app/src"]) {
        let lines: Vec<&str> = product(&text).lines().collect();
        for (number, line) in lines.iter().enumerate() {
            if !(line.trim_start().starts_with("#[cfg(") && line.contains("feature = ")) {
                continue;
            }
            let mut below = lines[number + 1..].iter().map(|line| line.trim_start());
            let item = below.find(|line| !line.starts_with("#[") && !line.starts_with("//")).unwrap_or_default();
            let item =
                item.trim_start_matches("pub ").trim_start_matches("pub(crate) ").trim_start_matches("pub(super) ");
            // What server functions share among themselves stands beside them.
            let helper = path.ends_with("/api.rs") && item.contains("fn ");
            // Ids and causes are made on the server: the one place where a method is switched.
            let method = path == "src/kernel/error.rs" || path == "src/kernel/id.rs";
            let at_top = !line.starts_with(' ') && (helper || whole.iter().any(|word| item.starts_with(word)));
            if !(at_top || method) {
                faults.push(format!("{path}:{}: {item}", number + 1));
            }
        }
    }
    none(&faults, "cfg(feature) stands on modules, imports and whole items, not inside of code");
}

#[test]
fn files_are_short() {
    let all = sources(&["src", "app/src", "server/src", "server/tests", "frontend/src", "xtask/src"]);
    let long = all.iter().filter(|(_, text)| text.lines().count() > LINES);
    let faults: Vec<String> = long.map(|(path, text)| format!("{path}: {} lines", text.lines().count())).collect();
    none(&faults, "a file has at most 600 lines");
}

#[test]
fn every_server_function_asks_who_is_there() {
    let mut faults = Vec::new();
    for (path, text) in sources(&["app/src"]) {
        for function in server_functions(&text) {
            let body = function.split("\n}").next().unwrap_or_default();
            if BEFORE_THE_DOOR.iter().any(|name| body.contains(&format!("fn {name}("))) {
                continue;
            }
            let asks = ["door::ctx(", "door::person(", "door::visitor("].iter().any(|call| body.contains(call));
            if !asks {
                let name = body.lines().find(|line| line.contains("fn ")).unwrap_or_default();
                faults.push(format!("{path}: {}", name.trim()));
            }
        }
    }
    none(&faults, "a server function begins at the door");
}

#[test]
fn server_functions_never_change_things_by_get() {
    let mut faults = Vec::new();
    for (path, text) in sources(&["app/src"]) {
        for function in server_functions(&text) {
            let (attribute, rest) = function.split_once(']').unwrap_or_default();
            if !attribute.contains("GetUrl") {
                continue;
            }
            let name = rest.split("fn ").nth(1).and_then(|rest| rest.split('(').next()).unwrap_or_default();
            let reads = ["find", "list", "get", "show", "read", "count", "check", "load"];
            if !reads.iter().any(|verb| name.starts_with(verb)) {
                faults.push(format!("{path}: {name}"));
            }
        }
    }
    none(&faults, "what changes something is a POST");
}

#[test]
fn only_the_settings_read_the_environment() {
    let mut faults = Vec::new();
    for (path, text) in sources(&["src", "app/src", "server/src", "frontend/src"]) {
        let reads = ["env::var(", "env::var_os(", "env::vars("].iter().any(|call| product(&text).contains(call));
        if reads && path != "server/src/config.rs" {
            faults.push(path);
        }
    }
    none(&faults, "the environment is read in server/src/config.rs");
}

#[test]
fn pages_have_no_inline_styles_or_handlers() {
    let mut faults = Vec::new();
    for (path, text) in sources(&["app/src"]) {
        for (number, line) in product(&text).lines().enumerate() {
            let code = line.trim_start();
            if !code.starts_with("//")
                && (code.contains(" style=") || code.starts_with("style=") || code.contains(" onclick="))
            {
                faults.push(format!("{path}:{}: {code}", number + 1));
            }
        }
    }
    none(&faults, "the Content-Security-Policy refuses inline styles and handlers");
}

#[test]
fn styles_take_their_colours_from_the_tokens() {
    let mut faults = Vec::new();
    for entry in fs::read_dir(root().join("style")).expect("style").flatten() {
        let path = entry.path();
        if path.extension().is_none_or(|extension| extension != "css") || path.ends_with("tokens.css") {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a style");
        for (number, line) in text.lines().enumerate() {
            let value = line.split_once(':').map_or("", |(_, value)| value);
            let hex =
                value.split('#').skip(1).any(|rest| rest.chars().take_while(char::is_ascii_hexdigit).count() >= 3);
            if hex && !value.contains("url(") {
                faults.push(format!("{}:{}: {}", path.display(), number + 1, line.trim()));
            }
        }
    }
    none(&faults, "colours stand in style/tokens.css");
}

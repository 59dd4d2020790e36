//! The contrast of the colour tokens, in both themes, as WCAG 2 counts it.

use std::{collections::BTreeMap, fs};

use crate::{Result, places};

/// Backgrounds that text stands on.
const GROUNDS: [&str; 6] = ["bg", "surface", "surface-2", "surface-3", "selected", "code-bg"];
const FAMILIES: [&str; 6] = ["neutral", "info", "success", "warning", "danger", "attention"];

/// Colours by name.
type Theme = BTreeMap<String, [f64; 3]>;

/// Checks every pair in both themes.
///
/// # Errors
/// Each pair that is too weak.
pub fn check() -> Result {
    let text = fs::read_to_string(places::root().join("style/tokens.css"))?;
    let mut bad = Vec::new();
    for (name, marker) in [("light", "[data-theme=\"light\"]"), ("dark", "[data-theme=\"dark\"]")] {
        let theme = theme(&text, marker);
        for (front, back, least) in pairs() {
            match (theme.get(&front), theme.get(&back)) {
                (Some(a), Some(b)) if contrast(*a, *b) >= least => {}
                (Some(a), Some(b)) => {
                    bad.push(format!("{name}: {front} on {back} is {:.2}, needs {least}", contrast(*a, *b)));
                }
                _ => bad.push(format!("{name}: {front} or {back} has no colour")),
            }
        }
    }
    if bad.is_empty() { Ok(()) } else { Err(bad.join("\n").into()) }
}

fn pairs() -> Vec<(String, String, f64)> {
    let mut pairs = Vec::new();
    let mut need = |front: &str, back: &str, least: f64| pairs.push((front.to_owned(), back.to_owned(), least));
    for ground in GROUNDS {
        need("text", ground, 7.0);
        need("text-2", ground, 4.5);
        need("text-3", ground, 4.5);
        need("link", ground, 4.5);
        if ground != "code-bg" {
            need("focus", ground, 3.0);
        }
    }
    for ground in ["bg", "surface", "surface-2"] {
        need("border-strong", ground, 3.0);
    }
    for (front, back, least) in [
        ("on-danger-btn", "danger-btn", 4.5),
        ("on-danger-btn", "danger-btn-hover", 4.5),
        ("on-accent", "accent", 4.5),
        ("on-accent", "accent-hover", 4.5),
        ("accent", "surface", 3.0),
        ("accent", "bg", 3.0),
        ("mark-text", "mark", 4.5),
        ("mark-text", "mark-current", 4.5),
        ("diff-add-text", "diff-add-bg", 4.5),
        ("diff-del-text", "diff-del-bg", 4.5),
    ] {
        need(front, back, least);
    }
    for family in FAMILIES {
        let own = format!("{family}-bg");
        for ground in ["surface", "surface-2", "surface-3", "selected", "code-bg", &own] {
            need(&format!("{family}-fg"), ground, 4.5);
        }
        need("text", &own, 7.0);
        for ground in ["surface", "surface-2", "selected"] {
            need(&format!("{family}-solid"), ground, 3.0);
        }
        need(&format!("{family}-on"), &format!("{family}-solid"), 4.5);
    }
    pairs
}

/// The colours of the first block after the marker.
fn theme(text: &str, marker: &str) -> Theme {
    let block = text.split_once(marker).and_then(|(_, rest)| rest.split_once('{')).map_or("", |(_, rest)| rest);
    let block = block.split_once('}').map_or(block, |(inside, _)| inside);
    let colours = block.lines().filter_map(|line| {
        let (name, value) = line.trim().strip_prefix("--c-")?.split_once(':')?;
        let hex = value.trim().trim_end_matches(';').strip_prefix('#')?;
        let channel =
            |at: usize| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok().map(|value| f64::from(value) / 255.0);
        Some((name.to_owned(), [channel(0)?, channel(2)?, channel(4)?]))
    });
    colours.collect()
}

fn contrast(a: [f64; 3], b: [f64; 3]) -> f64 {
    let (a, b) = (luminance(a), luminance(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

fn luminance(colour: [f64; 3]) -> f64 {
    let [r, g, b] =
        colour.map(|value| if value <= 0.03928 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) });
    0.2126f64.mul_add(r, 0.7152f64.mul_add(g, 0.0722 * b))
}

#[cfg(test)]
mod tests {
    use super::contrast;

    #[test]
    fn black_on_white_is_twenty_one_to_one() {
        assert!((contrast([0.0; 3], [1.0; 3]) - 21.0).abs() < 1e-9);
        assert!((contrast([1.0; 3], [1.0; 3]) - 1.0).abs() < 1e-9);
    }
}

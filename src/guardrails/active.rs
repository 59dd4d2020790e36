//! What a page would load or run by itself: images and frames from elsewhere, scripts. In an agent's answer it becomes text
//! that any reader of Markdown or HTML shows as it is, so that showing an answer calls nobody.

use std::{
    ops::Range,
    sync::{Arc, OnceLock},
};

use super::machine::{Hit, Rules, Tail};

const PATTERNS: [&str; 3] = [
    // An image in Markdown. Behind a letter it may be a macro of Rust, unless its address leads elsewhere.
    r"!\[",
    r"!\[[\x00-\xff]{0,200}\]\(\s{0,8}<?(?:(?i:https?|ftp):|[/\\]{2})",
    r"<(?i:script|iframe|frame|frameset|img|image|picture|link|object|embed|applet|base|meta|svg|video|audio|source|track|style|portal)\b",
];

/// The rules. Nothing where they cannot be made.
pub(super) fn rules() -> Option<Arc<Rules>> {
    static MADE: OnceLock<Option<Arc<Rules>>> = OnceLock::new();
    MADE.get_or_init(|| Rules::new(&PATTERNS.map(str::to_owned), false, Box::new(judge))).clone()
}

fn judge(pattern: usize, before: &str, _: &str) -> Option<Hit> {
    let put = |span: Range<usize>, mark| Some(Hit { span, mark, kind: None, tail: Tail::None });
    match pattern {
        0 if before.ends_with(|letter: char| letter.is_alphanumeric() || letter == '_') => None,
        0 | 1 => put(0..2, "!\\["),
        _ => put(0..1, "&lt;"),
    }
}

#[cfg(test)]
mod tests {
    use crate::guardrails::redact::Redactor;

    fn shown(text: &str) -> String {
        Redactor::default().with_active_content_off().text(text, &mut std::collections::BTreeSet::new())
    }

    #[test]
    fn nothing_in_an_answer_loads_or_runs() {
        for (text, left) in [
            ("See ![x](https://evil.example/?q=1)", "See !\\[x](https://evil.example/?q=1)"),
            ("word![x](//evil.example/a)", "word!\\[x](//evil.example/a)"),
            ("![x][1]\n\n[1]: https://evil.example", "!\\[x][1]\n\n[1]: https://evil.example"),
            ("<img src=x onerror=alert(1)>", "&lt;img src=x onerror=alert(1)>"),
            ("<IMG/src=//evil.example>", "&lt;IMG/src=//evil.example>"),
            ("a<script>x</script>", "a&lt;script>x</script>"),
            ("<iframe src='//x'><link rel=x>", "&lt;iframe src='//x'>&lt;link rel=x>"),
        ] {
            assert_eq!(shown(text), left);
        }
        for text in ["let a = vec![1, 2](3);", "[a link](https://example.com)", "a < img, <image-like", "1 <b>bold</b>"]
        {
            let kept = if text.contains("<image-like") { "a < img, &lt;image-like" } else { text };
            assert_eq!(shown(text), kept);
        }
    }
}

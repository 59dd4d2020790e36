//! The tool html_to_text. Only the tokenizer of a browser's parser is used and no tree is made: the work is linear in the
//! page and needs no depth, however a hostile page nests.

use std::cell::RefCell;

use html5ever::{
    tendril::StrTendril,
    tokenizer::{
        BufferQueue, Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts,
        states::RawKind::{Rawtext, Rcdata, ScriptData},
    },
};
use serde_json::{Value, json};

use super::{
    deed::{aside, deeds, flag, number, output, text},
    registry::ToolContext,
};
use crate::{
    engine::{port::Answer, state::StepError},
    guardrails::outside::visible,
};

deeds! {
    HtmlToText = "html_to_text" => convert;
}

async fn convert(arguments: &Value, _: &ToolContext<'_>) -> Result<Answer, StepError> {
    let html = text(arguments, "html").to_owned();
    let (with_links, max) = (flag(arguments, "links", true), number(arguments, "max_chars", 50_000));
    aside(move || Ok(readable(&html, with_links, max))).await.map(output)
}

fn readable(html: &str, with_links: bool, max: usize) -> Value {
    let input = BufferQueue::default();
    input.push_back(StrTendril::from_slice(html));
    let sink = Sink(RefCell::new(Writer { with_links, ..Writer::default() }));
    let tokenizer = Tokenizer::new(sink, TokenizerOpts::default());
    // It stops behind each script, for whoever would run it.
    while !input.is_empty() {
        let _ = tokenizer.feed(&input);
    }
    tokenizer.end();
    let Writer { out, title, .. } = tokenizer.sink.0.into_inner();
    let whole = visible(out.trim());
    let text: String = whole.chars().take(max).collect();
    json!({ "title": visible(title.trim()), "truncated": text.len() < whole.len(), "text": text })
}

struct Sink(RefCell<Writer>);

impl TokenSink for Sink {
    type Handle = ();

    fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
        let mut writer = self.0.borrow_mut();
        match token {
            Token::CharacterTokens(text) => writer.text(&text),
            Token::TagToken(tag) => return writer.tag(&tag),
            _ => {}
        }
        TokenSinkResult::Continue
    }
}

/// Writes text as it comes.
#[derive(Default)]
struct Writer {
    with_links: bool,
    out: String,
    title: String,
    /// Whether the text belongs to the title.
    in_title: bool,
    /// The element whose inside is left out, and how many of its name are open.
    hidden: Option<(String, u32)>,
    /// How many `pre` are open.
    literal: u32,
    /// Whether a space is due before the next word.
    space: bool,
    /// Where the link that is open goes.
    link: Option<String>,
}

impl Writer {
    fn text(&mut self, text: &str) {
        if self.in_title {
            if self.title.len() < 1_000 {
                self.title.push_str(text);
            }
            return;
        }
        if self.hidden.is_some() {
            return;
        }
        if self.literal > 0 {
            self.out.push_str(text);
            return;
        }
        for letter in text.chars() {
            if letter.is_whitespace() {
                self.space = true;
                continue;
            }
            if self.space && !self.out.ends_with(['\n', ' ', '[', '(']) && !self.out.is_empty() {
                self.out.push(' ');
            }
            self.space = false;
            self.out.push(letter);
        }
    }

    fn tag(&mut self, tag: &Tag) -> TokenSinkResult<()> {
        let name: &str = &tag.name;
        let opens = tag.kind == TagKind::StartTag;
        if self.leave_out(tag, name, opens) {
            return if opens { raw(name) } else { TokenSinkResult::Continue };
        }
        match name {
            "title" => {
                self.in_title = opens && self.title.is_empty();
                if opens && !self.in_title {
                    self.hidden = Some((name.to_owned(), 1));
                }
            }
            "br" => self.lines(1),
            "hr" => {
                self.lines(2);
                self.out.push_str("---");
                self.lines(2);
            }
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => {
                self.lines(2);
                if opens {
                    let level = usize::from(name.as_bytes()[1] - b'0');
                    self.out.push_str(&"#".repeat(level));
                    self.out.push(' ');
                }
            }
            "li" => {
                self.lines(1);
                if opens {
                    self.out.push_str("- ");
                }
            }
            "tr" | "dt" | "dd" | "option" => self.lines(1),
            "td" | "th" if opens && !self.out.is_empty() && !self.out.ends_with('\n') => self.out.push_str(" | "),
            "pre" => {
                self.lines(2);
                self.literal = if opens { self.literal.saturating_add(1) } else { self.literal.saturating_sub(1) };
            }
            "p" | "ul" | "ol" | "dl" | "table" | "blockquote" | "figure" => self.lines(2),
            "div" | "section" | "article" | "main" | "header" | "footer" | "nav" | "aside" | "form" | "address"
            | "figcaption" | "details" | "summary" | "body" | "thead" | "tbody" => self.lines(1),
            "a" if self.with_links => self.anchor(tag, opens),
            "img" if opens => {
                if let Some(words) = attribute(tag, "alt").filter(|words| !words.trim().is_empty()) {
                    self.text(&format!(" [{}] ", words.trim()));
                }
            }
            _ => {}
        }
        if opens { raw(name) } else { TokenSinkResult::Continue }
    }

    /// Whether a tag is part of what nobody sees.
    fn leave_out(&mut self, tag: &Tag, name: &str, opens: bool) -> bool {
        if let Some((hidden, open)) = &mut self.hidden {
            if hidden.as_str() == name && !closes_itself(tag, name) {
                *open = if opens { open.saturating_add(1) } else { *open - 1 };
                if *open == 0 {
                    self.hidden = None;
                }
            }
            return true;
        }
        let silent =
            ["script", "style", "noscript", "template", "svg", "iframe", "object", "canvas", "math", "textarea"];
        let is_void = ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr"];
        let unseen = tag.attrs.iter().any(|attribute| match &*attribute.name.local {
            "hidden" => true,
            "aria-hidden" => attribute.value.eq_ignore_ascii_case("true"),
            "style" => {
                let style: String = attribute.value.chars().filter(|letter| !letter.is_whitespace()).collect();
                let style = style.to_ascii_lowercase();
                ["display:none", "visibility:hidden", "font-size:0", "opacity:0"]
                    .iter()
                    .any(|way| style.match_indices(way).any(|(place, _)| !style[place + way.len()..].starts_with('.')))
            }
            _ => false,
        });
        if opens && !closes_itself(tag, name) && !is_void.contains(&name) && (silent.contains(&name) || unseen) {
            self.hidden = Some((name.to_owned(), 1));
            return true;
        }
        // An image that nobody sees has no words either.
        opens && unseen
    }

    fn anchor(&mut self, tag: &Tag, opens: bool) {
        if let Some(address) = self.link.take() {
            self.out.push_str("](");
            self.out.push_str(&address);
            self.out.push(')');
        }
        let address = attribute(tag, "href").filter(|_| opens).map(str::trim);
        // What leads out of the page, and is no program.
        let leads = address.filter(|address| {
            let low = address.to_ascii_lowercase();
            let inner = low.starts_with('#') || low.starts_with("javascript:") || low.starts_with("data:");
            !address.is_empty() && address.len() <= 1_000 && !inner && !address.contains(char::is_whitespace)
        });
        if let Some(address) = leads {
            self.text("[");
            self.link = Some(address.to_owned());
        }
    }

    /// A new line, or two, unless there are that many.
    fn lines(&mut self, wanted: usize) {
        self.space = false;
        if self.out.is_empty() {
            return;
        }
        let there = self.out.len() - self.out.trim_end_matches('\n').len();
        for _ in there..wanted {
            self.out.push('\n');
        }
    }
}

/// In HTML a slash at the end of a tag means nothing; in drawings and formulas it does.
fn closes_itself(tag: &Tag, name: &str) -> bool {
    tag.self_closing && matches!(name, "svg" | "math")
}

fn attribute<'t>(tag: &'t Tag, name: &str) -> Option<&'t str> {
    tag.attrs.iter().find(|attribute| &*attribute.name.local == name).map(|attribute| &*attribute.value)
}

/// How the inside of an element is to be read, where that is not as usual.
fn raw(name: &str) -> TokenSinkResult<()> {
    match name {
        "title" | "textarea" => TokenSinkResult::RawData(Rcdata),
        "style" | "xmp" | "iframe" | "noembed" | "noframes" => TokenSinkResult::RawData(Rawtext),
        "script" => TokenSinkResult::RawData(ScriptData),
        "plaintext" => TokenSinkResult::Plaintext,
        _ => TokenSinkResult::Continue,
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::*;

    fn text(html: &str) -> String {
        readable(html, true, 100_000)["text"].as_str().unwrap().to_owned()
    }

    #[test]
    fn a_page_becomes_what_a_person_reads() {
        let page = "<!doctype html><html><head><title> Shop &amp; more </title><style>p{}</style>\
                    <script>if (a < b) { document.write('<p>no</p>') }</script></head>\
                    <body><h1>Prices</h1><p>From <b>today</b>\n on:</p><ul><li>One</li><li>Two &euro; 3</li></ul>\
                    <table><tr><th>A</th><th>B</th></tr><tr><td>1</td><td>2</td></tr></table>\
                    <p>See <a href='/more'>more of it</a>, <a href='javascript:x()'>not this</a>.</p>\
                    <pre>a\n  b</pre><img src=x alt='A cat'></body></html>";
        let read = readable(page, true, 1_000);
        assert_eq!(read["title"], "Shop & more");
        assert_eq!(
            read["text"],
            "# Prices\n\nFrom today on:\n\n- One\n- Two € 3\n\nA | B\n1 | 2\n\nSee [more of it](/more), not this.\n\n\
             a\n  b\n\n[A cat]"
        );
        assert!(!readable(page, false, 1_000)["text"].as_str().unwrap().contains("/more"));
        assert_eq!(readable(page, true, 8), json!({ "title": "Shop & more", "text": "# Prices", "truncated": true }));
    }

    #[test]
    fn what_nobody_sees_is_left_out() {
        for hidden in [
            "<div hidden>secret</div>",
            "<div style='color:red; DISPLAY : none'><div>x</div>secret</div>",
            "<span style='font-size:0'>secret</span>",
            "<p aria-hidden=true>secret</p>",
            "<img alt=secret hidden>",
            "<noscript>secret</noscript><template>secret</template><svg><text>secret</text></svg>",
            "<textarea>secret</textarea>",
            "<!-- secret -->",
            "<script>secret</script >",
        ] {
            assert_eq!(text(&format!("<p>a</p>{hidden}<p>b</p>")), "a\n\nb", "{hidden}");
        }
        assert_eq!(text("a\u{200b}\u{202e}b"), "ab");
        assert_eq!(text("<span style='opacity:0.5'>seen</span>"), "seen");
        assert_eq!(text("<script>a</script><script>b</script>c"), "c");
    }

    #[test]
    fn a_page_that_nests_without_end_takes_no_depth_and_little_time() {
        let started = Instant::now();
        for tag in ["<div>", "<b><i>", "<table><tr><td>", "<a href=x>", "<div hidden>", "<pre>", "<svg>", "<ul><li>"] {
            text(&tag.repeat(300_000 / tag.len()));
        }
        text(&"<".repeat(300_000));
        assert!(started.elapsed() < Duration::from_secs(20));
    }

    proptest! {
        #[test]
        fn any_text_is_read(html in "(<[a-z!/]{0,6}[ =\"'>]|[a-z&;# \n]|>|.){0,60}") {
            text(&html);
        }
    }
}

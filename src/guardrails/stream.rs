//! Redaction of a text that comes in pieces: joined, the pieces that go out are the redaction of the whole text, wherever
//! the pieces that came in were cut. Held back is only what could still become a hit.

use std::collections::BTreeSet;

use super::{
    machine::Pass,
    redact::{self, Redactor},
};
use crate::engine::plan::Sensitive;

/// One text in pieces.
pub struct Stream {
    /// One after the other; nothing where the rules could not be made, so that nothing may be shown.
    passes: Option<Vec<Pass>>,
    withheld: bool,
}

impl Stream {
    pub(super) fn new(redactor: &Redactor) -> Self {
        Self { passes: redactor.passes(), withheld: false }
    }

    /// Takes a piece, gives what is settled.
    pub fn push(&mut self, piece: &str) -> String {
        let Some(passes) = &mut self.passes else {
            let first = !std::mem::replace(&mut self.withheld, true) && !piece.is_empty();
            return if first { redact::withheld().to_owned() } else { String::new() };
        };
        passes.iter_mut().fold(piece.to_owned(), |text, pass| pass.push(&text))
    }

    /// Gives the rest: nothing follows. What is pushed after this is another text.
    pub fn finish(&mut self) -> String {
        self.withheld = false;
        self.passes.iter_mut().flatten().fold(String::new(), |text, pass| pass.push(&text) + &pass.finish())
    }

    /// A whole text.
    pub(super) fn whole(&mut self, text: &str) -> String {
        self.push(text) + &self.finish()
    }

    /// The kinds of what was blotted out so far.
    pub fn found(&self) -> BTreeSet<Sensitive> {
        self.passes.iter().flatten().flat_map(|pass| pass.found.iter().copied()).collect()
    }

    #[cfg(test)]
    fn held(&self) -> usize {
        self.passes.iter().flatten().map(Pass::held).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::{fmt::Write as _, sync::OnceLock};

    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use proptest::prelude::*;
    use secrecy::SecretString;

    use super::*;
    use crate::guardrails::known::Values;

    const SECRET: &str = "0pen/s\"ésame+42";
    /// What a stream may hold back at most.
    const MOST: usize = 4_096;

    fn redactor() -> Redactor {
        static MADE: OnceLock<Redactor> = OnceLock::new();
        let make = || {
            let known = Values::new(&[SecretString::from(SECRET), SecretString::from("hunter-two")]);
            Redactor::of(Sensitive::ALL.into()).and_knowing(known).with_active_content_off()
        };
        MADE.get_or_init(make).clone()
    }

    fn samples() -> Vec<String> {
        let spaced: Vec<String> = SECRET.chars().map(String::from).collect();
        let hex = SECRET.bytes().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        vec![
            SECRET.to_owned(),
            STANDARD.encode(format!("x{SECRET}yz")),
            serde_json::to_string(SECRET).unwrap(),
            spaced.join(" "),
            hex,
            SECRET.chars().rev().collect(),
            "hunter-two".to_owned(),
            "sk-ant-api03-AbCdEf0123456789_-xyz".to_owned(),
            "password: h4nter2!x".to_owned(),
            "Authorization: Bearer abc.def-123456".to_owned(),
            "https://ada:l0velace@example.com/x".to_owned(),
            "-----BEGIN RSA PRIVATE KEY-----\nMIIEvQ+/=IBAD\nANBgkq\n-----END RSA PRIVATE KEY-----".to_owned(),
            "4111 1111 1111 1111".to_owned(),
            "DE89 3704 0044 0532 0130 00".to_owned(),
            "123-45-6789".to_owned(),
            "ada@mail.example.com".to_owned(),
            "+49 (30) 901820".to_owned(),
            "![x](https://evil.example/a)".to_owned(),
            "<img src=//evil.example>".to_owned(),
        ]
    }

    fn at_once(redactor: &Redactor, text: &str) -> String {
        redactor.text(text, &mut BTreeSet::new())
    }

    /// A text in pieces of these many letters, and what came out after each.
    fn cut(redactor: &Redactor, text: &str, mut sizes: impl Iterator<Item = usize>) -> (String, usize) {
        let (mut stream, mut out, mut held) = (redactor.stream(), String::new(), 0);
        let mut rest = text;
        let whole = at_once(redactor, text);
        while !rest.is_empty() {
            let size = sizes.next().unwrap_or(1).max(1);
            let end = rest.char_indices().nth(size).map_or(rest.len(), |(place, _)| place);
            out += &stream.push(&rest[..end]);
            rest = &rest[end..];
            held = held.max(stream.held());
            assert!(whole.starts_with(&out), "shown before it was settled: {out:?} of {whole:?}");
        }
        (out + &stream.finish(), held)
    }

    fn texts() -> impl Strategy<Value = String> {
        let plain = prop_oneof![
            "[ -~]{0,30}",
            "[a-z]{1,8} ",
            "[0-9 .-]{0,24}",
            "\\PC{0,10}",
            Just("\n".to_owned()),
            Just("-----BEGIN ".to_owned()),
            Just("password = ".to_owned()),
            Just("![".to_owned()),
        ];
        let part = prop_oneof![2 => plain, 1 => proptest::sample::select(samples())];
        // A beginning of one, too: what looks like a hit and is none.
        let half = (part, any::<prop::sample::Index>(), any::<bool>()).prop_map(|(text, at, whole)| {
            let ends: Vec<usize> = text.char_indices().map(|(place, _)| place).chain([text.len()]).collect();
            if whole { text } else { text[..*at.get(&ends)].to_owned() }
        });
        prop::collection::vec(half, 0..8).prop_map(|parts| parts.concat())
    }

    #[test]
    fn each_sample_is_blotted_out_wherever_it_is_cut() {
        let redactor = redactor();
        for sample in samples() {
            let text = format!("Before, {sample} after.");
            let whole = at_once(&redactor, &text);
            assert!(!whole.contains(&sample), "{whole}");
            assert!(whole.starts_with("Before, ") && whole.ends_with(" after."), "{whole}");
            let letters = text.chars().count();
            assert_eq!(cut(&redactor, &text, std::iter::repeat(1)).0, whole);
            for first in 1..letters {
                // All pairs of cuts of the short ones, and each single cut of all.
                let seconds = if letters < 40 { first..letters } else { first..first + 1 };
                for second in seconds {
                    let sizes = [first, second - first, letters].into_iter().filter(|size| *size > 0);
                    assert_eq!(cut(&redactor, &text, sizes).0, whole, "{text:?} cut at {first} and {second}");
                }
            }
        }
    }

    #[test]
    fn plain_words_go_out_at_once() {
        let redactor = redactor();
        let mut stream = redactor.stream();
        let text = "The quick brown fox, as they say, jumps over 3 lazy dogs: it is 14:30 and all is well. ";
        for word in text.split_inclusive(' ') {
            stream.push(word);
            assert!(stream.held() <= 4, "{word}: {} held", stream.held());
        }
        let long = "word ".repeat(2_000) + &"x".repeat(20_000);
        let (out, held) = cut(&Redactor::of(Sensitive::ALL.into()), &long[..11_000], std::iter::repeat(100));
        assert_eq!(out.len(), 11_000);
        assert!(held <= 80, "{held}");
    }

    #[test]
    fn what_cannot_be_read_is_not_shown() {
        let mut stream = Stream { passes: None, withheld: false };
        assert_eq!([stream.push("a"), stream.push("b"), stream.finish()].concat(), "[text removed]");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn pieces_joined_are_the_redaction_of_the_whole(text in texts(), sizes in prop::collection::vec(1_usize..40, 1..40)) {
            let redactor = redactor();
            let whole = at_once(&redactor, &text);
            prop_assert!(!whole.contains(SECRET) && !whole.contains("hunter-two"));
            let (bytewise, held) = cut(&redactor, &text, std::iter::repeat(1));
            prop_assert!(held <= MOST);
            prop_assert_eq!(bytewise, whole.clone());
            prop_assert_eq!(cut(&redactor, &text, sizes.into_iter().cycle()).0, whole);
        }
    }
}

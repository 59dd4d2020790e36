//! The colours of terminals in lines of a log: read, so that they can be shown in the colours of the page, and taken out,
//! so that a text is found whatever its colours.

use std::borrow::Cow;

/// How a piece of a line looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Look {
    /// The colour of the letters, 0 to 7 as terminals number them.
    pub colour: Option<u8>,
    /// Heavy letters.
    pub bold: bool,
    /// Pale letters.
    pub dim: bool,
    /// Slanted letters.
    pub italic: bool,
    /// Underlined.
    pub underline: bool,
}

impl Look {
    /// Takes in the numbers of a sequence.
    fn take(&mut self, numbers: &str) {
        let mut numbers = numbers.split([';', ':']).map(|number| number.parse::<u16>().unwrap_or(0));
        while let Some(number) = numbers.next() {
            match number {
                0 => *self = Self::default(),
                1 => self.bold = true,
                2 => self.dim = true,
                3 => self.italic = true,
                4 => self.underline = true,
                22 => (self.bold, self.dim) = (false, false),
                23 => self.italic = false,
                24 => self.underline = false,
                30..=37 | 90..=97 => self.colour = u8::try_from(number % 10).ok(),
                39 => self.colour = None,
                // One of 256, or of all: the page has eight, and shows the first sixteen of them.
                38 | 48 => {
                    let (kind, first) = (numbers.next(), numbers.next());
                    if kind == Some(2) {
                        numbers.next();
                        numbers.next();
                    }
                    if number == 38 {
                        let named = first.filter(|first| kind == Some(5) && *first < 16);
                        self.colour = named.and_then(|first| u8::try_from(first % 8).ok());
                    }
                }
                _ => {}
            }
        }
    }
}

/// A line without its sequences, and from which byte of it on it looks how.
#[must_use]
pub fn read(text: &str) -> (Cow<'_, str>, Vec<(usize, Look)>) {
    let mut looks = vec![(0, Look::default())];
    if !text.contains('\u{1b}') {
        return (Cow::Borrowed(text), looks);
    }
    let mut plain = String::with_capacity(text.len());
    let mut look = Look::default();
    let mut pieces = text.split('\u{1b}');
    plain.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        let rest = match piece.as_bytes().first() {
            // A control sequence: numbers, and a letter that says what they mean.
            Some(b'[') => match piece.bytes().skip(1).position(|byte| (0x40..=0x7e).contains(&byte)) {
                Some(length) => {
                    if piece.as_bytes()[length + 1] == b'm' {
                        look.take(&piece[1..=length]);
                        looks.push((plain.len(), look));
                    }
                    &piece[length + 2..]
                }
                None => "",
            },
            // What is said to the terminal itself, such as its title, up to the bell or to the next sequence.
            Some(b']') => piece.split_once('\u{7}').map_or("", |(_, rest)| rest),
            // The end of that, or a sequence of one letter.
            Some(byte) if byte.is_ascii() => &piece[1..],
            _ => piece,
        };
        plain.push_str(rest);
    }
    (Cow::Owned(plain), looks)
}

/// A line without its sequences.
#[must_use]
pub fn plain(text: &str) -> Cow<'_, str> {
    read(text).0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_read_and_taken_out() {
        let (text, looks) = read("\u{1b}[32mok\u{1b}[0m order \u{1b}[1;2;91mA\u{1b}[m");
        assert_eq!(text, "ok order A");
        let green = Look { colour: Some(2), ..Look::default() };
        let red = Look { colour: Some(1), bold: true, dim: true, ..Look::default() };
        let none = Look::default();
        assert_eq!(looks, [(0, none), (0, green), (2, none), (9, red), (10, none)]);
        assert_eq!(read("\u{1b}[38;5;9;4mx").1[1].1, Look { colour: Some(1), underline: true, ..none });
        assert_eq!(read("\u{1b}[48;2;1;2;3;38;2;9;9;9;3mx").1[1].1, Look { italic: true, ..none });
    }

    #[test]
    fn no_sequence_however_broken_does_more_than_vanish() {
        for (text, is) in [
            ("plain", "plain"),
            ("\u{1b}", ""),
            ("a\u{1b}[", "a"),
            ("a\u{1b}[31", "a"),
            ("a\u{1b}[2Kb", "ab"),
            ("a\u{1b}]0;title\u{7}b", "ab"),
            ("a\u{1b}]0;title\u{1b}\\b", "ab"),
            ("a\u{1b}ä", "aä"),
            ("a\u{1b}[31;ä;mb", "ab"),
            ("\u{1b}[99999999999mx", "x"),
        ] {
            assert_eq!(plain(text), is, "{text:?}");
        }
    }
}

//! Arithmetic in text: numbers, + - * / % ^, brackets, and a few functions. A small recursive reader, bounded in depth,
//! that knows nothing else, so that no text can do more than calculate.

/// How deep brackets may nest.
const MAX_DEPTH: u32 = 64;

/// Works an expression out. The error is a sentence.
///
/// # Errors
/// When it is not an expression, or has no finite result.
pub fn evaluate(expression: &str) -> Result<f64, String> {
    let mut reader = Reader { text: expression, place: 0, depth: 0 };
    let value = reader.sum()?;
    reader.skip_spaces();
    if let Some(letter) = reader.peek() {
        return Err(format!("“{letter}” at place {} is not expected there.", reader.place + 1));
    }
    if value.is_finite() { Ok(rounded(value)) } else { Err("The result is not a finite number.".to_owned()) }
}

/// Without the noise in the last digits of binary fractions: 0.1 + 0.2 is 0.3.
fn rounded(value: f64) -> f64 {
    format!("{value:.14e}").parse().unwrap_or(value)
}

struct Reader<'t> {
    text: &'t str,
    place: usize,
    depth: u32,
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.text[self.place..].chars().next()
    }

    fn skip_spaces(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.advance();
        }
    }

    fn advance(&mut self) {
        self.place += self.peek().map_or(0, char::len_utf8);
    }

    fn take(&mut self, signs: &[char]) -> Option<char> {
        self.skip_spaces();
        let sign = self.peek().filter(|letter| signs.contains(letter))?;
        self.advance();
        Some(sign)
    }

    fn sum(&mut self) -> Result<f64, String> {
        let mut value = self.product()?;
        while let Some(sign) = self.take(&['+', '-', '−', '–']) {
            let next = self.product()?;
            value = if sign == '+' { value + next } else { value - next };
        }
        Ok(value)
    }

    fn product(&mut self) -> Result<f64, String> {
        let mut value = self.signed()?;
        while let Some(sign) = self.take(&['*', '×', '·', '/', '÷', ':', '%']) {
            let next = self.signed()?;
            if matches!(sign, '/' | '÷' | ':' | '%') && next == 0.0 {
                return Err("Division by zero has no result.".to_owned());
            }
            value = match sign {
                '/' | '÷' | ':' => value / next,
                '%' => value % next,
                _ => value * next,
            };
        }
        Ok(value)
    }

    fn signed(&mut self) -> Result<f64, String> {
        match self.take(&['-', '−', '+']) {
            Some('+') => self.deeper(Self::signed),
            Some(_) => Ok(-self.deeper(Self::signed)?),
            None => self.power(),
        }
    }

    fn power(&mut self) -> Result<f64, String> {
        let base = self.percent()?;
        if self.take(&['^']).is_some() || self.take_text("**") {
            let exponent = self.deeper(Self::signed)?;
            return Ok(base.powf(exponent));
        }
        Ok(base)
    }

    fn take_text(&mut self, sign: &str) -> bool {
        self.skip_spaces();
        let found = self.text[self.place..].starts_with(sign);
        if found {
            self.place += sign.len();
        }
        found
    }

    /// A value and a `%` after it that is not the operator: one with no operand behind.
    fn percent(&mut self) -> Result<f64, String> {
        let mut value = self.atom()?;
        loop {
            let before = self.place;
            if self.take(&['%']).is_none() {
                return Ok(value);
            }
            self.skip_spaces();
            if self.peek().is_some_and(|letter| letter.is_alphanumeric() || letter == '(' || letter == '.') {
                self.place = before;
                return Ok(value);
            }
            value /= 100.0;
        }
    }

    fn atom(&mut self) -> Result<f64, String> {
        self.skip_spaces();
        match self.peek() {
            Some('(') => {
                self.advance();
                let value = self.deeper(Self::sum)?;
                self.close()?;
                Ok(value)
            }
            Some(letter) if letter.is_ascii_digit() || letter == '.' => self.number(),
            Some(letter) if letter.is_ascii_alphabetic() => self.named(),
            Some('π') => {
                self.advance();
                Ok(std::f64::consts::PI)
            }
            Some(letter) => Err(format!("“{letter}” at place {} is not expected there.", self.place + 1)),
            None => Err("The expression is not complete.".to_owned()),
        }
    }

    fn close(&mut self) -> Result<(), String> {
        self.take(&[')']).map(drop).ok_or_else(|| "A bracket is not closed.".to_owned())
    }

    fn deeper(&mut self, read: fn(&mut Self) -> Result<f64, String>) -> Result<f64, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err("The expression nests too deep.".to_owned());
        }
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    /// Digits with `_` or thousands commas between, a point, an exponent.
    fn number(&mut self) -> Result<f64, String> {
        let rest = &self.text[self.place..];
        let bytes = rest.as_bytes();
        let digit = |place: usize| bytes.get(place).is_some_and(u8::is_ascii_digit);
        let mut end = 0;
        while let Some(byte) = bytes.get(end) {
            let thousands = *byte == b',' && (1..=3).all(|ahead| digit(end + ahead)) && !digit(end + 4);
            let exponent = matches!(byte, b'e' | b'E')
                && (digit(end + 1) || (matches!(bytes.get(end + 1), Some(b'+' | b'-')) && digit(end + 2)));
            if exponent {
                end += 2;
            } else if byte.is_ascii_digit() || matches!(byte, b'.' | b'_') || thousands {
                end += 1;
            } else {
                break;
            }
        }
        let text = &rest[..end];
        self.place += end;
        text.replace([',', '_'], "").parse().map_err(|_| format!("“{text}” is not a number."))
    }

    fn named(&mut self) -> Result<f64, String> {
        let rest = &self.text[self.place..];
        let end = rest.find(|letter: char| !letter.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let name = rest[..end].to_ascii_lowercase();
        self.place += end;
        match name.as_str() {
            "pi" => return Ok(std::f64::consts::PI),
            "e" => return Ok(std::f64::consts::E),
            _ => {}
        }
        if self.take(&['(']).is_none() {
            return Err(format!("“{name}” is not known here."));
        }
        let mut values = Vec::new();
        if self.take(&[')']).is_none() {
            loop {
                values.push(self.deeper(Self::sum)?);
                if self.take(&[',', ';']).is_none() {
                    break;
                }
            }
            self.close()?;
        }
        apply(&name, &values)
    }
}

fn apply(name: &str, values: &[f64]) -> Result<f64, String> {
    match (name, values) {
        ("abs", [value]) => Ok(value.abs()),
        ("ceil", [value]) => Ok(value.ceil()),
        ("floor", [value]) => Ok(value.floor()),
        ("round", [value]) => Ok(value.round()),
        ("round", [value, places]) if (0.0..=12.0).contains(places) => {
            let scale = 10_f64.powi(*places as i32);
            Ok((value * scale).round() / scale)
        }
        ("sqrt", [value]) => Ok(value.sqrt()),
        ("ln", [value]) => Ok(value.ln()),
        ("log" | "log10", [value]) => Ok(value.log10()),
        ("exp", [value]) => Ok(value.exp()),
        ("min", [_, ..]) => Ok(values.iter().copied().fold(f64::INFINITY, f64::min)),
        ("max", [_, ..]) => Ok(values.iter().copied().fold(f64::NEG_INFINITY, f64::max)),
        ("sum", _) => Ok(values.iter().sum()),
        ("avg" | "mean", [_, ..]) => Ok(values.iter().sum::<f64>() / values.len() as f64),
        (
            "abs" | "ceil" | "floor" | "round" | "sqrt" | "ln" | "log" | "log10" | "exp" | "min" | "max" | "avg"
            | "mean",
            _,
        ) => Err(format!("“{name}” does not take {} values.", values.len())),
        _ => Err(format!("There is no function “{name}”.")),
    }
}

#[cfg(test)]
mod tests {
    use super::evaluate;

    #[test]
    fn arithmetic_follows_the_usual_rules() {
        for (text, result) in [
            ("17*23", 391.0),
            ("1 + 2 * 3", 7.0),
            ("(1 + 2) * 3", 9.0),
            ("2 ^ 3 ^ 2", 512.0),
            ("2 ** 10", 1024.0),
            ("-2 ^ 2", -4.0),
            ("0.1 + 0.2", 0.3),
            ("1,240.50 + 1", 1241.5),
            ("1_000_000 / 4", 250_000.0),
            ("200 * 19%", 38.0),
            ("19% * 200", 38.0),
            ("10 % 3", 1.0),
            ("round(2.675, 1)", 2.7),
            ("max(1, 2; 3) − 1", 2.0),
            ("sum(1,2,3)", 6.0),
            ("sqrt(16) × 2", 8.0),
            ("1e3 + 1.5e-1", 1000.15),
            ("round(10 * pi, 1)", 31.4),
        ] {
            assert_eq!(evaluate(text), Ok(result), "{text}");
        }
    }

    #[test]
    fn what_is_no_arithmetic_is_refused_with_a_reason() {
        for text in [
            "",
            "1 +",
            "(1",
            "1)",
            "1 / 0",
            "1 % 0",
            "sqrt(-1)",
            "system(1)",
            "x",
            "1 2",
            "__import__('os')",
            "9^9^9^9",
            "1;2",
            "process.exit()",
            "abs(1,2)",
            "min()",
        ] {
            assert!(evaluate(text).is_err(), "{text}");
        }
        assert!(evaluate(&"(".repeat(100_000)).is_err());
        assert!(evaluate(&"-".repeat(100_000)).is_err());
        assert!(evaluate(&format!("1{}", "^1".repeat(500))).is_err());
    }
}

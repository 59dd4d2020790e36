//! A credential that was opened: put where the other side wants it, and known again where it shows.

use std::collections::BTreeMap;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use secrecy::{ExposeSecret, SecretString, zeroize::Zeroizing};
use url::Url;

use super::CredentialKind;
use crate::engine::state::{ErrorClass, StepError};

/// The shortest form that is looked for: a shorter one stands in texts by chance.
const SHORTEST_FORM: usize = 6;

/// An opened credential. Lives as long as the call.
#[derive(Debug)]
pub struct Opened {
    /// How it shows itself.
    pub kind: CredentialKind,
    /// What is not secret: `header` (its name), `parameter`, `username`.
    pub config: BTreeMap<String, String>,
    /// The secret itself.
    pub secret: SecretString,
}

impl Opened {
    /// Puts it into a request, in place of whatever stood there.
    ///
    /// # Errors
    /// `credentials.unusable`, where its kind does not go into a request, or a part of it has letters that cannot.
    pub fn authorize(&self, headers: &mut HeaderMap, url: &mut Url) -> Result<(), StepError> {
        match self.kind {
            CredentialKind::Bearer => {
                headers.insert(header::AUTHORIZATION, sensitive(&self.joined("Bearer "))?);
            }
            CredentialKind::Basic => {
                let value = Zeroizing::new(format!("Basic {}", *self.basic()));
                headers.insert(header::AUTHORIZATION, sensitive(&value)?);
            }
            CredentialKind::Header => {
                let name = HeaderName::try_from(self.detail()?).map_err(|_| unusable())?;
                headers.insert(name, sensitive(self.secret.expose_secret())?);
            }
            CredentialKind::Query => {
                let name = self.detail()?;
                let others: Vec<(String, String)> = url
                    .query_pairs()
                    .filter(|(key, _)| *key != *name)
                    .map(|(key, it)| (key.into(), it.into()))
                    .collect();
                url.query_pairs_mut().clear().extend_pairs(others).append_pair(name, self.secret.expose_secret());
            }
            CredentialKind::Model | CredentialKind::Postgres => return Err(unusable()),
        }
        Ok(())
    }

    /// What belongs to its kind and is not secret.
    fn detail(&self) -> Result<&str, StepError> {
        let name = self.kind.detail().ok_or_else(unusable)?;
        self.config.get(name).map(String::as_str).ok_or_else(unusable)
    }

    fn joined(&self, before: &str) -> Zeroizing<String> {
        Zeroizing::new([before, self.secret.expose_secret()].concat())
    }

    /// `user:password` in base64, as it is sent.
    fn basic(&self) -> Zeroizing<String> {
        let user = self.config.get("username").map_or("", String::as_str);
        Zeroizing::new(STANDARD.encode(self.joined(&format!("{user}:")).as_bytes()))
    }

    /// The secret in the forms that it may show itself in: as it is, as JSON and addresses write it, in hex and base64
    /// (by itself, and in the middle of something), backwards. The longest first, so that none is replaced in part.
    #[must_use]
    pub fn forms(&self) -> Vec<SecretString> {
        let mut forms = forms_of(self.secret.expose_secret());
        match self.kind {
            CredentialKind::Basic => forms.push(self.basic().to_string()),
            // Of a database's address the password is secret by itself.
            CredentialKind::Postgres => {
                let url = Url::parse(self.secret.expose_secret()).ok();
                if let Some(password) = url.as_ref().and_then(Url::password) {
                    forms.extend(forms_of(password));
                    forms.extend(
                        url::form_urlencoded::parse(password.replace('+', "%2B").as_bytes())
                            .next()
                            .iter()
                            .flat_map(|(plain, _)| forms_of(plain)),
                    );
                }
            }
            _ => {}
        }
        forms.retain(|form| form.len() >= SHORTEST_FORM);
        forms.sort_by(|one, other| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
        forms.dedup();
        forms.into_iter().map(SecretString::from).collect()
    }
}

/// The forms of one text.
fn forms_of(secret: &str) -> Vec<String> {
    let bytes = secret.as_bytes();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let json = serde_json::to_string(secret).unwrap_or_default();
    let encoded: String = url::form_urlencoded::byte_serialize(bytes).collect();
    let mut forms = vec![
        secret.to_owned(),
        json.trim_matches('"').to_owned(),
        encoded.replace('+', "%20"),
        encoded,
        hex.to_uppercase(),
        hex,
        secret.chars().rev().collect(),
    ];
    for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
        // In the middle of something it begins at one of three places; the letters at both ends then belong to its
        // neighbours as well.
        for before in 0..3_usize {
            let shifted = [&[0; 2][..before], bytes].concat();
            let text = engine.encode(&shifted);
            let whole = text.len() - usize::from(shifted.len() % 3 != 0);
            forms.push(text.get((before * 8).div_ceil(6)..whole).unwrap_or_default().to_owned());
        }
        forms.push(engine.encode(bytes));
    }
    forms
}

fn sensitive(text: &str) -> Result<HeaderValue, StepError> {
    let mut value = HeaderValue::try_from(text).map_err(|_| unusable())?;
    value.set_sensitive(true);
    Ok(value)
}

fn unusable() -> StepError {
    let message = "The credential does not fit into a request. Choose one of another kind, or replace its value.";
    StepError::new(ErrorClass::Auth, "credentials.unusable", message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn opened(kind: CredentialKind, detail: &str, secret: &str) -> Opened {
        let config = kind.detail().map(|name| (name.to_owned(), detail.to_owned())).into_iter().collect();
        Opened { kind, config, secret: SecretString::from(secret) }
    }

    fn authorized(opened: &Opened, url: &str) -> Result<(HeaderMap, String), StepError> {
        let (mut headers, mut url) = (HeaderMap::new(), Url::parse(url).expect("an address"));
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer of-the-model"));
        opened.authorize(&mut headers, &mut url)?;
        Ok((headers, url.into()))
    }

    #[test]
    fn each_kind_goes_where_it_belongs_and_takes_the_place_of_what_stood_there() {
        let address = "https://api.example.com/x?a=1&key=forged&b=2";
        let (headers, _) = authorized(&opened(CredentialKind::Bearer, "", "token-1"), address).expect("bearer");
        assert_eq!(headers[header::AUTHORIZATION], "Bearer token-1");
        assert!(headers[header::AUTHORIZATION].is_sensitive());
        let (headers, _) = authorized(&opened(CredentialKind::Basic, "ada", "pä:ss"), address).expect("basic");
        assert_eq!(headers[header::AUTHORIZATION], format!("Basic {}", STANDARD.encode("ada:pä:ss")));
        let (headers, _) = authorized(&opened(CredentialKind::Header, "X-Api-Key", "k-1"), address).expect("header");
        assert_eq!((headers["x-api-key"].as_bytes(), headers["x-api-key"].is_sensitive()), (&b"k-1"[..], true));
        let (_, url) = authorized(&opened(CredentialKind::Query, "key", "a b&c"), address).expect("query");
        assert_eq!(url, "https://api.example.com/x?a=1&b=2&key=a+b%26c");
        for kind in [CredentialKind::Model, CredentialKind::Postgres] {
            let refused = authorized(&opened(kind, "", "x"), address).expect_err("refused");
            assert_eq!(refused.code, "credentials.unusable");
        }
        assert!(authorized(&opened(CredentialKind::Bearer, "", "a\nb"), address).is_err());
    }

    #[test]
    fn an_opened_credential_is_known_again_in_every_form() {
        let opened = opened(CredentialKind::Basic, "ada", "p\"ss wörd/1");
        let forms: Vec<String> = opened.forms().iter().map(|form| form.expose_secret().to_owned()).collect();
        let wanted = ["p\"ss wörd/1", "p\\\"ss wörd/1", "p%22ss+w%C3%B6rd%2F1", "1/dröw ss\"p", "7022737320"];
        for wanted in wanted {
            assert!(forms.iter().any(|form| form.starts_with(wanted)), "{wanted}: {forms:?}");
        }
        assert!(forms.contains(&STANDARD.encode("ada:p\"ss wörd/1")));
        assert!(forms.is_sorted_by_key(|form| std::cmp::Reverse(form.len())));
        assert!(!format!("{opened:?}").contains("ss w"));
    }

    #[test]
    fn the_password_of_a_database_is_known_by_itself() {
        let opened = opened(CredentialKind::Postgres, "", "postgres://ada:hunter%2B22@db.example.com/crm");
        let forms = opened.forms();
        for wanted in ["hunter%2B22", "hunter+22"] {
            assert!(forms.iter().any(|form| form.expose_secret() == wanted), "{wanted}");
        }
    }

    proptest! {
        #[test]
        fn base64_of_anything_around_the_secret_has_one_of_its_forms(
            before in prop::collection::vec(any::<u8>(), 0..9),
            secret in "[a-zA-Z0-9_-]{12,40}",
            after in prop::collection::vec(any::<u8>(), 0..9),
        ) {
            let text = STANDARD.encode([before.as_slice(), secret.as_bytes(), after.as_slice()].concat());
            let forms = opened(CredentialKind::Bearer, "", &secret).forms();
            prop_assert!(forms.iter().any(|form| text.contains(form.expose_secret())));
        }
    }
}

//! A credential that was opened: put where the other side wants it, and known again where it shows.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderName, HeaderValue, header};
use secrecy::{ExposeSecret, SecretString, zeroize::Zeroizing};
use url::Url;

use super::{CredentialKind, rules::NOT_OURS};
use crate::engine::state::{ErrorClass, StepError};

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

/// What carries a credential in a request. It takes the place of whatever stands there.
#[derive(Debug, Clone)]
pub enum Carrier {
    /// A header.
    Header(HeaderName, HeaderValue),
    /// A parameter of the address.
    Parameter(String, SecretString),
}

impl Opened {
    /// What carries it in a request.
    ///
    /// # Errors
    /// `credentials.unusable`, where its kind does not go into a request, or a part of it has letters that cannot.
    pub fn carrier(&self) -> Result<Carrier, StepError> {
        Ok(match self.kind {
            CredentialKind::Bearer => Carrier::Header(header::AUTHORIZATION, sensitive(&self.joined("Bearer "))?),
            CredentialKind::Basic => {
                let value = Zeroizing::new(format!("Basic {}", *self.basic()));
                Carrier::Header(header::AUTHORIZATION, sensitive(&value)?)
            }
            CredentialKind::Header => {
                let name = HeaderName::try_from(self.detail()?).ok().filter(|name| !NOT_OURS.contains(name));
                Carrier::Header(name.ok_or_else(unusable)?, sensitive(self.secret.expose_secret())?)
            }
            CredentialKind::Query => Carrier::Parameter(self.detail()?.to_owned(), self.secret.clone()),
            CredentialKind::Model | CredentialKind::Postgres => return Err(unusable()),
        })
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

    /// The texts that are secret by themselves: the value, and what is made of it or stands in it.
    #[must_use]
    pub fn values(&self) -> Vec<SecretString> {
        let mut values = vec![self.secret.clone()];
        match self.kind {
            CredentialKind::Basic => values.push(SecretString::from(self.basic().to_string())),
            // Of a database's address the password, as it stands there and as it is meant.
            CredentialKind::Postgres => {
                let url = Url::parse(self.secret.expose_secret()).ok();
                if let Some(password) = url.as_ref().and_then(Url::password) {
                    values.push(SecretString::from(password.to_owned()));
                    let escaped = password.replace('+', "%2B");
                    let meant = url::form_urlencoded::parse(escaped.as_bytes()).next();
                    values.extend(meant.map(|(plain, _)| SecretString::from(plain.into_owned())));
                }
            }
            _ => {}
        }
        values
    }
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
    use super::*;

    fn opened(kind: CredentialKind, detail: &str, secret: &str) -> Opened {
        let config = kind.detail().map(|name| (name.to_owned(), detail.to_owned())).into_iter().collect();
        Opened { kind, config, secret: SecretString::from(secret) }
    }

    fn header_of(opened: &Opened) -> (HeaderName, HeaderValue) {
        match opened.carrier() {
            Ok(Carrier::Header(name, value)) => (name, value),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_kind_goes_where_it_belongs() {
        let (name, value) = header_of(&opened(CredentialKind::Bearer, "", "token-1"));
        assert_eq!(
            (name, value.as_bytes(), value.is_sensitive()),
            (header::AUTHORIZATION, &b"Bearer token-1"[..], true)
        );
        let (_, value) = header_of(&opened(CredentialKind::Basic, "ada", "pä:ss"));
        assert_eq!(value, format!("Basic {}", STANDARD.encode("ada:pä:ss")));
        let (name, value) = header_of(&opened(CredentialKind::Header, "X-Api-Key", "k-1"));
        assert_eq!((name.as_str(), value.as_bytes(), value.is_sensitive()), ("x-api-key", &b"k-1"[..], true));
        let query = opened(CredentialKind::Query, "key", "a b&c").carrier().expect("query");
        assert!(matches!(&query, Carrier::Parameter(name, value) if name == "key" && value.expose_secret() == "a b&c"));
        assert!(!format!("{query:?}").contains("a b&c"));
        for refused in [
            opened(CredentialKind::Model, "", "x"),
            opened(CredentialKind::Postgres, "", "x"),
            opened(CredentialKind::Header, "Host", "x"),
            opened(CredentialKind::Header, "", "x"),
            opened(CredentialKind::Bearer, "", "a\nb"),
        ] {
            assert_eq!(refused.carrier().expect_err("refused").code, "credentials.unusable", "{refused:?}");
        }
    }

    #[test]
    fn what_is_made_of_a_secret_is_secret_too() {
        let values = |opened: Opened| -> Vec<String> {
            opened.values().iter().map(|value| value.expose_secret().to_owned()).collect()
        };
        let basic = opened(CredentialKind::Basic, "ada", "p\"ss wörd/1");
        assert!(!format!("{basic:?}").contains("ss w"));
        assert_eq!(values(basic), ["p\"ss wörd/1".to_owned(), STANDARD.encode("ada:p\"ss wörd/1")]);
        let address = "postgres://ada:hunter%2B22@db.example.com/crm";
        let database = opened(CredentialKind::Postgres, "", address);
        assert_eq!(values(database), [address, "hunter%2B22", "hunter+22"]);
    }
}

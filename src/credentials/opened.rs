//! A credential that was opened: put where the other side wants it, and known again where it shows.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use secrecy::{ExposeSecret, SecretString, zeroize::Zeroizing};
use url::Url;

use super::CredentialKind;
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

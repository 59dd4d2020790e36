//! Credentials where they are used: joined in last, marked where a request is shown, and taken out of what comes back.

use http::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use url::Url;

use crate::{
    credentials::{Carrier, Opened},
    engine::state::StepError,
};

/// What stands where a credential's value would.
pub(crate) const MARK: &str = "[credential]";
/// Secrets that are shorter are not looked for in answers: they would be found by chance.
const SHORTEST: usize = 6;
/// An opened credential as a request carries it. It has no text form.
#[derive(Clone, Default)]
pub(crate) struct Access {
    /// The header that it is sent in.
    pub header: Option<(HeaderName, HeaderValue)>,
    /// The parameter of the address that it is sent in.
    parameter: Option<(String, SecretString)>,
    /// What of it must not come back: the secret itself first.
    secrets: Vec<SecretString>,
}

impl Access {
    /// The access that a credential gives.
    ///
    /// # Errors
    /// `credentials.unusable` where it cannot stand in a request.
    pub fn of(opened: &Opened) -> Result<Self, StepError> {
        let secrets = opened.values();
        Ok(match opened.carrier()? {
            Carrier::Header(name, value) => Self { header: Some((name, value)), parameter: None, secrets },
            Carrier::Parameter(name, value) => Self { header: None, parameter: Some((name, value)), secrets },
        })
    }

    /// The access of a program on this machine, which gets the secret as it is.
    pub fn for_a_program(opened: &Opened) -> Self {
        Self { secrets: opened.values(), ..Self::default() }
    }

    /// The secret as it is.
    pub fn secret(&self) -> Option<&str> {
        self.secrets.first().map(ExposeSecret::expose_secret)
    }

    /// Whether it is sent in the address.
    pub fn is_in_address(&self) -> bool {
        self.parameter.is_some()
    }

    /// Joins it in, over whatever stands in its place.
    pub fn join(&self, url: &mut Url, headers: &mut HeaderMap) {
        if let Some((name, value)) = &self.header {
            headers.insert(name.clone(), value.clone());
        }
        if let Some((name, value)) = &self.parameter {
            with_parameter(url, name, value.expose_secret());
        }
    }

    /// Marks its place in a request that is shown.
    pub fn mark(&self, url: &mut Url, headers: &mut HeaderMap) {
        if let Some((name, _)) = &self.header {
            headers.insert(name.clone(), HeaderValue::from_static(MARK));
        }
        if let Some((name, _)) = &self.parameter {
            with_parameter(url, name, MARK);
        }
    }

    /// A text without the secret, wherever it stands in it.
    pub fn conceal(&self, text: &str) -> String {
        let long = self.secrets.iter().map(ExposeSecret::expose_secret).filter(|secret| secret.len() >= SHORTEST);
        long.fold(text.to_owned(), |text, secret| text.replace(secret, MARK))
    }

    /// The same in all texts of a value.
    pub fn conceal_in(&self, value: &mut Value) {
        if self.secrets.is_empty() {
            return;
        }
        match value {
            Value::String(text) => *text = self.conceal(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.conceal_in(item)),
            Value::Object(fields) => fields.values_mut().for_each(|field| self.conceal_in(field)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

/// An address whose parameter of this name has this value and no other.
fn with_parameter(url: &mut Url, name: &str, value: &str) {
    let others: Vec<(String, String)> = url.query_pairs().into_owned().filter(|(other, _)| other != name).collect();
    url.query_pairs_mut().clear().extend_pairs(others).append_pair(name, value);
}

#[cfg(test)]
mod tests {
    use http::header;
    use serde_json::json;

    use super::*;
    use crate::credentials::CredentialKind;

    fn opened(kind: CredentialKind, config: &[(&str, &str)], secret: &str) -> Opened {
        let config = config.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Opened { kind, config, secret: secret.to_owned().into() }
    }

    fn sent(opened: &Opened) -> (String, HeaderMap, String) {
        let access = Access::of(opened).unwrap_or_else(|error| panic!("{}", error.message));
        let mut url = Url::parse("https://api.example.com/?key=mine&a=1").unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static("mine"));
        let (mut shown, mut shown_headers) = (url.clone(), headers.clone());
        access.join(&mut url, &mut headers);
        access.mark(&mut shown, &mut shown_headers);
        (url.into(), headers, format!("{shown} {shown_headers:?}"))
    }

    #[test]
    fn a_credential_takes_its_place_and_is_shown_nowhere() {
        for (opened, wanted) in [
            (opened(CredentialKind::Bearer, &[], "s3cret-value"), "Bearer s3cret-value"),
            (opened(CredentialKind::Basic, &[("username", "ana")], "s3cret-value"), "Basic YW5hOnMzY3JldC12YWx1ZQ=="),
        ] {
            let (_, headers, shown) = sent(&opened);
            assert_eq!(headers[header::AUTHORIZATION], wanted);
            assert!(shown.contains(MARK) && !shown.contains("s3cret") && !shown.contains("YW5h"), "{shown}");
        }
        let (_, headers, shown) = sent(&opened(CredentialKind::Header, &[("header", "X-Api-Key")], "s3cret-value"));
        assert_eq!(
            (&headers["x-api-key"], shown.contains("s3cret")),
            (&HeaderValue::from_static("s3cret-value"), false)
        );
        let (url, _, shown) = sent(&opened(CredentialKind::Query, &[("parameter", "key")], "s3cret&value"));
        assert_eq!(url, "https://api.example.com/?a=1&key=s3cret%26value");
        assert!(shown.contains("key=%5Bcredential%5D") && !shown.contains("s3cret"), "{shown}");
    }

    #[test]
    fn what_cannot_be_sent_is_refused() {
        for opened in [
            opened(CredentialKind::Postgres, &[], "x"),
            opened(CredentialKind::Model, &[], "x"),
            opened(CredentialKind::Header, &[("header", "Host")], "x"),
            opened(CredentialKind::Header, &[], "x"),
            opened(CredentialKind::Query, &[], "x"),
            opened(CredentialKind::Bearer, &[], "a\r\nHost: evil"),
        ] {
            assert!(Access::of(&opened).is_err(), "{:?}", opened.kind);
        }
    }

    #[test]
    fn a_secret_that_comes_back_is_taken_out() {
        let access = Access::of(&opened(CredentialKind::Bearer, &[], "s3cret-value"));
        let access = access.unwrap_or_else(|error| panic!("{}", error.message));
        let mut value = json!({ "echo": ["Bearer s3cret-value", 1] });
        access.conceal_in(&mut value);
        assert_eq!(value, json!({ "echo": ["Bearer [credential]", 1] }));
    }
}

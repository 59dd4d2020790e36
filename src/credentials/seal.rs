//! Sealing, and nothing else: no database, no settings.
//!
//! AES-256-GCM throughout. A sealed text is `1`, a random nonce of 12 bytes, and the ciphertext with its tag. What it
//! belongs to is authenticated with it, so a text that was moved to another place opens nowhere.

use std::fmt;

use aes_gcm::{
    Aes256Gcm, KeyInit,
    aead::{Aead, Generate, Nonce, Payload},
};
use base64::{
    Engine,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use secrecy::{ExposeSecret, SecretBox, SecretString, zeroize::Zeroizing};
use sha2::{Digest, Sha256};

use crate::kernel::{CredentialId, OrgId};

/// The form of what is sealed.
const FORM: u8 = 1;
const NONCE: usize = 12;
const KEY: usize = 32;

type KeyBytes = Zeroizing<[u8; KEY]>;

/// What is sealed does not open: another key, another place, or changed bytes. Deliberately without a reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CannotOpen;

/// The operator's key, which wraps the data keys of all organizations. Never stored by us.
#[derive(Clone)]
pub struct MasterKey {
    id: String,
    key: KeyBytes,
}

impl MasterKey {
    /// Reads a key: 32 random bytes in base64 or hex. The error is a sentence, to go on after the key's name.
    ///
    /// # Errors
    /// When it has another length, or is a text, one byte over and over, or some other example.
    pub fn parse(text: &str) -> Result<Self, String> {
        const REMEDY: &str = "Make one with: openssl rand -base64 32";
        let bytes = decode(text.trim())
            .filter(|bytes| bytes.len() == KEY)
            .ok_or_else(|| format!("must be 32 random bytes in base64 or hex. {REMEDY}"))?;
        let mut key = KeyBytes::default();
        key.copy_from_slice(&bytes);
        let step = key[1].wrapping_sub(key[0]);
        let counts = key.windows(2).all(|pair| pair[1].wrapping_sub(pair[0]) == step);
        let mut seen = [false; 256];
        key.iter().for_each(|byte| seen[usize::from(*byte)] = true);
        // Of 32 random bytes, fewer than half are different once in far more than the age of the world.
        let repeats = seen.iter().filter(|seen| **seen).count() < KEY / 2;
        let is_text = key.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ');
        if counts || repeats || is_text {
            return Err(format!("is not random: it is an example, or was typed. {REMEDY}"));
        }
        Ok(Self::from(key))
    }

    /// A new key.
    #[must_use]
    pub fn generate() -> Self {
        Self::from(Zeroizing::new(Generate::generate()))
    }

    /// Its fingerprint: tells keys apart, and says nothing of the key.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The key in base64, to be written into its file.
    #[must_use]
    pub fn export(&self) -> Zeroizing<String> {
        Zeroizing::new(base64::engine::general_purpose::STANDARD.encode(*self.key))
    }
}

impl From<KeyBytes> for MasterKey {
    fn from(key: KeyBytes) -> Self {
        let print = Sha256::new().chain_update(b"agentflow master key").chain_update(*key).finalize();
        Self { id: print.iter().take(8).map(|byte| format!("{byte:02x}")).collect(), key }
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MasterKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// 64 hexadecimal digits, else base64 of either alphabet, with or without its padding.
fn decode(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    if text.len() == 2 * KEY && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let pairs = text.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
        return pairs.collect::<Option<Vec<u8>>>().map(Zeroizing::new);
    }
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    [&base64::alphabet::STANDARD, &base64::alphabet::URL_SAFE]
        .into_iter()
        .find_map(|alphabet| GeneralPurpose::new(alphabet, config).decode(text).ok())
        .map(Zeroizing::new)
}

/// The master keys that this process has.
#[derive(Debug, Clone, Default)]
pub struct MasterKeys {
    /// The one that new data keys are wrapped under.
    pub current: Option<MasterKey>,
    /// Others that data keys may still be wrapped under, or already are.
    pub others: Vec<MasterKey>,
}

impl MasterKeys {
    /// The key with this fingerprint.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<&MasterKey> {
        self.current.iter().chain(&self.others).find(|key| key.id == id)
    }
}

/// What is sealed, to be authenticated with it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// The organization.
    pub org: OrgId,
    /// The credential.
    pub credential: CredentialId,
    /// Which of its fields.
    pub field: &'static str,
}

/// A key that credentials of an organization are sealed with.
pub(super) struct DataKey {
    org: OrgId,
    version: i32,
    key: KeyBytes,
}

impl DataKey {
    /// A new key.
    pub(super) fn generate(org: OrgId, version: i32) -> Self {
        Self { org, version, key: Zeroizing::new(Generate::generate()) }
    }

    pub(super) fn version(&self) -> i32 {
        self.version
    }

    /// The key under a master key.
    pub(super) fn wrap(&self, master: &MasterKey) -> Result<Vec<u8>, CannotOpen> {
        encrypt(&master.key, &Self::place(self.org, self.version, master), self.key.as_slice())
    }

    /// The key from under the master key that it was wrapped with.
    pub(super) fn unwrap(org: OrgId, version: i32, wrapped: &[u8], master: &MasterKey) -> Result<Self, CannotOpen> {
        let bytes = decrypt(&master.key, &Self::place(org, version, master), wrapped)?;
        if bytes.len() != KEY {
            return Err(CannotOpen);
        }
        let mut key = KeyBytes::default();
        key.copy_from_slice(&bytes);
        Ok(Self { org, version, key })
    }

    fn place(org: OrgId, version: i32, master: &MasterKey) -> Vec<u8> {
        let mut place = b"agentflow data key\0".to_vec();
        place.extend_from_slice(org.uuid().as_bytes());
        place.extend_from_slice(&version.to_be_bytes());
        place.extend_from_slice(master.id.as_bytes());
        place
    }

    /// Seals a text into its place.
    pub(super) fn seal(&self, place: Place, text: &SecretString) -> Result<Vec<u8>, CannotOpen> {
        encrypt(&self.key, &self.inside(place), text.expose_secret().as_bytes())
    }

    /// Opens what was sealed into this place.
    pub(super) fn open(&self, place: Place, sealed: &[u8]) -> Result<SecretString, CannotOpen> {
        let bytes = decrypt(&self.key, &self.inside(place), sealed)?;
        let text: Box<str> = std::str::from_utf8(&bytes).map_err(|_| CannotOpen)?.into();
        Ok(SecretBox::new(text))
    }

    /// All parts have a fixed length but the last one.
    fn inside(&self, place: Place) -> Vec<u8> {
        let mut inside = b"agentflow credential\0".to_vec();
        inside.extend_from_slice(place.org.uuid().as_bytes());
        inside.extend_from_slice(place.credential.uuid().as_bytes());
        inside.extend_from_slice(&self.version.to_be_bytes());
        inside.extend_from_slice(place.field.as_bytes());
        inside
    }
}

fn encrypt(key: &KeyBytes, aad: &[u8], msg: &[u8]) -> Result<Vec<u8>, CannotOpen> {
    let nonce = Nonce::<Aes256Gcm>::generate();
    let text = Aes256Gcm::new((&**key).into()).encrypt(&nonce, Payload { msg, aad }).map_err(|_| CannotOpen)?;
    Ok([&[FORM], nonce.as_slice(), &text].concat())
}

fn decrypt(key: &KeyBytes, aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, CannotOpen> {
    let (form, rest) = sealed.split_first().ok_or(CannotOpen)?;
    let (nonce, msg) = rest.split_at_checked(NONCE).filter(|_| *form == FORM).ok_or(CannotOpen)?;
    let nonce = Nonce::<Aes256Gcm>::try_from(nonce).map_err(|_| CannotOpen)?;
    let text = Aes256Gcm::new((&**key).into()).decrypt(&nonce, Payload { msg, aad });
    text.map(Zeroizing::new).map_err(|_| CannotOpen)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn place() -> Place {
        Place { org: OrgId::new(), credential: CredentialId::new(), field: "value" }
    }

    #[test]
    fn a_master_key_is_32_random_bytes_in_base64_or_hex() {
        let key = MasterKey::generate();
        let base64 = key.export();
        let hex: String = key.key.iter().map(|byte| format!("{byte:02X}")).collect();
        let url_safe = base64.replace('+', "-").replace('/', "_");
        for text in [&*base64, &format!(" {}\n", *base64), base64.trim_end_matches('='), &url_safe, &hex] {
            assert_eq!(MasterKey::parse(text).map(|parsed| parsed.id).as_deref(), Ok(key.id()), "{text}");
        }
        assert_ne!(key.id(), MasterKey::generate().id());
        assert!(!format!("{key:?}").contains(&base64[..8]));
    }

    #[test]
    fn short_keys_texts_and_examples_are_refused() {
        use base64::engine::general_purpose::STANDARD;
        let counting: Vec<u8> = (0..32).collect();
        let halves: Vec<u8> = (0..32).map(|at| [0xde, 0xad, 0xbe, 0xef][at % 4]).collect();
        let long: Vec<u8> = (0..33).map(|at| (at * 37 % 251) as u8).collect();
        for bytes in [&[0; 32][..], &[0xff; 32], &counting, &halves, &long, &long[..31], b"", b"short"] {
            assert!(MasterKey::parse(&STANDARD.encode(bytes)).is_err(), "{bytes:?}");
        }
        assert!(MasterKey::parse(&STANDARD.encode(b"change-me-change-me-change-me-12")).is_err());
        for text in ["", "changeme", "AGENTFLOW_MASTER_KEY", &"0".repeat(64), &"ab".repeat(32), "0123456789abcdef"] {
            let refused = MasterKey::parse(text).expect_err("refused");
            assert!(refused.contains("openssl rand"), "{refused}");
        }
    }

    #[test]
    fn a_data_key_comes_out_under_its_own_master_key_organization_and_version_alone() {
        let (master, other) = (MasterKey::generate(), MasterKey::generate());
        let org = OrgId::new();
        let key = DataKey::generate(org, 2);
        let wrapped = key.wrap(&master).expect("wrapped");
        let again = DataKey::unwrap(org, 2, &wrapped, &master).expect("unwrapped");
        assert_eq!(*again.key, *key.key);
        assert!(DataKey::unwrap(org, 2, &wrapped, &other).is_err());
        assert!(DataKey::unwrap(org, 1, &wrapped, &master).is_err());
        assert!(DataKey::unwrap(OrgId::new(), 2, &wrapped, &master).is_err());
        assert!(DataKey::unwrap(org, 2, &[], &master).is_err());
    }

    #[test]
    fn what_is_sealed_opens_in_its_place_alone() {
        let (place, text) = (place(), SecretString::from("s3cret"));
        let key = DataKey::generate(place.org, 1);
        let sealed = key.seal(place, &text).expect("sealed");
        assert_eq!(key.open(place, &sealed).expect("opened").expose_secret(), "s3cret");
        assert_ne!(key.seal(place, &text).expect("sealed"), sealed, "the same text twice has other bytes");
        let elsewhere = [
            Place { org: OrgId::new(), ..place },
            Place { credential: CredentialId::new(), ..place },
            Place { field: "values", ..place },
            Place { field: "", ..place },
        ];
        for place in elsewhere {
            assert_eq!(key.open(place, &sealed).err(), Some(CannotOpen), "{place:?}");
        }
        let newer = DataKey { version: 2, key: key.key.clone(), ..key };
        assert!(newer.open(place, &sealed).is_err());
    }

    proptest! {
        #[test]
        fn any_text_comes_back_and_no_changed_byte_is_overlooked(text: String, at: usize, bit in 0_u8..8) {
            let place = place();
            let key = DataKey::generate(place.org, 1);
            let mut sealed = key.seal(place, &SecretString::from(text.clone())).expect("sealed");
            let opened = key.open(place, &sealed).expect("opened");
            prop_assert_eq!(opened.expose_secret(), text.as_str());
            let at = at % sealed.len();
            sealed[at] ^= 1 << bit;
            prop_assert!(key.open(place, &sealed).is_err());
            prop_assert!(key.open(place, &sealed[..at]).is_err());
        }

        #[test]
        fn nothing_that_is_typed_as_a_key_breaks(text: String) {
            prop_assert!(MasterKey::parse(&text).is_err() || text.trim().len() >= 43);
        }
    }
}

//! How a request proves who sent it: an HMAC-SHA1 over its fields and its body.
//!
//! Source: RocketMQ 5.3.3 `auth/authentication/builder/DefaultAuthenticationContextBuilder`,
//! `acl/common/{AclSigner, AclUtils}`; the same since 4.4.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

use super::command::RemotingCommand;

/// The field with the user's name.
pub const ACCESS_KEY: &str = "AccessKey";
/// The field with the signature, in Base64.
pub const SIGNATURE: &str = "Signature";
/// Added by clients to a query by unique key, up to 4.9.3 after they had signed.
const UNIQUE_KEY_QUERY: &str = "_UNIQUE_KEY_QUERY";
/// The last release that did so, 4.9.3.
const SIGNED_BEFORE: i32 = 399;

/// A user's name and secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user's name.
    pub access_key: String,
    /// The key that requests are signed with.
    pub secret_key: String,
}

impl Credentials {
    /// Joins the two.
    pub fn new(access_key: impl Into<String>, secret_key: impl Into<String>) -> Self {
        Self { access_key: access_key.into(), secret_key: secret_key.into() }
    }
}

/// A secret belongs into no log.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("access_key", &self.access_key).finish_non_exhaustive()
    }
}

/// Adds the user's name and the signature. Nothing may be changed or added afterwards.
pub fn sign(request: &mut RemotingCommand, by: &Credentials) {
    request.ext_fields.push(ACCESS_KEY, &by.access_key);
    if let Some(mac) = mac(request, &by.secret_key) {
        let signature = BASE64_STANDARD.encode(mac.finalize().into_bytes());
        request.ext_fields.push(SIGNATURE, &signature);
    }
}

/// Whether a request was signed with this secret key. Takes as long for every wrong signature.
pub fn is_signed_with(request: &RemotingCommand, secret_key: &str) -> bool {
    let signature = request.ext_fields.get(SIGNATURE).unwrap_or_default();
    let Ok(code) = BASE64_STANDARD.decode(signature) else { return false };
    mac(request, secret_key).is_some_and(|mac| mac.verify_slice(&code).is_ok())
}

/// Over the values of all fields but the signature in the order of their names, then the body. Every
/// key does, so there always is one.
fn mac(request: &RemotingCommand, secret_key: &str) -> Option<Hmac<Sha1>> {
    let is_signed = |name: &str| {
        name != SIGNATURE && !(name == UNIQUE_KEY_QUERY && request.version <= SIGNED_BEFORE)
    };
    // Java orders by UTF-16 units; names are ASCII. The last of two of one name counts.
    let fields: BTreeMap<&str, &str> =
        request.ext_fields.iter().filter(|(name, _)| is_signed(name)).collect();
    let mut mac = Hmac::<Sha1>::new_from_slice(secret_key.as_bytes()).ok()?;
    fields.values().for_each(|value| mac.update(value.as_bytes()));
    mac.update(&request.body);
    Some(mac)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::code::RequestCode;

    fn request() -> RemotingCommand {
        let mut request =
            RemotingCommand::request(RequestCode::SEND_MESSAGE_V2, &()).with_body(&b"hi"[..]);
        for (name, value) in [
            ("a", "pg"),
            ("b", "T"),
            ("c", "TBW102"),
            ("d", "4"),
            ("e", "0"),
            ("f", "0"),
            ("g", "1"),
            ("h", "0"),
            ("i", "k\u{1}v\u{2}"),
            ("j", "0"),
            ("k", "false"),
            ("m", "false"),
            ("n", "broker-a"),
        ] {
            request.ext_fields.push(name, value);
        }
        request
    }

    #[test]
    fn a_signature_is_apaches() {
        let mut request = request();
        sign(&mut request, &Credentials::new("ak", "sk"));
        assert_eq!(request.ext_fields.get(SIGNATURE), Some("3NHs5laNKWO2W6tCFbCtQLIF3/Y="));
        assert!(is_signed_with(&request, "sk"));
    }

    #[test]
    fn a_secret_is_not_shown() {
        let shown = format!("{:?}", Credentials::new("anna", "hidden"));
        assert!(shown.contains("anna") && !shown.contains("hidden"), "{shown}");
    }

    #[test]
    fn whatever_is_changed_breaks_it() {
        let signed = || {
            let mut request = request();
            sign(&mut request, &Credentials::new("ak", "sk"));
            request
        };
        assert!(!is_signed_with(&signed(), "other"));
        assert!(!is_signed_with(&signed(), ""));
        assert!(!is_signed_with(&request(), "sk"));
        let mut changed = signed();
        changed.ext_fields.push("z", "added");
        assert!(!is_signed_with(&changed, "sk"));
        assert!(!is_signed_with(&signed().with_body(&b"ho"[..]), "sk"));
        let mut garbled = request();
        garbled.ext_fields.push(SIGNATURE, "no base64!");
        assert!(!is_signed_with(&garbled, "sk"));
    }

    #[test]
    fn old_clients_add_one_field_after_signing() {
        let mut request = request();
        sign(&mut request, &Credentials::new("ak", "sk"));
        request.ext_fields.push(UNIQUE_KEY_QUERY, "true");
        assert!(!is_signed_with(&request, "sk"));
        request.version = SIGNED_BEFORE;
        assert!(is_signed_with(&request, "sk"));
    }
}

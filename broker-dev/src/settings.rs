//! Tables of settings: each entry gives a setting its field, type, default, name and meaning;
//! reading, printing and the hint for a misspelt name all come from it.

use crate::config::ELSEWHERE;

/// A setting that cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// No setting has this name.
    #[error("there is no setting `{key}`{}", nearest.map(|near| format!(": did you mean `{near}`?")).unwrap_or_default())]
    UnknownKey {
        /// The name as given.
        key: String,
        /// The known name that looks most like it.
        nearest: Option<&'static str>,
    },
    /// A setting of RocketMQ's that is given to this broker in another way.
    #[error("`{key}` is set by {by}")]
    SetElsewhere {
        /// The name as given.
        key: &'static str,
        /// What sets it here.
        by: &'static str,
    },
    /// The text is no value of the setting's type.
    #[error("`{key}` should be {expected}, but is `{found}`")]
    BadValue {
        /// The setting's name.
        key: &'static str,
        /// What it can be, in words.
        expected: &'static str,
        /// The text as given.
        found: String,
    },
    /// Not of the form `name=value`.
    #[error("`{0}` is not of the form name=value")]
    NotAPair(String),
}

/// A type that a setting can have.
pub(crate) trait Value: Sized {
    const EXPECTED: &'static str;
    fn parse(text: &str) -> Option<Self>;
    fn print(&self) -> String;
}

/// Declares a struct of settings: `/// what` `field: Type = default, "name";`.
macro_rules! settings {
    (
        $(#[doc = $what:literal])+ $config:ident
        $($(#[doc = $doc:literal])+ $field:ident: $type:ty = $default:expr, $key:literal;)+
    ) => {
        $(#[doc = $what])+
        #[derive(Debug, Clone, PartialEq)]
        #[non_exhaustive]
        pub struct $config {
            $($(#[doc = $doc])+ #[doc = ""] #[doc = concat!("RocketMQ's name: `", $key, "`.")] pub $field: $type,)+
        }

        impl Default for $config {
            fn default() -> Self {
                Self { $($field: $default,)+ }
            }
        }

        impl $config {
            /// The names of all settings.
            pub const KEYS: &'static [&'static str] = &[$($key,)+];

            /// Sets one value by its RocketMQ name.
            ///
            /// # Errors
            /// Unknown names, with the nearest known one, and texts that are no such value.
            pub fn set(&mut self, key: &str, value: &str) -> Result<(), crate::ConfigError> {
                let value = value.trim();
                match key.trim() {
                    $($key => {
                        let parsed = <$type as crate::settings::Value>::parse(value);
                        self.$field = parsed.ok_or(crate::ConfigError::BadValue {
                            key: $key,
                            expected: <$type as crate::settings::Value>::EXPECTED,
                            found: value.to_owned(),
                        })?;
                    })+
                    unknown => return Err(crate::settings::unknown_key(unknown, Self::KEYS)),
                }
                Ok(())
            }

            /// Sets one value from `name=value`.
            ///
            /// # Errors
            /// As [`set`](Self::set), and text without `=`.
            pub fn set_pair(&mut self, pair: &str) -> Result<(), crate::ConfigError> {
                let split = pair.split_once('=');
                let (key, value) =
                    split.ok_or_else(|| crate::ConfigError::NotAPair(pair.to_owned()))?;
                self.set(key, value)
            }

            /// Every setting as its RocketMQ name and its value as text, in the order of the names.
            pub fn entries(&self) -> Vec<(&'static str, String)> {
                let mut entries = vec![$(($key, crate::settings::Value::print(&self.$field)),)+];
                entries.sort_unstable_by_key(|(key, _)| *key);
                entries
            }
        }
    };
}
pub(crate) use settings;

/// The error for a name that is not among `keys`.
pub fn unknown_key(key: &str, keys: &[&'static str]) -> ConfigError {
    if let Some((key, by)) = ELSEWHERE.iter().find(|(known, _)| known.eq_ignore_ascii_case(key)) {
        return ConfigError::SetElsewhere { key, by };
    }
    ConfigError::UnknownKey { key: key.to_owned(), nearest: nearest(key, keys) }
}

/// The name that looks most like `key`, if one looks like it at all.
fn nearest(key: &str, keys: &[&'static str]) -> Option<&'static str> {
    let key = key.to_lowercase();
    keys.iter()
        .map(|known| (strsim::damerau_levenshtein(&key, &known.to_lowercase()), *known))
        .min()
        .filter(|(distance, known)| *distance * 2 <= known.len())
        .map(|(_, known)| known)
}

//! What can be wrong with bytes.

/// Bytes that are not what RocketMQ's formats allow.
///
/// Input that is merely incomplete is not an error: readers answer `Ok(None)` and consume nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// A length says more than the limit allows; nothing was allocated for it.
    #[error("{what} is {length} bytes long, the limit is {limit}")]
    TooLarge {
        /// What the length belongs to.
        what: &'static str,
        /// The length as stated by the peer, bytes.
        length: u64,
        /// The largest length accepted, bytes.
        limit: u64,
    },
    /// A length contradicts the bytes around it.
    #[error("{what}: length {length} does not fit into the {available} bytes there are")]
    BadLength {
        /// What the length belongs to.
        what: &'static str,
        /// The length as stated, bytes.
        length: i64,
        /// The bytes that are there.
        available: u64,
    },
    /// A number that names a format is none that we know.
    #[error("{what}: unknown value {value:#x}")]
    UnknownFormat {
        /// What the number should name.
        what: &'static str,
        /// The number found.
        value: u32,
    },
    /// Text that is not UTF-8.
    #[error("{what} is not UTF-8")]
    NotUtf8 {
        /// What the text is.
        what: &'static str,
    },
    /// JSON that cannot be read, even with fastjson's liberties.
    #[error("{what}: bad JSON at byte {position}: {reason}")]
    BadJson {
        /// Which JSON text.
        what: &'static str,
        /// Byte offset of the first byte that does not fit.
        position: usize,
        /// What was expected.
        reason: String,
    },
    /// A field that a header must carry is missing.
    #[error("the field `{name}` is missing")]
    MissingField {
        /// The field's name on the wire.
        name: &'static str,
    },
    /// A field's text is not what its type allows.
    #[error("the field `{name}` should be {expected}, but is `{found}`")]
    BadField {
        /// The field's name on the wire.
        name: &'static str,
        /// The expected type in words.
        expected: &'static str,
        /// The text found, shortened.
        found: String,
    },
    /// A checksum does not match.
    #[error("{what}: CRC is {found:#010x}, should be {expected:#010x}")]
    BadCrc {
        /// What was checked.
        what: &'static str,
        /// The CRC stored or sent.
        expected: u32,
        /// The CRC of the bytes found.
        found: u32,
    },
    /// A compressed body that does not decompress within the limit.
    #[error("the body does not decompress: {reason}")]
    BadCompression {
        /// The decompressor's words.
        reason: String,
    },
}

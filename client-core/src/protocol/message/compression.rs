//! Compressed bodies. Producers compress, consumers decompress; a broker only passes bodies on.
//!
//! Source: RocketMQ 5.3.3 `common/compression`, `common/sysflag/MessageSysFlag`.

use std::io::{Read, Write};

use bytes::Bytes;

use super::sys_flag;
use crate::protocol::DecodeError;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CompressionType {
    /// RFC 1950, understood by every client. The default.
    #[default]
    Zlib,
    /// LZ4 frames; Java clients from 4.9.4 on.
    Lz4,
    /// Zstandard frames; Java clients from 4.9.4 on.
    Zstd,
}

impl CompressionType {
    /// The type that a `sysFlag` names; `None` if the body is not compressed.
    ///
    /// # Errors
    /// [`DecodeError::UnknownFormat`] for a type that RocketMQ has not defined.
    pub fn from_sys_flag(flags: i32) -> Result<Option<Self>, DecodeError> {
        if flags & sys_flag::COMPRESSED == 0 {
            return Ok(None);
        }
        match flags & sys_flag::COMPRESSION_MASK {
            // Clients before 4.9.4 set no type.
            0 | 0x300 => Ok(Some(Self::Zlib)),
            0x100 => Ok(Some(Self::Lz4)),
            0x200 => Ok(Some(Self::Zstd)),
            other => Err(DecodeError::UnknownFormat {
                what: "a compression type",
                value: other.unsigned_abs(),
            }),
        }
    }

    /// The bits that say "compressed, in this way".
    pub const fn to_sys_flag(self) -> i32 {
        sys_flag::COMPRESSED
            | match self {
                Self::Zlib => 0x300,
                Self::Lz4 => 0x100,
                Self::Zstd => 0x200,
            }
    }

    /// Compresses a body. `level` is zlib's or zstd's; LZ4 has none.
    ///
    /// # Errors
    /// The compressor's own.
    pub fn compress(self, body: &[u8], level: i32) -> std::io::Result<Bytes> {
        let out = Vec::with_capacity(body.len() / 2);
        let out = match self {
            Self::Zlib => {
                let level = flate2::Compression::new(level.clamp(0, 9).unsigned_abs());
                let mut encoder = flate2::write::ZlibEncoder::new(out, level);
                encoder.write_all(body)?;
                encoder.finish()?
            }
            Self::Lz4 => {
                let mut encoder = lz4_flex::frame::FrameEncoder::new(out);
                encoder.write_all(body)?;
                encoder.finish().map_err(std::io::Error::other)?
            }
            Self::Zstd => zstd::stream::encode_all(body, level)?,
        };
        Ok(out.into())
    }

    /// Decompresses a body that may become at most `limit` bytes; memory grows with what is
    /// really there, never with what the input claims.
    ///
    /// # Errors
    /// [`DecodeError::BadCompression`], or [`DecodeError::TooLarge`] past the limit.
    pub fn decompress(self, body: &[u8], limit: usize) -> Result<Bytes, DecodeError> {
        let bad = |error: std::io::Error| DecodeError::BadCompression { reason: error.to_string() };
        let mut out = Vec::with_capacity(body.len().saturating_mul(2).min(limit));
        let most = limit as u64 + 1;
        match self {
            Self::Zlib => flate2::read::ZlibDecoder::new(body).take(most).read_to_end(&mut out),
            Self::Lz4 => lz4_flex::frame::FrameDecoder::new(body).take(most).read_to_end(&mut out),
            Self::Zstd => zstd::stream::read::Decoder::new(body)
                .map_err(bad)?
                .take(most)
                .read_to_end(&mut out),
        }
        .map_err(bad)?;
        if out.len() > limit {
            return Err(DecodeError::TooLarge {
                what: "a decompressed body",
                length: out.len() as u64,
                limit: limit as u64,
            });
        }
        Ok(out.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [CompressionType; 3] =
        [CompressionType::Zlib, CompressionType::Lz4, CompressionType::Zstd];

    #[test]
    fn every_type_gives_the_body_back_and_keeps_the_limit() {
        let body = b"RocketMQ ".repeat(500);
        for kind in ALL {
            let small = kind.compress(&body, 5).unwrap();
            assert!(small.len() < body.len() / 2, "{kind:?}");
            assert_eq!(kind.decompress(&small, body.len()).unwrap(), body);
            let bomb = kind.decompress(&small, body.len() - 1);
            assert!(matches!(bomb, Err(DecodeError::TooLarge { .. })), "{kind:?}");
            assert_eq!(CompressionType::from_sys_flag(kind.to_sys_flag()), Ok(Some(kind)));
        }
    }

    #[test]
    fn garbage_is_an_error() {
        for kind in ALL {
            let outcome = kind.decompress(b"this is not compressed", 1 << 20);
            assert!(matches!(outcome, Err(DecodeError::BadCompression { .. })), "{kind:?}");
        }
    }

    #[test]
    fn old_clients_mean_zlib() {
        assert_eq!(CompressionType::from_sys_flag(0x1), Ok(Some(CompressionType::Zlib)));
        assert_eq!(CompressionType::from_sys_flag(0x300), Ok(None));
        assert!(CompressionType::from_sys_flag(0x701).is_err());
    }
}

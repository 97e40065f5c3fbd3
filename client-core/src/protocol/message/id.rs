//! Message ids.
//!
//! Two kinds: the *unique key* that the producer makes (property `UNIQ_KEY`, the id that people
//! quote) and the *offset message id* that says where a broker keeps the message.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The offset message id: upper-case hex of the store's address (4 or 16 bytes), its port (4) and
/// the commit-log offset (8); 32 or 56 digits.
///
/// Source: RocketMQ 5.3.3 `common/message/MessageDecoder.createMessageId`.
pub fn offset_message_id(store_host: SocketAddr, physical_offset: i64) -> String {
    let mut id = String::with_capacity(56);
    let result = match store_host.ip() {
        IpAddr::V4(ip) => write!(id, "{:08X}", ip.to_bits()),
        IpAddr::V6(ip) => write!(id, "{:032X}", ip.to_bits()),
    };
    debug_assert!(result.is_ok(), "writing to a String does not fail");
    let _ = write!(id, "{:08X}{physical_offset:016X}", store_host.port());
    id
}

/// Takes an offset message id apart: the broker's address and the commit-log offset. `None` if the
/// text is none.
pub fn parse_offset_message_id(id: &str) -> Option<(SocketAddr, i64)> {
    if !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let (ip, rest) = match id.len() {
        32 => {
            let (ip, rest) = id.split_at_checked(8)?;
            (IpAddr::from(Ipv4Addr::from_bits(u32::from_str_radix(ip, 16).ok()?)), rest)
        }
        56 => {
            let (ip, rest) = id.split_at_checked(32)?;
            (IpAddr::from(Ipv6Addr::from_bits(u128::from_str_radix(ip, 16).ok()?)), rest)
        }
        _ => return None,
    };
    let (port, offset) = rest.split_at_checked(8)?;
    let port = u16::try_from(u32::from_str_radix(port, 16).ok()?).ok()?;
    let offset = i64::try_from(u64::from_str_radix(offset, 16).ok()?).ok()?;
    Some((SocketAddr::new(ip, port), offset))
}

/// Makes unique keys: 32 upper-case hex digits, 12 bytes of which are random for each generator
/// and 4 count up.
///
/// Differs: Java builds them from address, process id, class loader, time of the month and a
/// 16-bit counter, which containers that share address and process id can repeat. Nothing reads
/// those parts but Java's own tools.
#[derive(Debug)]
pub struct UniqueKeys {
    prefix: [u32; 3],
    next: std::sync::atomic::AtomicU32,
}

impl UniqueKeys {
    /// A generator; `entropy` must differ between generators.
    pub fn new(entropy: [u32; 3], first: u32) -> Self {
        Self { prefix: entropy, next: first.into() }
    }

    /// The next key.
    pub fn next(&self) -> String {
        let count = self.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let [a, b, c] = self.prefix;
        format!("{a:08X}{b:08X}{c:08X}{count:08X}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offset_ids_are_apaches() {
        let id = offset_message_id(([10, 0, 0, 1], 10911).into(), 1234);
        assert_eq!(id, "0A00000100002A9F00000000000004D2");
        assert_eq!(parse_offset_message_id(&id), Some((([10, 0, 0, 1], 10911).into(), 1234)));
        let v6 = "[2001:db8::1]:10911".parse().unwrap();
        assert_eq!(parse_offset_message_id(&offset_message_id(v6, 7)), Some((v6, 7)));
        for bad in ["", "0A00000100002A9F00000000000004D", "+A00000100002A9F00000000000004D2"] {
            assert_eq!(parse_offset_message_id(bad), None);
        }
    }

    #[test]
    fn unique_keys_differ() {
        let keys = UniqueKeys::new([1, 2, 3], u32::MAX);
        assert_eq!(keys.next(), "000000010000000200000003FFFFFFFF");
        assert_eq!(keys.next(), "00000001000000020000000300000000");
    }
}

//! Bits of a message's `sysFlag`.
//!
//! Source: RocketMQ 5.3.3 `common/sysflag/MessageSysFlag`.

/// The producer compressed the body; see [`super::compression`].
pub const COMPRESSED: i32 = 0x1;
/// The topic's filter type is `MULTI_TAG`.
pub const MULTI_TAGS: i32 = 0x2;
/// Mask of the transaction type; 0 means none.
pub const TRANSACTION_MASK: i32 = 0xC;
/// A half message.
pub const TRANSACTION_PREPARED: i32 = 0x4;
/// A committed transaction message.
pub const TRANSACTION_COMMIT: i32 = 0x8;
/// A rolled-back transaction message.
pub const TRANSACTION_ROLLBACK: i32 = 0xC;
/// `bornHost` holds an IPv6 address.
pub const BORN_HOST_V6: i32 = 0x10;
/// `storeHost` holds an IPv6 address.
pub const STORE_HOST_V6: i32 = 0x20;
/// An inner batch that the client must unwrap.
pub const NEED_UNWRAP: i32 = 0x40;
/// The record is an inner batch.
pub const INNER_BATCH: i32 = 0x80;
/// Mask of the compression type.
pub const COMPRESSION_MASK: i32 = 0x700;

/// Whether a record of this `sysFlag` takes a place in a consume queue: ordinary and committed
/// ones do, half messages and roll-backs do not.
pub const fn is_queued(sys_flag: i32) -> bool {
    matches!(sys_flag & TRANSACTION_MASK, 0 | TRANSACTION_COMMIT)
}

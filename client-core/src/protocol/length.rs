//! Lengths as the wire writes them.
//!
//! Writers check their limits first; what no frame can carry is then written as the largest number,
//! which every reader refuses, rather than cut to a smaller one.

/// A length for a 32-bit field.
pub(in crate::protocol) fn as_u32(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// A length for a 16-bit field.
pub(in crate::protocol) fn as_u16(length: usize) -> u16 {
    u16::try_from(length).unwrap_or(u16::MAX)
}

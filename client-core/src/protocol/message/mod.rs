//! Messages: the record that the commit log holds and pull answers carry, and its parts.

pub mod batch;
pub mod compression;
pub mod id;
pub mod inner_batch;
pub mod properties;
pub mod recall;
pub mod record;
pub mod record_crc;
pub mod sys_flag;
pub mod tags;

pub use compression::CompressionType;
pub use properties::Properties;
pub use record::{Record, RecordVersion};

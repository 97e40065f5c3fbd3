//! A RocketMQ name server and broker that start inside a test, on Apache's wire and file formats.

pub mod store;

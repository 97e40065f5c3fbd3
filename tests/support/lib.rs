//! What the tests share: real Apache RocketMQ processes, Apache's Java client as a script, our own
//! `broker-dev` binary, and a wire client that owes nothing to the code under test.
//!
//! Every process started here ends with the test process, however that ends.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests: what fails here fails the test, with a message"
)]

pub mod apache;
pub mod broker_dev;
pub mod java;
pub mod java_client;
pub mod journal;
pub mod process;
pub mod small_store;
pub mod wire;

/// Whether everything is to be tried on every release (`OXMQ_COMPAT=full`), which takes minutes.
pub fn is_full_matrix() -> bool {
    std::env::var_os("OXMQ_COMPAT").is_some_and(|value| value == "full")
}

/// Leaves a test early, loudly, if Apache's software cannot run on this machine.
///
/// Gives the [`java::Release`] when it can.
#[macro_export]
macro_rules! release_or_skip {
    ($version:expr) => {
        match $crate::java::Release::prepare($version) {
            Ok(release) => release,
            Err(reason) => {
                eprintln!("SKIPPED: {} against Apache {}: {reason}", module_path!(), $version);
                return;
            }
        }
    };
}

//! How much of a campaign runs: a fixed share with the tests, all of it by command.

/// `usual` cases, times what `CRASH_SHARE` says (1 by default).
pub(crate) fn share(usual: u64) -> u64 {
    match std::env::var("CRASH_SHARE") {
        Ok(times) => usual * times.parse::<u64>().expect("CRASH_SHARE is a whole number"),
        Err(_) => usual,
    }
}

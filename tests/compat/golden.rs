//! The committed golden bytes are what Apache's classes write, today and for each release.
//!
//! `OXMQ_GOLDEN=write` writes them anew.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

use std::path::Path;

use oxmq_tests::release_or_skip;

fn compare(version: &str, class: &str, file: &str) {
    let release = release_or_skip!(version);
    let made = release.run(class, &[version]);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
    if std::env::var_os("OXMQ_GOLDEN").is_some_and(|value| value == "write") {
        std::fs::write(&path, &made).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap();
    assert_eq!(made, committed, "{} differs", path.display());
}

#[test]
fn golden_bytes_are_those_of_4_9_7() {
    compare("4.9.7", "Golden", "client-core/tests/golden/apache-4.9.7.json");
}

#[test]
fn golden_bytes_are_those_of_5_3_3() {
    compare("5.3.3", "Golden", "client-core/tests/golden/apache-5.3.3.json");
}

#[test]
fn golden_filters_are_those_of_5_3_3() {
    compare("5.3.3", "Filters", "broker-dev/tests/golden/filters-5.3.3.tsv");
}

//! The property string: any text is a list of names and values, and finding agrees with listing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oxmq::protocol::message::properties;

fuzz_target!(|text: &str| {
    let all: Vec<_> = properties::iter(text).collect();
    for (name, value) in &all {
        assert!(text.contains(name) && text.contains(value));
    }
    for (name, _) in all.iter().take(16) {
        let last = all.iter().rev().find(|(other, _)| other == name).map(|(_, value)| *value);
        let first = all.iter().find(|(other, _)| other == name).map(|(_, value)| *value);
        let found = properties::find(text, name);
        assert!(found == last || found == first, "{name:?}: {found:?}");
    }
});

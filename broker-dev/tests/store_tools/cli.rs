//! The program itself: exit status, JSON, plain text.

use std::path::Path;
use std::process::{Command, Output};

use crate::world::{edit, files, store};

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_broker-dev")).arg("store").args(arguments).output().unwrap()
}

fn json(arguments: &[&str]) -> serde_json::Value {
    let output = run(arguments);
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{arguments:?}: {error}: {output:?}"))
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn the_exit_status_tells_sound_damaged_and_cannot() {
    let all = tempfile::tempdir().unwrap();
    let root = all.path().join("store");
    store(&root);
    let (dir, snap) = (text(&root).to_owned(), text(&all.path().join("snap")).to_owned());
    let again = text(&all.path().join("again")).to_owned();
    for arguments in [
        &["inspect", &dir][..],
        &["inspect", &dir, "--all"],
        &["verify", &dir],
        &["dump", &dir, "--topic", "orders", "--queue", "1", "--from", "3", "--to", "5"],
        &["repair", &dir, "--dry-run"],
        &["snapshot", &dir, &snap],
        &["restore", &snap, &again],
        &["diff", &dir, &again],
        &["repair", &dir],
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
        assert!(!output.stdout.contains(&0x1B), "no colours: {output:?}");
    }
    edit(&files(&root, "commitlog")[0], |bytes| bytes[300] ^= 1);
    for arguments in [&["verify", &dir][..], &["dump", &dir], &["diff", &dir, &again]] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {output:?}");
    }
    for arguments in [&["verify", "/no/such"][..], &["restore", &dir, &again], &["nonsense"]] {
        assert_eq!(run(arguments).status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn json_has_the_documented_members() {
    let all = tempfile::tempdir().unwrap();
    let root = all.path().join("store");
    store(&root);
    let dir = text(&root);
    let found = json(&["inspect", dir, "--json"]);
    let orders = &found["topics"].as_array().unwrap()[0];
    assert_eq!((&orders["topic"], &orders["messages"]), (&"orders".into(), &60.into()));
    assert_eq!(orders["queues"][1]["max_offset"], 20);
    edit(&files(&root, "commitlog")[0], |bytes| bytes[300] ^= 1);
    let found = json(&["verify", dir, "--json"]);
    assert_eq!((&found["sound"], &found["messages_lost"]), (&false.into(), &1.into()));
    assert_eq!(found["findings"][0]["kind"], "commit_log");
    assert_eq!(found["findings"][0]["lost"][0]["keys"], "order-0");
    let lines = run(&["dump", dir, "--json", "--key", "order-7"]).stdout;
    let line: serde_json::Value = serde_json::from_slice(&lines).unwrap();
    assert_eq!((&line["queue_id"], &line["queue_offset"]), (&1.into(), &2.into()));
    let raw = run(&["dump", dir, "--raw", "--key", "order-7"]).stdout;
    assert_eq!(raw.len() as u64, line["length"].as_u64().unwrap());
}

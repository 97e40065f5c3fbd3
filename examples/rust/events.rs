//! The events that go through the broker: a name, a tag and a body each.

use std::fs;
use std::io::{self, BufRead as _};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One event, as the workers read it: a line of JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Tells it from all others; becomes the message's key.
    pub id: String,
    /// Its class; becomes the message's tag.
    pub tag: String,
    /// What it says; becomes the message's body.
    pub body: String,
}

/// Reads events from a GeoJSON collection (`.json`), one event a feature, or from a file with one
/// message a line.
///
/// # Errors
/// The file cannot be read, or holds no event.
pub fn load(path: &Path) -> io::Result<Vec<Event>> {
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let text = fs::read_to_string(path).map_err(named)?;
    let events = match serde_json::from_str::<Collection>(&text) {
        Ok(collection) => collection.features.into_iter().map(of_feature).collect(),
        Err(_) => of_lines(&text),
    };
    if events.is_empty() {
        return Err(named(io::Error::new(io::ErrorKind::InvalidData, "there is no event in it")));
    }
    Ok(events)
}

/// Writes events, one a line, for the workers.
///
/// # Errors
/// The file cannot be written.
pub fn save(path: &Path, events: &[Event]) -> io::Result<()> {
    let mut text = String::new();
    for event in events {
        text.push_str(&serde_json::to_string(event)?);
        text.push('\n');
    }
    fs::write(path, text)
}

/// Reads what [`save`] wrote, only every `parts`-th event from `part` on.
///
/// # Errors
/// The file cannot be read or was not written by [`save`].
pub fn load_part(path: &Path, part: usize, parts: usize) -> io::Result<Vec<Event>> {
    let lines = io::BufReader::new(fs::File::open(path)?).lines();
    lines.skip(part).step_by(parts.max(1)).map(|line| Ok(serde_json::from_str(&line?)?)).collect()
}

#[derive(Deserialize)]
struct Collection {
    features: Vec<Value>,
}

fn of_feature(feature: Value) -> Event {
    let magnitude = feature.pointer("/properties/mag").and_then(Value::as_f64);
    Event {
        id: feature.get("id").and_then(Value::as_str).unwrap_or_default().to_owned(),
        tag: magnitude_class(magnitude).to_owned(),
        body: feature.to_string(),
    }
}

/// The class of an earthquake by its magnitude, as the USGS names it.
fn magnitude_class(magnitude: Option<f64>) -> &'static str {
    match magnitude {
        None => "unknown",
        Some(m) if m < 3.0 => "micro",
        Some(m) if m < 4.0 => "minor",
        Some(m) if m < 5.0 => "light",
        Some(m) if m < 6.0 => "moderate",
        Some(m) if m < 7.0 => "strong",
        Some(m) if m < 8.0 => "major",
        Some(_) => "great",
    }
}

/// A message a line; empty ones are left out. The line's number is its id, so that equal lines are
/// different events.
fn of_lines(text: &str) -> Vec<Event> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(index, line)| Event {
            id: format!("line-{}", index + 1),
            tag: "line".to_owned(),
            body: line.to_owned(),
        })
        .collect()
}

/// Whether a worker hands this event back once, to see it again: one in fifty, the same ones in
/// every language.
pub fn is_handed_back_once(id: &str) -> bool {
    let sum: u64 = id.bytes().fold(7, |sum, byte| (sum * 31 + u64::from(byte)) % 1_000_003);
    sum.is_multiple_of(50)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_features_become_events() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events");
        fs::write(&path, "{\"a\":1}\n\nplain text\n").unwrap();
        let events = load(&path).unwrap();
        assert_eq!(events[0].body, "{\"a\":1}");
        assert_eq!((events[1].id.as_str(), events[1].body.as_str()), ("line-3", "plain text"));

        fs::write(&path, r#"{"features":[{"id":"x","properties":{"mag":4.2}}]}"#).unwrap();
        let [event] = load(&path).unwrap().try_into().unwrap();
        assert_eq!((event.id.as_str(), event.tag.as_str()), ("x", "light"));

        fs::write(&path, "\n\n").unwrap();
        let error = load(&path).unwrap_err().to_string();
        assert!(error.contains("no event") && error.contains("events"), "{error}");
    }

    #[test]
    fn parts_cover_everything_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events");
        let events = of_lines("a\nb\nc\nd\ne\nf\ng\n");
        save(&path, &events).unwrap();
        let mut parts: Vec<Event> =
            (0..3).flat_map(|part| load_part(&path, part, 3).unwrap()).collect();
        parts.sort_by(|a, b| a.id.cmp(&b.id));
        assert_eq!(parts, events);
    }
}

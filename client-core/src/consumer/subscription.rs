//! Which messages of a topic a group wants. Pure.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::error::Error;
use crate::protocol::message::properties;

/// A topic and the tags wanted of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subscription {
    pub(crate) topic: Arc<str>,
    /// The tags, or none for all messages.
    tags: BTreeSet<String>,
    /// As it goes onto the wire: `*`, or tags joined by ` || `.
    pub(crate) expression: String,
}

impl Subscription {
    /// Parses `*`, an empty text (the same), or tags separated by `||`.
    pub(crate) fn parse(topic: impl Into<Arc<str>>, expression: &str) -> Result<Self, Error> {
        let topic = topic.into();
        if !properties::is_valid_text(expression) {
            return Err(
                Error::invalid("subscribe", "a tag holds a byte 0x01 or 0x02").on_topic(&topic)
            );
        }
        let tags: BTreeSet<String> = match expression.trim() {
            "*" => BTreeSet::new(),
            tags => tags
                .split("||")
                .map(str::trim)
                .filter(|tag| !tag.is_empty())
                .map(str::to_owned)
                .collect(),
        };
        if tags.is_empty() && !matches!(expression.trim(), "*" | "") {
            return Err(Error::invalid(
                "subscribe",
                format!("the expression `{expression}` names no tag; `*` is every message"),
            )
            .on_topic(&topic));
        }
        let expression = if tags.is_empty() {
            "*".to_owned()
        } else {
            tags.iter().map(String::as_str).collect::<Vec<_>>().join(" || ")
        };
        Ok(Self { topic, tags, expression })
    }

    /// Whether a message with this tag is wanted. Brokers compare hashes only, so what they let
    /// through is compared again here.
    pub(crate) fn wants(&self, tag: Option<&str>) -> bool {
        self.tags.is_empty() || tag.is_some_and(|tag| self.tags.contains(tag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_split_trimmed_and_compared_as_text() {
        let subscription = Subscription::parse("t", " b ||a||  || b").unwrap();
        assert_eq!(subscription.expression, "a || b");
        assert!(subscription.wants(Some("a")) && subscription.wants(Some("b")));
        assert!(!subscription.wants(Some("c")) && !subscription.wants(None));
    }

    #[test]
    fn equal_hashes_are_not_equal_tags() {
        use crate::protocol::message::tags::java_hash;
        assert_eq!(java_hash("Aa"), java_hash("BB"));
        assert!(!Subscription::parse("t", "Aa").unwrap().wants(Some("BB")));
    }

    #[test]
    fn a_star_is_everything_and_an_empty_list_a_mistake() {
        for all in ["*", " * ", ""] {
            let subscription = Subscription::parse("t", all).unwrap();
            assert_eq!(subscription.expression, "*");
            assert!(subscription.wants(None));
        }
        assert!(Subscription::parse("t", "|| ||").is_err());
        assert!(Subscription::parse("t", "a\u{1}").is_err());
    }
}

//! Which messages of a topic a group wants. Pure.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::error::Error;
use crate::protocol::body::SubscriptionData;
use crate::protocol::message::properties;

/// Which messages of a topic a consumer wants. A text stands for [`Selector::tags`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector(Kind);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Tags(String),
    Sql(String),
}

impl Selector {
    /// Messages with one of these tags, which are joined by `||`; `*` or nothing is every message.
    pub fn tags(expression: impl Into<String>) -> Self {
        Self(Kind::Tags(expression.into()))
    }

    /// Messages whose properties meet a condition in SQL92, such as
    /// `price > 10 AND color IN ('red', 'blue')`.
    ///
    /// The broker judges it. A property is a text and is read as what it is compared with; one that
    /// is not there is NULL; `TAGS` and `KEYS` are the tag and the keys. Apache's broker serves it
    /// only with `enablePropertyFilter=true`; a broker that does not, or that cannot read the
    /// condition, is an error when the consumer starts.
    pub fn sql(condition: impl Into<String>) -> Self {
        Self(Kind::Sql(condition.into()))
    }
}

impl From<&str> for Selector {
    fn from(tags: &str) -> Self {
        Self::tags(tags)
    }
}

impl From<String> for Selector {
    fn from(tags: String) -> Self {
        Self::tags(tags)
    }
}

/// A topic and what is wanted of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subscription {
    pub(crate) topic: Arc<str>,
    /// The tags, or none if they do not decide.
    tags: BTreeSet<String>,
    /// As it goes onto the wire: `*`, tags joined by ` || `, or the condition.
    pub(crate) expression: String,
    pub(crate) is_sql: bool,
}

impl Subscription {
    /// Every message of a topic.
    pub(crate) fn all(topic: impl Into<Arc<str>>) -> Self {
        let expression = SubscriptionData::ALL.to_owned();
        Self { topic: topic.into(), tags: BTreeSet::new(), expression, is_sql: false }
    }

    /// Checks what can be checked without a broker.
    pub(crate) fn parse(topic: impl Into<Arc<str>>, selector: &Selector) -> Result<Self, Error> {
        let topic = topic.into();
        match &selector.0 {
            Kind::Tags(expression) => Self::by_tags(&topic, expression),
            Kind::Sql(condition) if condition.trim().is_empty() => {
                Err("the condition is empty".into())
            }
            Kind::Sql(condition) => {
                Ok(Self { expression: condition.clone(), is_sql: true, ..Self::all(topic.clone()) })
            }
        }
        .map_err(|reason: String| Error::invalid("subscribe", reason).on_topic(&topic))
    }

    fn by_tags(topic: &Arc<str>, expression: &str) -> Result<Self, String> {
        if !properties::is_valid_text(expression) {
            return Err("a tag holds a byte 0x01 or 0x02".into());
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
        if !tags.is_empty() {
            let expression = tags.iter().map(String::as_str).collect::<Vec<_>>().join(" || ");
            return Ok(Self { tags, expression, ..Self::all(topic.clone()) });
        }
        match expression.trim() {
            "*" | "" => Ok(Self::all(topic.clone())),
            _ => Err(format!("the expression `{expression}` names no tag; `*` is every message")),
        }
    }

    /// As heartbeats tell it.
    pub(crate) fn data(&self, version: i64) -> SubscriptionData {
        let topic = self.topic.to_string();
        if self.is_sql {
            SubscriptionData::by_sql(topic, &self.expression, version)
        } else {
            SubscriptionData::by_tags(topic, &self.expression, version)
        }
    }

    /// Whether a message with this tag is wanted. Of tags, brokers compare hashes only, so what
    /// they let through is compared again here.
    pub(crate) fn wants(&self, tag: Option<&str>) -> bool {
        self.tags.is_empty() || tag.is_some_and(|tag| self.tags.contains(tag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_split_trimmed_and_compared_as_text() {
        let subscription = Subscription::parse("t", &" b ||a||  || b".into()).unwrap();
        assert_eq!(subscription.expression, "a || b");
        assert!(subscription.wants(Some("a")) && subscription.wants(Some("b")));
        assert!(!subscription.wants(Some("c")) && !subscription.wants(None));
    }

    #[test]
    fn equal_hashes_are_not_equal_tags() {
        use crate::protocol::message::tags::java_hash;
        assert_eq!(java_hash("Aa"), java_hash("BB"));
        assert!(!Subscription::parse("t", &"Aa".into()).unwrap().wants(Some("BB")));
    }

    #[test]
    fn a_star_is_everything_and_an_empty_list_a_mistake() {
        for all in ["*", " * ", ""] {
            let subscription = Subscription::parse("t", &all.into()).unwrap();
            assert_eq!(subscription.expression, "*");
            assert!(subscription.wants(None));
        }
        assert!(Subscription::parse("t", &"|| ||".into()).is_err());
        assert!(Subscription::parse("t", &"a\u{1}".into()).is_err());
    }

    #[test]
    fn a_condition_is_left_to_the_broker() {
        let subscription = Subscription::parse("t", &Selector::sql("a > 1 || b")).unwrap();
        assert!(subscription.is_sql && subscription.wants(None) && subscription.wants(Some("c")));
        let data = subscription.data(7);
        assert_eq!((&*data.expression_type, &*data.sub_string), ("SQL92", "a > 1 || b"));
        assert!(data.code_set.is_empty());
        assert!(Subscription::parse("t", &Selector::sql(" ")).is_err());
    }
}

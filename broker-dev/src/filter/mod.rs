//! Which messages of a topic a subscription takes.
//!
//! A filter is asked twice: about the tag code in the consume queue, and, if that passes, about the
//! message's properties. Only SQL has something to say the second time.
//!
//! Source: RocketMQ 5.3.3 `broker/filter/ExpressionMessageFilter`.

mod sql;

use std::sync::Arc;

use oxmq::protocol::body::SubscriptionData;
use oxmq::protocol::message::{properties, tags};

pub(crate) use sql::ParseError;
use sql::SqlFilter;

use crate::store::MessageFilter;

/// A filter, cheap to clone.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Filter {
    /// Takes everything.
    All,
    /// Takes messages whose tag has one of these hashes (sorted).
    Tags(Arc<[i32]>),
    /// Takes messages whose properties meet a condition.
    Sql(Arc<SqlFilter>),
}

/// Why a subscription has no filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadFilter {
    /// Only tags and SQL92 are known.
    #[error("filters of the type `{}` are not known: subscribe by TAG or SQL92", .0.escape_debug())]
    UnknownType(String),
    /// The broker was told not to serve SQL92.
    #[error("filters by SQL92 are off on this broker (enablePropertyFilter): subscribe by tags")]
    SqlIsOff,
    /// It is no SQL92.
    #[error(transparent)]
    Parse(#[from] ParseError),
}

impl Filter {
    /// A filter for the given tag hashes.
    pub(crate) fn codes(codes: impl IntoIterator<Item = i32>) -> Self {
        let mut codes: Vec<i32> = codes.into_iter().collect();
        codes.sort_unstable();
        codes.dedup();
        Self::Tags(codes.into())
    }

    /// The filter that a subscription stands for.
    ///
    /// Tag hashes come from the subscription and, beside them, from its tags: some clients compute
    /// them over other bytes than Java does.
    pub(crate) fn of(data: &SubscriptionData) -> Result<Self, BadFilter> {
        match &*data.expression_type {
            "" | SubscriptionData::TAG if data.is_all() => Ok(Self::All),
            "" | SubscriptionData::TAG => {
                let hashes = data.tags_set.iter().map(|tag| tags::java_hash(tag));
                Ok(Self::codes(data.code_set.iter().copied().chain(hashes)))
            }
            SubscriptionData::SQL92 => Ok(Self::Sql(Arc::new(SqlFilter::parse(&data.sub_string)?))),
            other => Err(BadFilter::UnknownType(other.to_owned())),
        }
    }
}

impl MessageFilter for Filter {
    /// As RocketMQ does, only the low 32 bits count.
    #[expect(clippy::cast_possible_truncation, reason = "the hash is a 32-bit number widened")]
    fn passes_code(&self, tags_code: i64) -> bool {
        match self {
            Self::All | Self::Sql(_) => true,
            Self::Tags(codes) => codes.binary_search(&(tags_code as i32)).is_ok(),
        }
    }

    fn looks_at_properties(&self) -> bool {
        matches!(self, Self::Sql(_))
    }

    fn passes_properties(&self, encoded: &str) -> bool {
        match self {
            Self::All | Self::Tags(_) => true,
            Self::Sql(filter) => filter.matches(&|name| properties::find(encoded, name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_pass_by_their_low_32_bits() {
        let filter = Filter::codes([-5]);
        assert!(filter.passes_code(-5));
        assert!(filter.passes_code(0xFFFF_FFFB));
        assert!(!filter.passes_code(5));
    }

    #[test]
    fn sql_is_asked_about_properties() {
        let data = SubscriptionData::by_sql("t", "price > 10", 1);
        let filter = Filter::of(&data).unwrap();
        assert!(filter.passes_code(77));
        assert!(filter.passes_properties("price\u{1}11\u{2}"));
        assert!(!filter.passes_properties("price\u{1}9\u{2}"));
        assert!(!filter.passes_properties(""));
    }

    #[test]
    fn what_is_no_filter_is_told() {
        let told = |expression_type: &str| {
            let data = SubscriptionData {
                expression_type: expression_type.to_owned(),
                ..SubscriptionData::by_tags("t", "a ==", 1)
            };
            Filter::of(&data).map_err(|error| error.to_string())
        };
        assert!(told("").is_ok());
        assert!(told("REGEX").unwrap_err().contains("`REGEX`"));
        assert!(told("SQL92").unwrap_err().contains("at character 3"));
    }
}

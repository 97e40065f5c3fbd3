//! SQL92 filters: which messages a subscription takes, judged by their properties.
//!
//! ```text
//! text ── lexer ──► tokens ── parser ──► Expression ── evaluate(properties) ──► true, false, unknown
//! ```
//!
//! Only `true` delivers a message. Every property is a text; what it is compared with decides as
//! what it is read. A text that cannot be read so ends the evaluation, and the message is not
//! delivered.
//!
//! Source: RocketMQ 5.3.3 `filter/parser/SelectorParser.jj` and `filter/expression`, their edge
//! cases included. Differs: nesting is bounded (`parser::MAX_DEPTH`), where Apache's broker runs out of
//! stack; a property in hexadecimal floating point is no number here.

mod expression;
mod lexer;
mod parser;
mod value;

use std::fmt;

use expression::Expression;
use value::Value;

pub(crate) use parser::ParseError;

/// A parsed filter.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SqlFilter {
    expression: Expression,
}

impl SqlFilter {
    /// Reads a filter. As in Apache's parser, what follows a complete condition is passed over, if
    /// it begins with a token.
    pub(crate) fn parse(text: &str) -> Result<Self, ParseError> {
        parser::parse(text).map(|expression| Self { expression })
    }

    /// Whether a message with these properties is taken.
    pub(crate) fn matches<'a>(&'a self, property: &dyn Fn(&str) -> Option<&'a str>) -> bool {
        matches!(self.expression.evaluate(property), Ok(Some(Value::Boolean(true))))
    }
}

impl fmt::Display for SqlFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.expression.fmt(f)
    }
}

#[cfg(test)]
mod tests;

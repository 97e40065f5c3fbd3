//! Conditions, and what they say of a message.

use std::cmp::Ordering;
use std::fmt;

use super::value::{Unreadable, Value};

/// What an expression comes to: a value, or NULL, which for a condition means "unknown".
type Outcome<'a> = Result<Option<Value<'a>>, Unreadable>;

/// A constant; `None` is NULL.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Constant {
    Null,
    Boolean(bool),
    Integer(i32),
    Long(i64),
    Double(f64),
    Text(Box<str>),
}

/// How two values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    Greater,
    GreaterEqual,
    Less,
    LessEqual,
}

/// Where in a text another one is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Search {
    Contains,
    StartsWith,
    EndsWith,
}

/// An expression. Lists of AND and OR are flat, so that their length does not nest.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expression {
    Constant(Constant),
    Property(Box<str>),
    Negate(Box<Expression>),
    /// A property as a condition.
    IsTrue(Box<Expression>),
    Not(Box<Expression>),
    And(Vec<Expression>),
    Or(Vec<Expression>),
    Compare(Comparison, Box<(Expression, Expression)>),
    IsNull(Box<Expression>),
    Search {
        subject: Box<Expression>,
        search: Search,
        wanted: Box<str>,
        negated: bool,
    },
    In {
        property: Box<str>,
        list: Vec<Box<str>>,
        negated: bool,
    },
}

impl Constant {
    pub(super) fn value(&self) -> Option<Value<'_>> {
        Some(match self {
            Self::Null => return None,
            Self::Boolean(value) => Value::Boolean(*value),
            Self::Integer(value) => Value::Integer(*value),
            Self::Long(value) => Value::Long(*value),
            Self::Double(value) => Value::Double(*value),
            Self::Text(value) => Value::Text(value),
        })
    }
}

impl Comparison {
    const fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::Greater => order.is_gt(),
            Self::GreaterEqual => order.is_ge(),
            Self::Less => order.is_lt(),
            Self::LessEqual => order.is_le(),
        }
    }
}

impl Expression {
    /// What this comes to for a message with these properties.
    pub(super) fn evaluate<'a>(
        &'a self,
        property: &dyn Fn(&str) -> Option<&'a str>,
    ) -> Outcome<'a> {
        Ok(match self {
            Self::Constant(constant) => constant.value(),
            Self::Property(name) => property(name).map(Value::Text),
            Self::Negate(number) => number.evaluate(property)?.and_then(negate),
            Self::IsTrue(value) => {
                let value = value.evaluate(property)?;
                value.map(|value| Value::Boolean(value == Value::Boolean(true)))
            }
            Self::Not(condition) => condition.truth(property)?.map(|truth| Value::Boolean(!truth)),
            Self::And(conditions) => all(conditions, false, property)?.map(Value::Boolean),
            Self::Or(conditions) => all(conditions, true, property)?.map(Value::Boolean),
            Self::Compare(comparison, sides) => {
                let (left, right) = (sides.0.evaluate(property)?, sides.1.evaluate(property)?);
                compare(*comparison, left, right)?.map(Value::Boolean)
            }
            Self::IsNull(value) => Some(Value::Boolean(value.evaluate(property)?.is_none())),
            Self::Search { subject, search, wanted, negated } => {
                let found = match subject.evaluate(property)? {
                    Some(Value::Text(text)) if !wanted.is_empty() => {
                        find(*search, text, wanted) != *negated
                    }
                    _ => false,
                };
                Some(Value::Boolean(found))
            }
            Self::In { property: name, list, negated } => property(name)
                .map(|text| Value::Boolean(list.iter().any(|item| **item == *text) != *negated)),
        })
    }

    /// What a condition says; anything but a Boolean cannot stand where a condition does.
    fn truth<'a>(
        &'a self,
        property: &dyn Fn(&str) -> Option<&'a str>,
    ) -> Result<Option<bool>, Unreadable> {
        match self.evaluate(property)? {
            None => Ok(None),
            Some(Value::Boolean(truth)) => Ok(Some(truth)),
            Some(_) => Err(Unreadable),
        }
    }
}

fn negate(value: Value<'_>) -> Option<Value<'_>> {
    match value {
        Value::Integer(number) => Some(Value::Integer(number.wrapping_neg())),
        Value::Long(number) => Some(Value::Long(number.wrapping_neg())),
        Value::Double(number) => Some(Value::Double(-number)),
        Value::Boolean(_) | Value::Text(_) => None,
    }
}

/// AND (`decisive` is `false`) or OR (`true`) of conditions, up to the first decisive one.
fn all<'a>(
    conditions: &'a [Expression],
    decisive: bool,
    property: &dyn Fn(&str) -> Option<&'a str>,
) -> Result<Option<bool>, Unreadable> {
    let mut is_known = true;
    for condition in conditions {
        match condition.truth(property)? {
            Some(truth) if truth == decisive => return Ok(Some(decisive)),
            Some(_) => {}
            None => is_known = false,
        }
    }
    Ok(is_known.then_some(!decisive))
}

fn compare(
    comparison: Comparison,
    left: Option<Value<'_>>,
    right: Option<Value<'_>>,
) -> Result<Option<bool>, Unreadable> {
    let order = match (comparison, left, right) {
        (Comparison::Equal, Some(left), Some(right)) => left.compare(right)?,
        (Comparison::Equal, None, None) => return Ok(Some(true)),
        (Comparison::Equal, Some(_), None) => return Ok(Some(false)),
        (_, Some(left), Some(right)) => left.compare_size(right)?,
        _ => return Ok(None),
    };
    Ok(Some(comparison.holds(order)))
}

fn find(search: Search, text: &str, wanted: &str) -> bool {
    match search {
        Search::Contains => text.contains(wanted),
        Search::StartsWith => text.starts_with(wanted),
        Search::EndsWith => text.ends_with(wanted),
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let not = |negated: bool| if negated { "NOT " } else { "" };
        match self {
            Self::Constant(constant) => match constant.value() {
                Some(value) => value.fmt(f),
                None => f.write_str("NULL"),
            },
            Self::Property(name) => f.write_str(name),
            Self::Negate(number) => write!(f, "-{number}"),
            Self::IsTrue(value) => value.fmt(f),
            Self::Not(condition) => write!(f, "(NOT {condition})"),
            Self::And(conditions) => join(f, conditions, " AND "),
            Self::Or(conditions) => join(f, conditions, " OR "),
            Self::Compare(comparison, sides) => {
                let symbol = match comparison {
                    Comparison::Equal => "=",
                    Comparison::Greater => ">",
                    Comparison::GreaterEqual => ">=",
                    Comparison::Less => "<",
                    Comparison::LessEqual => "<=",
                };
                write!(f, "({} {symbol} {})", sides.0, sides.1)
            }
            Self::IsNull(value) => write!(f, "({value} IS NULL)"),
            Self::Search { subject, search, wanted, negated } => {
                let word = match search {
                    Search::Contains => "CONTAINS",
                    Search::StartsWith => "STARTSWITH",
                    Search::EndsWith => "ENDSWITH",
                };
                write!(f, "({subject} {}{word} {})", not(*negated), Value::Text(wanted))
            }
            Self::In { property, list, negated } => {
                write!(f, "({property} {}IN (", not(*negated))?;
                for (nth, item) in list.iter().enumerate() {
                    let comma = if nth == 0 { "" } else { ", " };
                    write!(f, "{comma}{}", Value::Text(item))?;
                }
                f.write_str("))")
            }
        }
    }
}

fn join(f: &mut fmt::Formatter<'_>, conditions: &[Expression], word: &str) -> fmt::Result {
    f.write_str("(")?;
    for (nth, condition) in conditions.iter().enumerate() {
        write!(f, "{}{condition}", if nth == 0 { "" } else { word })?;
    }
    f.write_str(")")
}

//! Values and how two of them compare.

use std::cmp::Ordering;
use std::fmt;

/// A value that is not NULL.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value<'a> {
    Boolean(bool),
    Integer(i32),
    Long(i64),
    Double(f64),
    Text(&'a str),
}

/// The evaluation cannot go on: the message is not delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unreadable;

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(true) => f.write_str("TRUE"),
            Self::Boolean(false) => f.write_str("FALSE"),
            Self::Integer(number) => number.fmt(f),
            Self::Long(number) => number.fmt(f),
            Self::Double(number) => write!(f, "{number:?}"),
            Self::Text(text) => write!(f, "'{}'", text.replace('\'', "''")),
        }
    }
}

impl Value<'_> {
    /// How this compares with another value, after the two were brought to one type. Values that
    /// cannot be compared count as less, as in Java's `ComparisonExpression.__compare`.
    pub(super) fn compare(self, other: Self) -> Result<Ordering, Unreadable> {
        use Value::{Boolean, Double, Integer, Long, Text};
        Ok(match (self, other) {
            (Boolean(left), Boolean(right)) => left.cmp(&right),
            (Text(left), Text(right)) => compare_text(left, right),
            (Integer(left), Integer(right)) => left.cmp(&right),
            (Long(left), Long(right)) => left.cmp(&right),
            (Double(left), Double(right)) => compare_double(left, right),
            (Integer(left), Long(right)) => i64::from(left).cmp(&right),
            (Long(left), Integer(right)) => left.cmp(&i64::from(right)),
            (Integer(left), Double(right)) => compare_double(left.into(), right),
            (Double(left), Integer(right)) => compare_double(left, right.into()),
            (Long(left), Double(right)) => compare_double(widen(left), right),
            (Double(left), Long(right)) => compare_double(left, widen(right)),
            (Text(left), Boolean(right)) => left.eq_ignore_ascii_case("true").cmp(&right),
            (Text(left), Integer(right)) => integer::<i32>(left)?.cmp(&right),
            (Text(left), Long(right)) => integer::<i64>(left)?.cmp(&right),
            (Text(left), Double(right)) => compare_double(double(left)?, right),
            (Integer(left), Text(right)) => left.cmp(&integer(right)?),
            (Long(left), Text(right)) => left.cmp(&integer(right)?),
            (Double(left), Text(right)) => compare_double(left, double(right)?),
            // Java casts the wrong side here, and fails.
            (Boolean(_), Text(_)) => return Err(Unreadable),
            (Boolean(_), _) | (_, Boolean(_)) => Ordering::Less,
        })
    }

    /// How this compares by size: two texts are read as numbers.
    pub(super) fn compare_size(self, other: Self) -> Result<Ordering, Unreadable> {
        match (self, other) {
            (Value::Text(left), Value::Text(right)) => {
                Ok(compare_double(double(left)?, double(right)?))
            }
            _ => self.compare(other),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "Java widens so, too")]
fn widen(number: i64) -> f64 {
    number as f64
}

/// Java compares UTF-16 units, which for characters beyond the first 65,536 is another order.
fn compare_text(left: &str, right: &str) -> Ordering {
    left.encode_utf16().cmp(right.encode_utf16())
}

/// Java's order of doubles: -0.0 before 0.0, and NaN, of which there is one, after all.
fn compare_double(left: f64, right: f64) -> Ordering {
    match (left.is_nan(), right.is_nan()) {
        (false, false) => left.total_cmp(&right),
        (left, right) => left.cmp(&right),
    }
}

/// An integer as Java's `Integer.valueOf` reads it.
fn integer<T: std::str::FromStr>(text: &str) -> Result<T, Unreadable> {
    text.parse().map_err(|_| Unreadable)
}

/// A number as Java's `Double.valueOf` reads it: blanks around it, and a type's letter behind it,
/// do not matter.
fn double(text: &str) -> Result<f64, Unreadable> {
    let text = text.trim_matches(|blank: char| blank <= ' ');
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if let "NaN" | "Infinity" = unsigned {
        return text.parse().map_err(|_| Unreadable);
    }
    let text = text.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(text);
    // Rust reads `inf` and `nan`, too.
    let is_number = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E'));
    text.parse().ok().filter(|_| is_number).ok_or(Unreadable)
}

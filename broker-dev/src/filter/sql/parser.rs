//! From tokens to an expression, by recursive descent.
//!
//! ```text
//! or         := and (OR and)*
//! and        := equality (AND equality)*
//! equality   := comparison ("=" comparison | "<>" comparison | IS [NOT] NULL)*
//! comparison := unary ((">" | ">=" | "<" | "<=") unary
//!                     | [NOT] (CONTAINS | STARTSWITH | ENDSWITH) text
//!                     | [NOT] BETWEEN unary AND unary
//!                     | [NOT] IN "(" text ("," text)* ")")*
//! unary      := ("+" | "-" | NOT) unary | constant | property | "(" or ")"
//! ```

use std::cmp::Ordering;

use super::expression::{Comparison, Constant, Expression, Search};
use super::lexer::{Keyword, Lexer, Symbol, Token};

/// The deepest nesting of parentheses, signs, NOTs and chained comparisons.
pub(crate) const MAX_DEPTH: usize = 200;

/// Why a text is no filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}, at character {at} of the filter")]
pub(crate) struct ParseError {
    /// Byte of the text, counted from 0.
    pub(crate) at: usize,
    reason: Box<str>,
}

type Parsed = Result<Expression, ParseError>;

/// Reads a whole filter.
pub(super) fn parse(text: &str) -> Parsed {
    let mut parser = Parser { lexer: Lexer::new(text), token: Token::End, at: 0, depth: 0 };
    parser.advance()?;
    let expression = parser.or()?;
    parser.condition(expression)
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    token: Token,
    /// Where `token` begins, or blanks before it.
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn error<T>(&self, reason: impl Into<Box<str>>) -> Result<T, ParseError> {
        Err(ParseError { at: self.at, reason: reason.into() })
    }

    fn advance(&mut self) -> Result<Token, ParseError> {
        self.at = self.lexer.at();
        let next = self.lexer.next().map_err(|bad| ParseError {
            at: bad.at,
            reason: "no name, number, text or operator can be read here".into(),
        })?;
        Ok(std::mem::replace(&mut self.token, next))
    }

    /// Takes the token if it is this one.
    fn take(&mut self, wanted: &Token) -> Result<bool, ParseError> {
        let is_it = self.token == *wanted;
        if is_it {
            self.advance()?;
        }
        Ok(is_it)
    }

    fn keyword(&mut self, wanted: Keyword) -> Result<bool, ParseError> {
        self.take(&Token::Keyword(wanted))
    }

    fn symbol(&mut self, wanted: Symbol) -> Result<bool, ParseError> {
        self.take(&Token::Symbol(wanted))
    }

    fn text(&mut self) -> Result<Box<str>, ParseError> {
        match self.advance()? {
            Token::Text(text) => Ok(text),
            _ => self.error("a text in single quotes is wanted"),
        }
    }

    fn deeper<T>(
        &mut self,
        parse: impl FnOnce(&mut Self) -> Result<T, ParseError>,
    ) -> Result<T, ParseError> {
        if self.depth == MAX_DEPTH {
            return self.error(format!("the filter is nested more than {MAX_DEPTH} deep"));
        }
        self.depth += 1;
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    /// An expression that stands where a condition must.
    fn condition(&self, expression: Expression) -> Parsed {
        match expression {
            Expression::Property(_) => Ok(Expression::IsTrue(Box::new(expression))),
            Expression::Negate(_) => self.error("a number is no condition"),
            Expression::Constant(Constant::Boolean(_) | Constant::Null) => Ok(expression),
            Expression::Constant(_) => self.error("a constant is no condition"),
            _ => Ok(expression),
        }
    }

    fn or(&mut self) -> Parsed {
        self.list(Keyword::Or, Self::and, Expression::Or)
    }

    fn and(&mut self) -> Parsed {
        self.list(Keyword::And, Self::equality, Expression::And)
    }

    fn list(
        &mut self,
        word: Keyword,
        item: fn(&mut Self) -> Parsed,
        join: fn(Vec<Expression>) -> Expression,
    ) -> Parsed {
        let first = item(self)?;
        if self.token != Token::Keyword(word) {
            return Ok(first);
        }
        let mut items = vec![self.condition(first)?];
        while self.keyword(word)? {
            let next = item(self)?;
            items.push(self.condition(next)?);
        }
        Ok(join(items))
    }

    fn equality(&mut self) -> Parsed {
        let mut left = self.comparison()?;
        let depth = self.depth;
        loop {
            left = if self.symbol(Symbol::Equal)? {
                let right = self.comparison()?;
                self.equal(left, right)?
            } else if self.symbol(Symbol::NotEqual)? {
                let right = self.comparison()?;
                not(self.equal(left, right)?)
            } else if self.keyword(Keyword::Is)? {
                let negated = self.keyword(Keyword::Not)?;
                if !self.keyword(Keyword::Null)? {
                    return self.error("NULL is wanted after IS");
                }
                let is_null = Expression::IsNull(Box::new(left));
                if negated { not(is_null) } else { is_null }
            } else {
                self.depth = depth;
                return Ok(left);
            };
            self.chain()?;
        }
    }

    /// Counts a comparison that is the left side of the next one.
    fn chain(&mut self) -> Result<(), ParseError> {
        self.deeper(|_| Ok(()))?;
        self.depth += 1;
        Ok(())
    }

    fn comparison(&mut self) -> Parsed {
        let mut left = self.unary()?;
        let depth = self.depth;
        loop {
            let comparison = match self.token {
                Token::Symbol(Symbol::Greater) => Some(Comparison::Greater),
                Token::Symbol(Symbol::GreaterEqual) => Some(Comparison::GreaterEqual),
                Token::Symbol(Symbol::Less) => Some(Comparison::Less),
                Token::Symbol(Symbol::LessEqual) => Some(Comparison::LessEqual),
                _ => None,
            };
            left = if let Some(comparison) = comparison {
                self.advance()?;
                let right = self.unary()?;
                self.compare(comparison, left, right)?
            } else {
                let negated = self.keyword(Keyword::Not)?;
                match self.predicate(left, negated)? {
                    Ok(predicate) => predicate,
                    Err(_) if negated => {
                        return self
                            .error("CONTAINS, STARTSWITH, ENDSWITH, BETWEEN or IN is wanted");
                    }
                    Err(left) => {
                        self.depth = depth;
                        return Ok(left);
                    }
                }
            };
            self.chain()?;
        }
    }

    /// What may follow NOT behind a value; gives the value back if nothing of it comes.
    fn predicate(
        &mut self,
        left: Expression,
        negated: bool,
    ) -> Result<Result<Expression, Expression>, ParseError> {
        let search = match self.token {
            Token::Keyword(Keyword::Contains) => Search::Contains,
            Token::Keyword(Keyword::StartsWith) => Search::StartsWith,
            Token::Keyword(Keyword::EndsWith) => Search::EndsWith,
            Token::Keyword(Keyword::Between) => return self.between(left, negated).map(Ok),
            Token::Keyword(Keyword::In) => return self.list_of(left, negated).map(Ok),
            _ => return Ok(Err(left)),
        };
        self.advance()?;
        let wanted = self.text()?;
        Ok(Ok(Expression::Search { subject: Box::new(left), search, wanted, negated }))
    }

    fn between(&mut self, value: Expression, negated: bool) -> Parsed {
        self.advance()?;
        let low = self.unary()?;
        if !self.keyword(Keyword::And)? {
            return self.error("AND is wanted between the two bounds");
        }
        let high = self.unary()?;
        if negated {
            let below = self.compare(Comparison::Less, value.clone(), low)?;
            let above = self.compare(Comparison::Greater, value, high)?;
            return Ok(Expression::Or(vec![below, above]));
        }
        if let (Expression::Constant(low), Expression::Constant(high)) = (&low, &high) {
            let (Some(low), Some(high)) = (low.value(), high.value()) else {
                return self.error("NULL is no bound");
            };
            if high.compare(low).is_ok_and(Ordering::is_lt) {
                return self.error(format!("the bound {low} is above {high}"));
            }
        }
        let above = self.compare(Comparison::GreaterEqual, value.clone(), low)?;
        let below = self.compare(Comparison::LessEqual, value, high)?;
        Ok(Expression::And(vec![above, below]))
    }

    fn list_of(&mut self, left: Expression, negated: bool) -> Parsed {
        self.advance()?;
        if !self.symbol(Symbol::Open)? {
            return self.error("`(` is wanted after IN");
        }
        let mut list = vec![self.text()?];
        while self.symbol(Symbol::Comma)? {
            list.push(self.text()?);
        }
        if !self.symbol(Symbol::Close)? {
            return self.error("`,` or `)` is wanted after a text");
        }
        match left {
            Expression::Property(property) => Ok(Expression::In { property, list, negated }),
            _ => self.error("only a property can be IN a list"),
        }
    }

    fn unary(&mut self) -> Parsed {
        self.deeper(|parser| {
            if parser.symbol(Symbol::Plus)? {
                return parser.unary();
            }
            if parser.symbol(Symbol::Minus)? {
                return Ok(Expression::Negate(Box::new(parser.unary()?)));
            }
            if parser.keyword(Keyword::Not)? {
                let operand = parser.unary()?;
                return Ok(not(parser.condition(operand)?));
            }
            parser.primary()
        })
    }

    fn primary(&mut self) -> Parsed {
        if self.symbol(Symbol::Open)? {
            let inner = self.or()?;
            return if self.symbol(Symbol::Close)? {
                Ok(inner)
            } else {
                self.error("`)` is wanted")
            };
        }
        let constant = match &self.token {
            Token::Name(_) => None,
            Token::Text(text) => Some(Constant::Text(text.clone())),
            Token::Integer(digits) => Some(self.integer(digits)?),
            Token::Float(digits) => Some(self.float(digits)?),
            Token::Keyword(Keyword::True) => Some(Constant::Boolean(true)),
            Token::Keyword(Keyword::False) => Some(Constant::Boolean(false)),
            Token::Keyword(Keyword::Null) => Some(Constant::Null),
            _ => return self.error("a property, a constant or `(` is wanted"),
        };
        match (self.advance()?, constant) {
            (Token::Name(name), None) => Ok(Expression::Property(name)),
            (_, constant) => Ok(Expression::Constant(constant.unwrap_or(Constant::Null))),
        }
    }

    fn integer(&self, digits: &str) -> Result<Constant, ParseError> {
        let Ok(long) = digits.parse::<i64>() else {
            return self.error(format!("the number {digits} is above {}", i64::MAX));
        };
        Ok(i32::try_from(long).map_or(Constant::Long(long), Constant::Integer))
    }

    fn float(&self, digits: &str) -> Result<Constant, ParseError> {
        /// The smallest double above zero, Java's `Double.MIN_VALUE`.
        const LEAST: f64 = f64::from_bits(1);
        match digits.parse::<f64>() {
            Ok(double) if (LEAST..=f64::MAX).contains(&double) => Ok(Constant::Double(double)),
            _ => self
                .error(format!("the number {digits} is not between {LEAST:e} and {:e}", f64::MAX)),
        }
    }

    fn equal(&self, left: Expression, right: Expression) -> Parsed {
        use Expression::Constant as Is;
        for side in [&left, &right] {
            if matches!(side, Is(Constant::Null)) {
                return self.error("compare with NULL by IS NULL or IS NOT NULL");
            }
        }
        if let (Is(Constant::Boolean(_)), Is(other)) = (&left, &right)
            && !matches!(other, Constant::Boolean(_))
        {
            return self.error("a truth value cannot be compared with another constant");
        }
        Ok(Expression::Compare(Comparison::Equal, Box::new((left, right))))
    }

    fn compare(&self, comparison: Comparison, left: Expression, right: Expression) -> Parsed {
        for side in [&left, &right] {
            let is_value = match side {
                Expression::Constant(constant) => matches!(
                    constant,
                    Constant::Integer(_) | Constant::Long(_) | Constant::Double(_)
                ),
                Expression::Property(_) | Expression::Negate(_) => true,
                _ => false,
            };
            if !is_value {
                return self.error("only numbers and properties can be compared by size");
            }
        }
        Ok(Expression::Compare(comparison, Box::new((left, right))))
    }
}

fn not(condition: Expression) -> Expression {
    Expression::Not(Box::new(condition))
}

//! Tokens of a filter.

use std::str::FromStr;

/// One token.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Keyword(Keyword),
    /// The name of a property.
    Name(Box<str>),
    /// `'text'`, decoded.
    Text(Box<str>),
    /// Digits of an integer, without the `l` that may follow them.
    Integer(Box<str>),
    /// Digits of a number with a point or an exponent.
    Float(Box<str>),
    Symbol(Symbol),
    End,
}

/// A reserved word, whatever its case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keyword {
    Not,
    And,
    Or,
    Between,
    In,
    True,
    False,
    Null,
    Is,
    Contains,
    StartsWith,
    EndsWith,
}

/// An operator or a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Symbol {
    Equal,
    NotEqual,
    Greater,
    GreaterEqual,
    Less,
    LessEqual,
    Open,
    Close,
    Comma,
    Plus,
    Minus,
}

/// No token begins at this byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoToken {
    pub(super) at: usize,
}

impl FromStr for Keyword {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        const WORDS: [(&str, Keyword); 12] = [
            ("NOT", Keyword::Not),
            ("AND", Keyword::And),
            ("OR", Keyword::Or),
            ("BETWEEN", Keyword::Between),
            ("IN", Keyword::In),
            ("TRUE", Keyword::True),
            ("FALSE", Keyword::False),
            ("NULL", Keyword::Null),
            ("IS", Keyword::Is),
            ("CONTAINS", Keyword::Contains),
            ("STARTSWITH", Keyword::StartsWith),
            ("ENDSWITH", Keyword::EndsWith),
        ];
        let known = WORDS.iter().find(|(known, _)| known.eq_ignore_ascii_case(word));
        known.map(|(_, keyword)| *keyword).ok_or(())
    }
}

/// Reads tokens one by one: what follows the end of a condition need not be sound.
#[derive(Debug)]
pub(super) struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Byte at which the next token begins, or blanks before it.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// The next token; [`Token::End`] for ever at the end.
    pub(super) fn next(&mut self) -> Result<Token, NoToken> {
        self.skip();
        let rest = self.rest();
        let (token, length) = match rest.bytes().next() {
            None => (Token::End, 0),
            Some(b'\'') => text(rest).ok_or(NoToken { at: self.at })?,
            Some(b'0'..=b'9') => number(rest),
            Some(b'.') => float(rest).ok_or(NoToken { at: self.at })?,
            Some(byte) if is_name_start(byte) => word(rest),
            Some(_) => symbol(rest).ok_or(NoToken { at: self.at })?,
        };
        self.at += length;
        Ok(token)
    }

    /// Passes over blanks and comments.
    fn skip(&mut self) {
        loop {
            let rest = self.rest();
            let blank =
                rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r', '\u{c}']).len();
            let comment = rest.get(blank..).map_or(0, comment_length);
            if blank + comment == 0 {
                return;
            }
            self.at += blank + comment;
        }
    }
}

/// Bytes of the comment that the text begins with. A line comment counts only with its line's end,
/// a block comment only if it is closed.
fn comment_length(text: &str) -> usize {
    if let Some(line) = text.strip_prefix("--") {
        let end = line.find(['\n', '\r']);
        return end.map_or(0, |end| 2 + end + if line[end..].starts_with("\r\n") { 2 } else { 1 });
    }
    let Some(block) = text.strip_prefix("/*") else { return 0 };
    block.find("*/").map_or(0, |end| 2 + end + 2)
}

fn is_name_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte == b'$'
}

fn word(rest: &str) -> (Token, usize) {
    let is_part = |byte: u8| is_name_start(byte) || byte.is_ascii_digit();
    let length = rest.bytes().position(|byte| !is_part(byte)).unwrap_or(rest.len());
    let word = rest.get(..length).unwrap_or_default();
    (word.parse().map_or_else(|()| Token::Name(word.into()), Token::Keyword), length)
}

/// `'text'`, with two quotes for one.
fn text(rest: &str) -> Option<(Token, usize)> {
    let mut decoded = String::new();
    let mut from = 1;
    loop {
        let end = from + rest.get(from..)?.find('\'')?;
        decoded.push_str(rest.get(from..end)?);
        from = end + 1;
        if !rest.get(from..)?.starts_with('\'') {
            return Some((Token::Text(decoded.into()), from));
        }
        decoded.push('\'');
        from += 1;
    }
}

fn digits(text: &str) -> usize {
    text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len())
}

/// The longest number: one with a point or an exponent wins over the integer it begins with.
fn number(rest: &str) -> (Token, usize) {
    if let Some(float) = float(rest) {
        return float;
    }
    // Only a zero by itself may begin with one.
    let length = if rest.starts_with('0') { 1 } else { digits(rest) };
    let long = !rest.starts_with('0') && rest[length..].starts_with(['l', 'L']);
    (Token::Integer(rest[..length].into()), length + usize::from(long))
}

fn float(rest: &str) -> Option<(Token, usize)> {
    let whole = digits(rest);
    let mut length = whole;
    let has_point = rest[length..].starts_with('.');
    if has_point {
        let fraction = digits(&rest[length + 1..]);
        if whole + fraction == 0 {
            return None;
        }
        length += 1 + fraction;
    }
    let exponent = exponent(&rest[length..]);
    if !has_point && exponent == 0 {
        return None;
    }
    length += exponent;
    Some((Token::Float(rest[..length].into()), length))
}

/// Bytes of `E`, sign and digits.
fn exponent(rest: &str) -> usize {
    let Some(after) = rest.strip_prefix(['e', 'E']) else { return 0 };
    let unsigned = after.strip_prefix(['+', '-']).unwrap_or(after);
    match digits(unsigned) {
        0 => 0,
        digits => rest.len() - unsigned.len() + digits,
    }
}

fn symbol(rest: &str) -> Option<(Token, usize)> {
    const SYMBOLS: [(&str, Symbol); 11] = [
        ("<>", Symbol::NotEqual),
        ("<=", Symbol::LessEqual),
        (">=", Symbol::GreaterEqual),
        ("=", Symbol::Equal),
        ("<", Symbol::Less),
        (">", Symbol::Greater),
        ("(", Symbol::Open),
        (")", Symbol::Close),
        (",", Symbol::Comma),
        ("+", Symbol::Plus),
        ("-", Symbol::Minus),
    ];
    let (text, symbol) = SYMBOLS.iter().find(|(text, _)| rest.starts_with(text))?;
    Some((Token::Symbol(*symbol), text.len()))
}

//! Java's properties: the form of Apache's `broker.conf`, and of settings sent over the wire.
//!
//! Source: `java.util.Properties.load`.

/// Reads pairs in the order in which they stand.
///
/// Lines that begin with `#` or `!` are comments, a name ends at `=`, `:` or white space, a `\` at
/// a line's end goes on in the next one, and `\t \n \r \f \uXXXX` and escaped characters are what
/// they are in Java.
///
/// # Errors
/// A `\u` that four hexadecimal digits do not follow: the line's number is given.
pub fn parse(text: &str) -> Result<Vec<(String, String)>, usize> {
    let mut pairs = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        let mut whole = line.to_owned();
        while ends_open(&whole) {
            whole.pop();
            match lines.next() {
                Some((_, next)) => whole.push_str(next.trim_start()),
                None => break,
            }
        }
        let (key, value) = split(&whole);
        let unescape = |text| unescape(text).ok_or(number + 1);
        pairs.push((unescape(key)?, unescape(value)?));
    }
    Ok(pairs)
}

/// Whether an odd number of backslashes ends the line.
fn ends_open(line: &str) -> bool {
    line.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

fn split(line: &str) -> (&str, &str) {
    let mut is_escaped = false;
    let end = line.find(|c: char| {
        let is_end = !is_escaped && matches!(c, '=' | ':' | ' ' | '\t' | '\u{c}');
        is_escaped = c == '\\' && !is_escaped;
        is_end
    });
    let (key, rest) = line.split_at(end.unwrap_or(line.len()));
    let blank = [' ', '\t', '\u{c}'];
    let rest = rest.trim_start_matches(blank);
    let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (key, rest.trim_start_matches(blank))
}

fn unescape(text: &str) -> Option<String> {
    if !text.contains('\\') {
        return Some(text.to_owned());
    }
    let mut units = Vec::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        let plain = match character {
            '\\' => match characters.next() {
                Some('u') => {
                    let digits: String = characters.by_ref().take(4).collect();
                    let is_hex = digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_hexdigit());
                    units.push(u16::from_str_radix(&digits, 16).ok().filter(|_| is_hex)?);
                    continue;
                }
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('f') => '\u{c}',
                Some(other) => other,
                None => continue,
            },
            plain => plain,
        };
        units.extend_from_slice(plain.encode_utf16(&mut [0; 2]));
    }
    Some(String::from_utf16_lossy(&units))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        parse(text).unwrap()
    }

    #[test]
    fn reads_what_java_reads() {
        let text =
            "# a comment\n! another\n\n  a = 1 \nb:2\nc 3\nd\ne=x\\\n   y\\\\\nf\\ g=\\u00fc\\t\\:";
        let expected =
            [("a", "1 "), ("b", "2"), ("c", "3"), ("d", ""), ("e", "xy\\"), ("f g", "ü\t:")];
        let read = pairs(text);
        let read: Vec<_> = read.iter().map(|(key, value)| (&**key, &**value)).collect();
        assert_eq!(read, expected);
    }

    #[test]
    fn a_broken_escape_is_told_by_its_line() {
        assert_eq!(parse("a=1\nb=\\u12"), Err(2));
        assert_eq!(parse("a=\\u+123"), Err(1));
        assert_eq!(pairs("a=b\\"), [("a".to_owned(), "b".to_owned())]);
    }
}

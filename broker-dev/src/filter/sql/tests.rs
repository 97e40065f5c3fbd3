use oxmq::protocol::message::properties;

use super::parser::MAX_DEPTH;
use super::*;

/// What a filter says of a message with the properties `a` = 5, `b` = `x'y`, `t` = `TRUE`, `f` = 1.5.
fn judge(filter: &str) -> Option<bool> {
    let properties = |name: &str| match name {
        "a" => Some("5"),
        "b" => Some("x'y"),
        "t" => Some("TRUE"),
        "f" => Some(" 1.5d "),
        "A" => Some("other case"),
        _ => None,
    };
    let filter = SqlFilter::parse(filter).unwrap_or_else(|error| panic!("{filter}: {error}"));
    match filter.expression.evaluate(&properties) {
        Ok(Some(Value::Boolean(truth))) => {
            assert_eq!(filter.matches(&properties), truth);
            Some(truth)
        }
        other => {
            assert!(!filter.matches(&properties), "{other:?} must not deliver");
            None
        }
    }
}

fn all_are(wanted: Option<bool>, filters: &[&str]) {
    for filter in filters {
        assert_eq!(judge(filter), wanted, "{filter}");
    }
}

#[test]
fn comparisons_read_a_text_as_what_it_is_compared_with() {
    all_are(
        Some(true),
        &[
            "a = 5",
            "a = '5'",
            "a <> 6",
            "a > 4",
            "a >= 5",
            "a < 5.5",
            "a <= 5L",
            "5 = a",
            "4 < a",
            "a > f",
            "f = 1.5",
            "a = 5000000000 OR a = 5",
            "t = TRUE",
            "b = 'x''y'",
            "a > -6",
            "a = +5",
            "A = 'other case'",
            "a between 1 and 5",
            "a NOT BETWEEN 6 AND 7",
            "a BETWEEN -1 AND f OR a = 5",
            "f > 1.0 AND f < 1.6",
            "a = 5 = TRUE",
        ],
    );
    all_are(
        Some(false),
        &["a = 6", "a <> 5", "t = FALSE", "a > 5", "a NOT BETWEEN 1 AND 9", "NOT t = FALSE"],
    );
}

#[test]
fn what_is_not_there_is_unknown() {
    all_are(
        None,
        &[
            "n = 5",
            "n <> 5",
            "n > 5",
            "n BETWEEN 1 AND 2",
            "n IN ('5')",
            "n NOT IN ('5')",
            "NOT n = 5",
            "n",
            "NOT n",
            "NULL",
            "n = 1 AND a = 5",
            "n = 1 OR a = 6",
        ],
    );
    all_are(
        Some(true),
        &["n IS NULL", "a IS NOT NULL", "n = m", "n = 1 OR a = 5", "NOT (n = 1 AND a = 6)"],
    );
    all_are(Some(false), &["a = n", "n = 1 AND a = 6", "a IS NULL", "n IS NOT NULL"]);
}

#[test]
fn a_text_that_cannot_be_read_ends_the_evaluation() {
    all_are(
        None,
        &[
            "b = 5",
            "b <> 5",
            "b > 5",
            "b > a",
            "f = 1",
            "a = 5 AND b = 5",
            "b = 5 OR a = 5",
            "b < 1.5",
            "TRUE = t",
        ],
    );
    // Whoever comes first decides.
    all_are(Some(true), &["a = 5 OR b = 5"]);
    all_are(Some(false), &["a = 6 AND b = 5"]);
}

#[test]
fn texts_are_searched_and_listed() {
    all_are(
        Some(true),
        &[
            "b CONTAINS 'x'",
            "b startswith 'x'",
            "b ENDSWITH '''y'",
            "b NOT CONTAINS 'z'",
            "b NOT STARTSWITH 'y'",
            "b NOT ENDSWITH 'x'",
            "a IN ('4', '5')",
            "a NOT IN ('4')",
        ],
    );
    all_are(
        Some(false),
        &[
            "n CONTAINS 'x'",
            "n NOT CONTAINS 'x'",
            "b CONTAINS ''",
            "b NOT CONTAINS ''",
            "b CONTAINS 'z'",
            "a IN ('4')",
            "a NOT IN ('5')",
            "5 CONTAINS '5'",
        ],
    );
}

#[test]
fn a_property_by_itself_is_never_true() {
    all_are(Some(false), &["a", "t", "t AND a = 5"]);
    all_are(Some(true), &["NOT t", "TRUE", "NOT FALSE", "t OR a = 5"]);
}

#[test]
fn not_binds_closer_than_a_comparison() {
    // (NOT a) = TRUE
    all_are(Some(true), &["NOT a = TRUE", "NOT (a = 6)"]);
    // A truth value and a number differ.
    all_are(Some(false), &["NOT a = 5"]);
}

#[test]
fn blanks_comments_and_case_do_not_matter() {
    all_are(
        Some(true),
        &[
            "\t a\n=\r5 ",
            "/* one */ a /* ** */ = 5",
            "-- first\na = 5",
            "a = 5 aNd Not a = TRUE oR a In ('5')",
        ],
    );
}

#[test]
fn what_follows_a_whole_condition_is_passed_over() {
    all_are(
        Some(true),
        &["a = 5 b", "a = 5 )", "a = 5 -- no line's end", "a = 5 AND (TRUE) LIKE 'x' AND"],
    );
    // `a = 0`, and then a 5.
    all_are(Some(false), &["a = 05", "a LIKE 'x' AND", "a.5 = b"]);
}

#[test]
fn what_is_no_filter_is_refused_with_its_place() {
    for text in [
        "",
        " ",
        "a =",
        "a = 'x",
        "= 5",
        "a = NULL",
        "NULL <> a",
        "a > 'x'",
        "a > TRUE",
        "(a = 1) > 2",
        "a BETWEEN 5 AND 1",
        "a BETWEEN NULL AND 5",
        "a BETWEEN 1",
        "a IN ()",
        "a IN (5)",
        "5 IN ('5')",
        "a IN ('x'",
        "a NOT",
        "a NOT b",
        "a IS",
        "a IS 5",
        "'text'",
        "5",
        "-a",
        "a AND 5",
        "a CONTAINS b",
        "a = 9223372036854775808",
        "a = 0.0",
        "a = 1e999",
        "(a = 5",
        "a ? 5",
        "a = 5 ?",
        "TRUE = 5",
        ".",
        "a.b = 5",
        "é = 1",
    ] {
        let error = SqlFilter::parse(text).expect_err(text);
        assert!(error.at <= text.len(), "{text}: {error}");
        assert!(error.to_string().contains("at character"), "{error}");
    }
}

#[test]
fn nesting_is_bounded_and_length_is_not() {
    let nested = |depth: usize| format!("{}a = 5{}", "(".repeat(depth), ")".repeat(depth));
    assert_eq!(judge(&nested(MAX_DEPTH - 1)), Some(true));
    for deep in [
        nested(100_000),
        "NOT ".repeat(100_000),
        "-".repeat(100_000),
        "a".to_owned() + &" = a".repeat(100_000),
    ] {
        let error = SqlFilter::parse(&deep).expect_err("too deep");
        assert!(error.to_string().contains("nested"), "{error}");
    }
    let long = vec!["a = 5"; 10_000].join(" AND ");
    assert_eq!(judge(&long), Some(true));
}

#[test]
fn a_filter_is_shown_as_it_was_understood() {
    let shown = |text: &str| SqlFilter::parse(text).unwrap().to_string();
    assert_eq!(shown("a = 1 or b='x''y' and not c"), "((a = 1) OR ((b = 'x''y') AND (NOT c)))");
    assert_eq!(shown("a not between 1 and 2.5"), "((a < 1) OR (a > 2.5))");
    assert_eq!(
        shown("a not in ('x','y') and b is null"),
        "((a NOT IN ('x', 'y')) AND (b IS NULL))"
    );
    assert_eq!(shown("a endswith 'z' and b > -1"), "((a ENDSWITH 'z') AND (b > -1))");
}

proptest::proptest! {
    #[test]
    fn no_text_brings_the_parser_down(text in ".{0,60}") {
        let _ = SqlFilter::parse(&text);
    }

    #[test]
    fn tokens_in_any_order_do_not_either(
        tokens in proptest::collection::vec(proptest::sample::select(vec![
            "a", "b", "'t'", "5", "1.5", "NOT", "AND", "OR", "BETWEEN", "IN", "IS", "NULL", "TRUE", "(",
            ")", ",", "=", "<>", "<", ">=", "+", "-", "CONTAINS", "ENDSWITH",
        ]), 0..20)
    ) {
        if let Ok(filter) = SqlFilter::parse(&tokens.join(" ")) {
            let _ = filter.matches(&|name| (name == "a").then_some("5"));
            // What is shown means the same.
            let again = SqlFilter::parse(&filter.to_string()).unwrap();
            proptest::prop_assert_eq!(again, filter);
        }
    }
}

#[test]
fn golden_filters_are_judged_as_by_apache() {
    const MESSAGE: &str = "a\u{1}5\u{2}b\u{1}x'y\u{2}f\u{1} 1.5d \u{2}g\u{1}-7\u{2}t\u{1}TRUE\u{2}\
        A\u{1}2147483648\u{2}x_1\u{1}Infinity\u{2}$y\u{1}x\u{2}";
    let mut differ = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    for line in include_str!("../../../tests/golden/filters-5.3.3.tsv").split_terminator('\n') {
        let (wanted, text) = line.split_once('\t').unwrap();
        let filter = SqlFilter::parse(text);
        let property = |name: &str| properties::find(MESSAGE, name);
        let judged = match filter.as_ref().map(|filter| filter.expression.evaluate(&property)) {
            Err(_) => "refused",
            Ok(Err(_)) => "fails",
            Ok(Ok(None)) => "unknown",
            Ok(Ok(Some(Value::Boolean(true)))) => "true",
            Ok(Ok(Some(_))) => "false",
        };
        seen.insert(wanted);
        if judged != wanted {
            differ.push(format!("{text}: {judged} instead of {wanted}"));
        }
    }
    assert_eq!(seen.len(), 5, "{seen:?}");
    assert!(differ.is_empty(), "{} differ:\n{}", differ.len(), differ.join("\n"));
}

//! What calls cost at most, in steps, whatever the body is.

use super::*;

/// The most that a test lets a call spend: what ends it, one more place, and a search over the rest.
const MOST: usize = (256 << 10) + (16 << 10) + (160 << 10);

/// How a body passed: what came of it, or why it was given up.
struct Passed {
    result: Result<Vec<u8>, String>,
    calls: usize,
    steps: usize,
}

fn pass(rules: &str, body: &[u8]) -> Passed {
    let mut settings = settings(rules, "");
    let mut passage = Passage::new(None, settings.replacer());
    let mut passed = Passed { result: Ok(Vec::new()), calls: 0, steps: 0 };
    let mut chunks = body.chunks(64 << 10);
    let mut chunk = chunks.next();
    loop {
        let step = passage.step(&mut settings.rules, chunk.unwrap_or_default(), chunk.is_none());
        let steps = settings.rules.effort().steps();
        assert!(steps <= MOST, "{steps} steps in a call");
        (passed.calls, passed.steps) = (passed.calls + 1, passed.steps + steps);
        match (&mut passed.result, step) {
            (Ok(out), Ok(given)) => {
                out.extend(given.bytes);
                match (given.more, chunk) {
                    (false, None) => return passed,
                    (false, Some(_)) => chunk = chunks.next(),
                    (true, chunk_before) => chunk = chunk_before.map(|_| &[][..]),
                }
            }
            (result, Err(reason)) => {
                *result = Err(reason);
                return passed;
            }
            (Err(_), _) => return passed,
        }
    }
}

const LINK: &str = r#"{"match": "<a [^>]*href=\"http://old", "replace": "NEW"}"#;

fn links() -> String {
    LINK.replace("=\"", "=\\\"") + r#", {"find": "old", "replace": "new"}"#
}

#[test]
fn places_that_nearly_match_cost_no_more_than_their_length() {
    let body = "<a ".repeat(30_000);
    let passed = pass(&links(), body.as_bytes());
    assert!(passed.result.unwrap() == body.as_bytes());
    assert!(passed.steps <= 8 * body.len(), "{} steps", passed.steps);
    let ends = "<a ".repeat(3_000) + ">";
    let body = format!("{}<a x href=\"http://old/\"> old", ends.repeat(10));
    let passed = pass(&links(), body.as_bytes());
    let expected = format!("{}NEW/\"> new", ends.repeat(10));
    assert!(passed.result.unwrap() == expected.as_bytes());
    assert!(passed.steps <= 8 * body.len(), "{} steps", passed.steps);
}

#[test]
fn many_matches_take_several_calls() {
    let rule = r#"{"match": "v(\\d+)", "replace": "w$1"}"#;
    let body = "v1 ".repeat(30_000);
    let passed = pass(rule, body.as_bytes());
    assert!(passed.result.unwrap() == "w1 ".repeat(30_000).as_bytes());
    assert!(passed.calls > 2, "{} calls", passed.calls);
}

#[test]
fn a_body_that_costs_too_much_is_given_up() {
    // Each match is one byte long, and looks as far as the window goes for more.
    let rule = |replace| format!(r#"{{"match": "x([^z]*z)?", "replace": "{replace}"}}"#);
    let body = "x".repeat(9_000);
    let error = pass(&rule("y"), body.as_bytes()).result.unwrap_err();
    assert!(error.contains("too long for its length"), "{error}");
    let passed = pass(&rule(""), body.as_bytes());
    let error = passed.result.unwrap_err();
    assert!(error.contains("give nothing"), "{error}");
    assert_eq!(passed.calls, 1 + 17, "before the host takes it for a failure");
    let short = "x".repeat(2_000);
    assert_eq!(pass(&rule("y"), short.as_bytes()).result.unwrap(), "y".repeat(2_000).as_bytes());
}

#[test]
fn rules_that_had_their_match_take_no_longer() {
    let many: Vec<_> =
        (0..40).map(|_| r#"{"match": "x([^z]*z)?", "replace": "y", "once": true}"#).collect();
    let body = "x".repeat(40_000);
    let passed = pass(&many.join(","), body.as_bytes());
    let expected = "y".repeat(40) + &"x".repeat(39_960);
    assert!(passed.result.unwrap() == expected.as_bytes());
    assert!(passed.calls > 2);
}

#[test]
fn an_automaton_grows_over_several_calls() {
    let rule = r#"{"match": "[ab]*a[ab]{12}c", "replace": "-"}"#;
    let mut seed = 1_u32;
    let mut letter = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        if seed >> 31 == 0 { 'a' } else { 'b' }
    };
    let body: String = (0..12_000).map(|_| letter()).collect::<String>() + "aababababababc.";
    let passed = pass(rule, body.as_bytes());
    assert!(passed.result.unwrap() == b"-.");
    assert!(passed.calls > 2, "{} calls", passed.calls);
}

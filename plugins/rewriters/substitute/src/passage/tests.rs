//! Bodies in chunks of any size, against the whole.

use std::io::Write;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use proptest::collection::vec;
use proptest::prelude::*;
use regex_automata::meta::Regex;
use regex_automata::util::syntax;

use super::*;
use crate::config::Settings;

mod broken;
mod effort;

fn settings(rules: &str, more: &str) -> Settings {
    Settings::parse(&format!(r#"{{"rules": [{rules}]{more}}}"#)).unwrap()
}

/// Passes a body in chunks, as the host does.
fn passed(
    settings: &mut Settings,
    coding: Option<Coding>,
    chunks: &[&[u8]],
) -> Result<Vec<u8>, String> {
    let mut passage = Passage::new(coding, settings.replacer());
    let mut out = Vec::new();
    let mut idle = 0;
    let mut take = |output: Output| {
        assert!(output.bytes.len() <= OUTPUT);
        idle = if output.bytes.is_empty() && output.more { idle + 1 } else { 0 };
        assert!(idle <= 16, "the host would take this for a failure");
        out.extend(output.bytes);
        output.more
    };
    for chunk in chunks.iter().filter(|chunk| !chunk.is_empty()) {
        let mut more = take(passage.step(&mut settings.rules, chunk, false)?);
        while more {
            more = take(passage.step(&mut settings.rules, &[], false)?);
        }
    }
    while take(passage.step(&mut settings.rules, &[], true)?) {}
    Ok(out)
}

fn plain(rules: &str, body: &str) -> String {
    let mut settings = settings(rules, "");
    let all = passed(&mut settings, None, &[body.as_bytes()]).unwrap();
    let bytes: Vec<_> = body.as_bytes().chunks(1).collect();
    assert_eq!(passed(&mut settings, None, &bytes).unwrap(), all, "byte by byte");
    String::from_utf8(all).unwrap()
}

#[test]
fn the_first_rule_that_matches_at_a_place_has_it() {
    let rules = r#"{"find": "ab", "replace": "1"}, {"find": "abc", "replace": "2"},
                   {"find": "b", "replace": "3"}, {"find": "1", "replace": "4"}"#;
    assert_eq!(plain(rules, "abcab b1"), "1c1 34", "what is put in is not looked at again");
    let longer = r#"{"find": "abc", "replace": "2"}, {"find": "ab", "replace": "1"}"#;
    assert_eq!(plain(longer, "abcabxab"), "21x1");
    let delete = r#"{"find": "é", "replace": ""}"#;
    assert_eq!(plain(delete, "café"), "caf");
}

#[test]
fn patterns_have_groups_context_and_case() {
    let version = r#"{"match": "v(\\d+)", "replace": "w$1$$", "ignore-case": true}"#;
    assert_eq!(plain(version, "V12 v3 v"), "w12$ w3$ v");
    let word = r#"{"match": "\\bcat\\b", "replace": "dog"}"#;
    assert_eq!(plain(word, "cat concat cats cat"), "dog concat cats dog");
    let lines = r#"{"match": "(?m)^(.*)$", "replace": "<$1>"}"#;
    assert_eq!(plain(lines, "a\nbc\n"), "<a>\n<bc>\n<>");
    let ends = r#"{"match": "^", "replace": "["}, {"match": "$", "replace": "]"}"#;
    assert_eq!(plain(ends, "ab"), "[ab]");
    let lazy = r#"{"match": "(?s)<s>.*?</s>", "replace": ""}"#;
    assert_eq!(plain(lazy, "a<s>\n<s></s>b</s>c<s>"), "ab</s>c<s>");
    let fixed = r#"{"find": "HTTP://A.b", "replace": "$0", "ignore-case": true}"#;
    assert_eq!(plain(fixed, "http://a.B http://axb"), "$0 http://axb");
}

#[test]
fn a_rule_can_be_for_its_first_match_only() {
    let once = r#"{"find": "a", "replace": "1", "once": true}, {"find": "ab", "replace": "2"}"#;
    assert_eq!(plain(once, "xabaab"), "x1ba2");
    let all = r#"{"find": "a", "replace": "1", "once": true}"#;
    assert_eq!(plain(all, "aaa"), "1aa");
}

#[test]
fn a_match_is_found_as_far_as_the_window_goes() {
    let rule = r#"{"match": "<[^>]*>", "replace": "-"}"#;
    let mut settings = settings(rule, r#", "window": "64B""#);
    for (inside, expected) in [(62, "-".to_owned()), (63, format!("<{}>", "x".repeat(63)))] {
        let body = format!("<{}>", "x".repeat(inside));
        for size in [1, 7, 64, 1000] {
            let chunks: Vec<_> = body.as_bytes().chunks(size).collect();
            let out = passed(&mut settings, None, &chunks).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{inside} in {size}");
        }
    }
    let long = "y".repeat(200);
    let rule = format!(r#"{{"find": "{long}", "replace": "-"}}"#);
    let mut settings = self::settings(&rule, r#", "window": "64B""#);
    assert_eq!(passed(&mut settings, None, &[long.as_bytes()]).unwrap(), b"-", "a text always is");
}

fn written(mut encoder: impl Write, body: &[u8]) {
    encoder.write_all(body).unwrap();
}

fn coded(coding: &str, body: &[u8]) -> Vec<u8> {
    let level = Compression::default();
    let mut out = Vec::new();
    match coding {
        "gzip" => written(GzEncoder::new(&mut out, level), body),
        "zlib" => written(ZlibEncoder::new(&mut out, level), body),
        _ => written(DeflateEncoder::new(&mut out, level), body),
    }
    out
}

/// Ten `X` and ten `Y` in brotli.
const BROTLI: [u8; 12] = [0x1b, 0x13, 0, 0, 0xa4, 0xb0, 0xb2, 0xea, 0x81, 0x47, 0x02, 0x8a];

#[test]
fn coded_bodies_are_decoded_however_they_come() {
    let body = "hello old world, ".repeat(6_000);
    let expected = body.replace("old", "new");
    let rules = r#"{"find": "old", "replace": "new"}, {"find": "XY", "replace": "xy"}"#;
    let mut settings = settings(rules, "");
    let two = [coded("gzip", body.as_bytes()), coded("gzip", b"old")].concat();
    let cases = [
        (Coding::Gzip, coded("gzip", body.as_bytes()), expected.clone()),
        (Coding::Deflate, coded("zlib", body.as_bytes()), expected.clone()),
        (Coding::Deflate, coded("raw", body.as_bytes()), expected.clone()),
        (Coding::Gzip, two, format!("{expected}new")),
        (Coding::Gzip, Vec::new(), String::new()),
        (Coding::Brotli, Vec::new(), String::new()),
        (Coding::Brotli, BROTLI.to_vec(), "XXXXXXXXXxyYYYYYYYYY".to_owned()),
    ];
    for (coding, bytes, expected) in cases {
        for size in [1, 3, 100, 64 << 10] {
            let chunks: Vec<_> = bytes.chunks(size).collect();
            let out = passed(&mut settings, Some(coding), &chunks).unwrap();
            assert!(out == expected.as_bytes(), "{coding:?} in {size}");
        }
    }
}

#[test]
fn what_is_not_what_it_says_is_told() {
    let mut settings = settings(r#"{"find": "old", "replace": "new"}"#, "");
    let mut error = |coding, bytes: &[u8]| passed(&mut settings, Some(coding), &[bytes]).err();
    let good = coded("gzip", b"hello");
    for cut in 1..good.len() {
        assert!(error(Coding::Gzip, &good[..cut]).is_some(), "{cut}");
    }
    let good = coded("zlib", b"hello");
    for cut in 1..good.len() {
        assert!(error(Coding::Deflate, &good[..cut]).is_some(), "{cut}");
    }
    for cut in 1..BROTLI.len() {
        assert!(error(Coding::Brotli, &BROTLI[..cut]).is_some(), "{cut}");
    }
    let said = error(Coding::Gzip, b"this is no gzip").unwrap();
    assert!(said.starts_with("it cannot be decoded: "), "{said}");
    assert!(error(Coding::Brotli, b"\xff\xff\xff\xff").is_some());
    assert!(error(Coding::Deflate, b"\xff\xff\xff\xff").is_some());
}

#[test]
fn a_bomb_is_given_in_pieces() {
    let bomb = coded("gzip", &vec![b'a'; 8 << 20]);
    let mut settings = settings(r#"{"find": "b", "replace": "c"}"#, "");
    let mut passage = Passage::new(Some(Coding::Gzip), settings.replacer());
    let (mut total, mut calls) = (0, 0);
    let mut output = passage.step(&mut settings.rules, &bomb, false).unwrap();
    loop {
        assert!(output.bytes.len() <= OUTPUT && passage.ready.capacity() <= 1 << 20);
        (total, calls) = (total + output.bytes.len(), calls + 1);
        if !output.more {
            break;
        }
        output = passage.step(&mut settings.rules, &[], false).unwrap();
    }
    assert_eq!(total, 8 << 20);
    assert!(calls >= 32, "{calls} calls");
}

/// The same over the whole body, by searches for all patterns together.
fn whole(patterns: &[&str], replace: &[u8], body: &[u8]) -> Vec<u8> {
    let flags = syntax::Config::new().unicode(false).utf8(false);
    let config = regex_automata::meta::Config::new().utf8_empty(false);
    let regex = Regex::builder().configure(config).syntax(flags).build_many(patterns).unwrap();
    let (mut out, mut from) = (Vec::new(), 0);
    for found in regex.find_iter(body) {
        out.extend_from_slice(&body[from..found.start()]);
        out.extend_from_slice(replace);
        out.push(b'0' + u8::try_from(found.pattern().as_usize()).unwrap());
        from = found.end();
    }
    out.extend_from_slice(&body[from..]);
    out
}

const PATTERNS: [&str; 12] = [
    "ab",
    "a",
    "abc",
    "a+b",
    "(a|ab)(c|bcd)",
    "\\bb",
    "c\\b",
    "(?m)^a",
    "b(?m:$)",
    "a*",
    "[^a]b?",
    "a.*?c",
];

proptest! {
    #[test]
    fn any_chunking_gives_what_the_whole_body_gives(
        body in "[abc \n]{0,60}",
        picks in vec(0..PATTERNS.len(), 1..4),
        cuts in vec(0_usize..61, 0..8),
    ) {
        let patterns: Vec<_> = picks.iter().map(|pick| PATTERNS[*pick]).collect();
        let rule = |(place, pattern): (usize, &&str)| {
            let pattern = pattern.replace('\\', "\\\\");
            format!(r#"{{"match": "{pattern}", "replace": "<{place}"}}"#)
        };
        let rules: Vec<_> = patterns.iter().enumerate().map(rule).collect();
        let mut settings = settings(&rules.join(","), "");
        let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(body.len())).collect();
        cuts.extend([0, body.len()]);
        cuts.sort_unstable();
        let chunks: Vec<_> = cuts.windows(2).map(|cut| &body.as_bytes()[cut[0]..cut[1]]).collect();
        let out = passed(&mut settings, None, &chunks).unwrap();
        let expected = whole(&patterns, b"<", body.as_bytes());
        prop_assert_eq!(String::from_utf8(out).unwrap(), String::from_utf8(expected).unwrap());
    }

    #[test]
    fn a_small_window_does_not_care_for_chunks(
        body in "[ab<>]{0,400}",
        sizes in vec(1_usize..150, 1..10),
    ) {
        let rules = r#"{"match": "<[^>]*>", "replace": "-$0-"},
                       {"match": "a.*b", "replace": "_", "once": true}"#;
        let mut settings = settings(rules, r#", "window": "64B""#);
        let expected = passed(&mut settings, None, &[body.as_bytes()]).unwrap();
        let mut rest = body.as_bytes();
        let mut chunks = Vec::new();
        for size in sizes.iter().cycle() {
            let (chunk, after) = rest.split_at((*size).min(rest.len()));
            chunks.push(chunk);
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(passed(&mut settings, None, &chunks).unwrap(), expected);
    }
}

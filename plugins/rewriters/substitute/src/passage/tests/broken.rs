//! Codings that end otherwise than they should.

use super::*;

/// What is given before the error, and the error.
fn until_broken(coding: Coding, bytes: &[u8], size: usize) -> (Vec<u8>, String) {
    let mut settings = settings(r#"{"find": "old", "replace": "new"}"#, "");
    let mut passage = Passage::new(Some(coding), settings.replacer());
    let mut out = Vec::new();
    let mut chunks = bytes.chunks(size);
    let mut chunk = chunks.next();
    for _ in 0..10_000 {
        match passage.step(&mut settings.rules, chunk.unwrap_or_default(), chunk.is_none()) {
            Ok(given) => {
                out.extend(given.bytes);
                chunk = if given.more { chunk.map(|_| &[][..]) } else { chunks.next() };
            }
            Err(error) => return (out, error),
        }
    }
    panic!("no error");
}

#[test]
fn zeros_behind_a_member_are_none_of_it() {
    let mut settings = settings(r#"{"find": "old", "replace": "new"}"#, "");
    let old = coded("gzip", b"old ");
    let padded = [old.clone(), vec![0; 70_000]].concat();
    let two = [padded.clone(), old].concat();
    for (bytes, expected) in [(padded, "new "), (two, "new new ")] {
        for size in [1, 7, 64 << 10] {
            let chunks: Vec<_> = bytes.chunks(size).collect();
            let out = passed(&mut settings, Some(Coding::Gzip), &chunks).unwrap();
            assert_eq!(out, expected.as_bytes(), "in {size}");
        }
    }
    assert!(passed(&mut settings, Some(Coding::Gzip), &[&[0; 100]]).is_err(), "no member at all");
}

#[test]
fn what_comes_before_a_fault_is_passed_on() {
    let body = "old text, ".repeat(100);
    let expected = body.replace("old", "new");
    let good = coded("gzip", body.as_bytes());
    let mut wrong_sum = good.clone();
    let sum = wrong_sum.len() - 8;
    wrong_sum[sum] ^= 1;
    let cases = [
        [good.clone(), b"junk".to_vec()].concat(),
        [good.clone(), b"\0\0junk".to_vec()].concat(),
        good[..good.len() - 1].to_vec(),
        [wrong_sum.clone(), good].concat(),
        wrong_sum,
    ];
    for (index, bytes) in cases.iter().enumerate() {
        for size in [1, 7, 64 << 10] {
            let (out, error) = until_broken(Coding::Gzip, bytes, size);
            assert_eq!(String::from_utf8(out).unwrap(), expected, "case {index} in {size}");
            assert!(error.contains("coding") || error.contains("decoded"), "{error}");
        }
    }
    let cut = coded("zlib", body.as_bytes());
    let (out, _) = until_broken(Coding::Deflate, &cut[..cut.len() - 1], 64 << 10);
    assert_eq!(out, expected.as_bytes());
}

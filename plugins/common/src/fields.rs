//! What may stand in a header field, and rewriting those of a name.

/// Whether that can be the name of a field: an RFC 9110 token.
#[must_use]
pub fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// Whether that can be the value of a field: no control characters but tabs, and no blanks around
/// it.
#[must_use]
pub fn is_value(value: &str) -> bool {
    let is_blank = |character: char| matches!(character, ' ' | '\t');
    value.chars().all(|character| character == '\t' || !character.is_control())
        && !value.starts_with(is_blank)
        && !value.ends_with(is_blank)
}

/// Rewrites each of the values of a name; none if nothing changes, so that nothing need be set.
pub fn rewrite_each(
    values: Vec<Vec<u8>>,
    rewrite: impl Fn(&[u8]) -> Option<Vec<u8>>,
) -> Option<Vec<Vec<u8>>> {
    let mut changed = false;
    let values = values.into_iter().map(|value| match rewrite(&value) {
        Some(rewritten) => {
            changed = true;
            rewritten
        }
        None => value,
    });
    let values = values.collect();
    changed.then_some(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_is_rewritten_and_the_others_stay() {
        let each = |rewritten: &[u8]| {
            let values = vec![b"a".to_vec(), b"b".to_vec()];
            rewrite_each(values, |value| (value == rewritten).then(|| b"c".to_vec()))
        };
        assert_eq!(each(b"b"), Some(vec![b"a".to_vec(), b"c".to_vec()]));
        assert_eq!(each(b"x"), None);
    }

    #[test]
    fn names_are_tokens_and_values_hold_one_line() {
        assert!(is_name("x-forwarded-for") && is_name("X_1.~"));
        assert!(!is_name("") && !is_name("a b") && !is_name("a:") && !is_name("é"));
        assert!(is_value("") && is_value("a b\tc") && is_value("café"));
        assert!(!is_value("a\r\nb") && !is_value("a\0") && !is_value(" a") && !is_value("a\t"));
    }
}

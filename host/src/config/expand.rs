//! Variables of the environment in string values: `${VAR}`, and `${VAR:-default}` for one that may
//! be unset or empty.
//!
//! `$${` stands for `${`. What is in braces but a number stays as it is, because replacement
//! templates of plugins write `${1}`. What a variable holds is not expanded again.

use std::borrow::Cow;
use std::ffi::OsString;
use std::path::Path;

use thiserror::Error;

use crate::config::{Config, Faults, check};

/// Where variables come from.
pub(super) type Variables<'a> = &'a dyn Fn(&str) -> Option<OsString>;

impl Config {
    /// Checks a configuration given as text, as [`Config::parse`] does, with variables from
    /// elsewhere than this process.
    ///
    /// # Errors
    ///
    /// All faults of the text at once.
    pub fn parse_with(
        text: &str,
        origin: &Path,
        variables: &dyn Fn(&str) -> Option<OsString>,
    ) -> Result<Self, Faults> {
        check::parse_with(text, origin, variables)
    }
}

/// Why a text does not expand.
#[derive(Debug, PartialEq, Eq, Error)]
pub(super) enum ExpandError {
    #[error("the environment has no variable `{0}`")]
    Undefined(String),
    #[error("the variable `{0}` is not UTF-8")]
    NotUtf8(String),
    #[error("`{0}` is not the name of a variable")]
    BadName(String),
    #[error("`${{` is not closed")]
    Unclosed,
}

/// Replaces the variables of a text.
pub(super) fn expand<'t>(
    text: &'t str,
    variables: Variables<'_>,
) -> Result<Cow<'t, str>, ExpandError> {
    if !text.contains("${") {
        return Ok(Cow::Borrowed(text));
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(before) = before.strip_suffix('$') {
            out.push_str(before);
            out.push_str("${");
            rest = after;
            continue;
        }
        out.push_str(before);
        let (inner, after) = after.split_once('}').ok_or(ExpandError::Unclosed)?;
        rest = after;
        if !inner.is_empty() && inner.bytes().all(|byte| byte.is_ascii_digit()) {
            out.push_str("${");
            out.push_str(inner);
            out.push('}');
        } else {
            out.push_str(&variable(inner, variables)?);
        }
    }
    out.push_str(rest);
    Ok(Cow::Owned(out))
}

fn variable(inner: &str, variables: Variables<'_>) -> Result<String, ExpandError> {
    let (name, default) = match inner.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inner, None),
    };
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !starts || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(ExpandError::BadName(name.to_owned()));
    }
    let value = variables(name).map(OsString::into_string).transpose();
    let value = value.ok().ok_or_else(|| ExpandError::NotUtf8(name.to_owned()))?;
    match (value, default) {
        (None, None) => Err(ExpandError::Undefined(name.to_owned())),
        (None, Some(default)) => Ok(default.to_owned()),
        (Some(value), Some(default)) if value.is_empty() => Ok(default.to_owned()),
        (Some(value), _) => Ok(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str) -> Result<String, ExpandError> {
        let variables = |name: &str| match name {
            "HOST" => Some(OsString::from("a.example")),
            "_p2" => Some(OsString::from("${HOST}")),
            "EMPTY" => Some(OsString::new()),
            #[cfg(unix)]
            "BROKEN" => Some(std::os::unix::ffi::OsStringExt::from_vec(vec![0xff])),
            _ => None,
        };
        expand(text, &variables).map(Cow::into_owned)
    }

    #[test]
    fn what_expands() {
        let cases = [
            ("plain", "plain"),
            ("$HOST $ {HOST} }", "$HOST $ {HOST} }"),
            ("${HOST}", "a.example"),
            ("x${HOST}y${HOST}", "xa.exampleya.example"),
            ("${HOST:-b}", "a.example"),
            ("${NONE:-b}", "b"),
            ("${NONE:-}", ""),
            ("${NONE:-a:-b}", "a:-b"),
            ("${EMPTY}", ""),
            ("${EMPTY:-b}", "b"),
            ("${_p2}", "${HOST}"),
            ("$${HOST}", "${HOST}"),
            ("$$${HOST}", "$${HOST}"),
            ("/new/${1}${12}", "/new/${1}${12}"),
        ];
        for (text, result) in cases {
            assert_eq!(expanded(text).as_deref(), Ok(result), "{text}");
        }
    }

    #[test]
    fn what_does_not() {
        let cases = [
            ("${NONE}", ExpandError::Undefined("NONE".to_owned())),
            ("${", ExpandError::Unclosed),
            ("a${HOST", ExpandError::Unclosed),
            ("${}", ExpandError::BadName(String::new())),
            ("${a b}", ExpandError::BadName("a b".to_owned())),
            ("${1x}", ExpandError::BadName("1x".to_owned())),
            ("${HOST-x}", ExpandError::BadName("HOST-x".to_owned())),
            ("${BROKEN}", ExpandError::NotUtf8("BROKEN".to_owned())),
        ];
        for (text, error) in cases {
            assert_eq!(expanded(text), Err(error), "{text}");
        }
    }
}

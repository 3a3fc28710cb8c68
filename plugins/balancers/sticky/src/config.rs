//! Sticky sessions: the configuration.

use linkspan_plugin_common::{config, fields};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Config {
    /// The cookie that holds the session.
    #[serde(default, deserialize_with = "name")]
    pub(crate) cookie: Option<String>,
    /// The parameter of the URL that holds it, and goes before the cookie.
    #[serde(default, deserialize_with = "name")]
    pub(crate) parameter: Option<String>,
    /// What the route follows; nothing where the whole value is the route.
    #[serde(default = "full_stop", deserialize_with = "value")]
    pub(crate) separator: String,
    /// Whether a session ends with its endpoint.
    #[serde(default)]
    pub(crate) no_failover: bool,
    /// What follows the value of the cookie that clients are given, such as `Path=/; HttpOnly`;
    /// where absent they are given none.
    #[serde(default, deserialize_with = "some_value")]
    pub(crate) set_cookie: Option<String>,
}

impl Config {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let config: Self = config::parse(text)?;
        match (&config.cookie, &config.parameter, &config.set_cookie) {
            (None, None, _) => {
                Err("no session is named, expected `cookie`, `parameter`, or both".to_owned())
            }
            (None, _, Some(_)) => {
                Err("set-cookie: this cookie has no name, expected `cookie` as well".to_owned())
            }
            _ => Ok(config),
        }
    }
}

fn full_stop() -> String {
    ".".to_owned()
}

fn name<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    checked(from, fields::is_name, "a name of letters, digits and a few signs").map(Some)
}

fn value<'de, D: serde::Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    checked(from, is_value, "visible characters that can stand in a cookie, or nothing")
}

/// Whether a text can stand in a cookie's value.
pub(crate) fn is_value(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic() && !b";,=\"\\".contains(&byte))
}

fn some_value<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    checked(from, fields::is_value, "attributes of a cookie, such as \"Path=/; HttpOnly\"")
        .map(Some)
}

fn checked<'de, D: serde::Deserializer<'de>>(
    from: D,
    fit: impl Fn(&str) -> bool,
    expected: &str,
) -> Result<String, D::Error> {
    let text = String::deserialize(from)?;
    if fit(&text) {
        return Ok(text);
    }
    Err(serde::de::Error::custom(format_args!("{text:?} does not fit, expected {expected}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_is_wrong() {
        let error = |text| Config::parse(text).unwrap_err();
        assert_eq!(error("{}"), "no session is named, expected `cookie`, `parameter`, or both");
        assert!(
            error(r#"{"cookie":"a b"}"#)
                .contains("cookie: \"a b\" does not fit, expected a name of letters")
        );
        assert!(error(r#"{"parameter":""}"#).starts_with("parameter: \"\" does not fit"));
        assert!(
            error(r#"{"cookie":"a","separator":";"}"#).starts_with("separator: \";\" does not")
        );
        assert!(error(r#"{"cookie":"a","set-cookie":"a\r\nb: c"}"#).starts_with("set-cookie: "));
        assert!(
            error(r#"{"parameter":"a","set-cookie":""}"#)
                .starts_with("set-cookie: this cookie has no name")
        );
        assert!(
            error(r#"{"cookie":"a","no-failover":1}"#)
                .starts_with("no-failover: this is an integer, expected a boolean")
        );
        assert!(
            error(r#"{"cookie":"a","nofailover":true}"#).starts_with("nofailover: unknown key")
        );
        let config = Config::parse(r#"{"cookie":"a"}"#).unwrap();
        assert_eq!((config.separator.as_str(), config.no_failover), (".", false));
    }
}

//! Sticky sessions: finding the route in a request.

use crate::config::Config;
use linkspan_plugin_balancing::Host;
use std::ops::Range;

/// The route that a request names: by its parameter, else by its cookie.
pub(crate) fn route(config: &Config, host: &impl Host) -> Option<Vec<u8>> {
    parameter(config, host).or_else(|| cookie(config, host))
}

/// The route of the parameter, in the query or, after a semicolon, in the path.
fn parameter(config: &Config, host: &impl Host) -> Option<Vec<u8>> {
    let name = config.parameter.as_deref()?;
    let value = |part: &str| {
        let value = part.strip_prefix(name)?.strip_prefix('=')?;
        of_value(value.as_bytes(), config).map(<[u8]>::to_vec)
    };
    let query = host.query().unwrap_or_default();
    query.split(['&', ';', '?']).find_map(value).or_else(|| {
        let path = host.path();
        let mut parts = path.split(';').skip(1).map(|part| part.split('/').next().unwrap_or(part));
        parts.find_map(value)
    })
}

/// The route of the cookie.
pub(crate) fn cookie(config: &Config, host: &impl Host) -> Option<Vec<u8>> {
    let name = config.cookie.as_deref()?.as_bytes();
    // There is one field as a rule, and to ask for one costs half as much as to ask for all.
    of_field(host.header("cookie")?, name, config).or_else(|| {
        let fields = host.header_values("cookie");
        fields.into_iter().skip(1).find_map(|field| of_field(field, name, config))
    })
}

/// The route of a cookie in one of the fields that hold cookies.
fn of_field(mut field: Vec<u8>, name: &[u8], config: &Config) -> Option<Vec<u8>> {
    let route = place(&field, name, config)?;
    field.truncate(route.end);
    field.drain(..route.start);
    Some(field)
}

/// Where in a field that is.
fn place(field: &[u8], name: &[u8], config: &Config) -> Option<Range<usize>> {
    let mut next = 0;
    field.split(|byte| b";,".contains(byte)).find_map(|pair| {
        let end = next + pair.trim_ascii_end().len();
        next += pair.len() + 1;
        let value = pair.trim_ascii().strip_prefix(name)?.strip_prefix(b"=")?;
        Some(end - of_value(value, config)?.len()..end)
    })
}

/// The route in a session's value: what follows the first separator.
fn of_value<'v>(value: &'v [u8], config: &Config) -> Option<&'v [u8]> {
    let separator = config.separator.as_bytes();
    let at = match separator {
        [] => 0,
        [only] => value.iter().position(|byte| byte == only)?,
        _ => value.windows(separator.len()).position(|part| part == separator)?,
    };
    value.get(at + separator.len()..)
}

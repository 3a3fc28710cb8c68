//! Sticky sessions: finding the route in a request.

use crate::config::Config;
use linkspan_plugin_balancing::Host;

/// The route that a request names: by its parameter, else by its cookie.
pub(crate) fn route(config: &Config, host: &impl Host) -> Option<String> {
    parameter(config, host).or_else(|| cookie(config, host))
}

/// The route of the parameter, in the query or, after a semicolon, in the path.
fn parameter(config: &Config, host: &impl Host) -> Option<String> {
    let name = config.parameter.as_deref()?;
    let value = |part: &str| {
        let value = part.strip_prefix(name)?.strip_prefix('=')?;
        of_value(value, config)
    };
    let query = host.query().unwrap_or_default();
    query.split(['&', ';', '?']).find_map(value).or_else(|| {
        let path = host.path();
        let mut parts = path.split(';').skip(1).map(|part| part.split('/').next().unwrap_or(part));
        parts.find_map(value)
    })
}

/// The route of the cookie.
pub(crate) fn cookie(config: &Config, host: &impl Host) -> Option<String> {
    let name = config.cookie.as_deref()?;
    // There is one field as a rule, and to ask for one costs half as much as to ask for all.
    let first = host.header("cookie")?;
    of_field(&first, name, config).or_else(|| {
        let fields = host.header_values("cookie");
        fields.iter().skip(1).find_map(|field| of_field(field, name, config))
    })
}

/// The route of a cookie in one of the fields that hold cookies.
fn of_field(field: &[u8], name: &str, config: &Config) -> Option<String> {
    field.split(|byte| b";,".contains(byte)).find_map(|pair| {
        let value = pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        of_value(std::str::from_utf8(value).ok()?, config)
    })
}

/// The route in a session's value: what follows the first separator.
fn of_value(value: &str, config: &Config) -> Option<String> {
    let (_, route) = value.split_once(config.separator.as_str())?;
    Some(route.to_owned())
}

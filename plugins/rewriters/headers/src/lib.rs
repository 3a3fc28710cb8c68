//! Rewriter: removes, sets and appends header fields of requests and responses, in that order.
//!
//! The edits are those of the configuration, ready before the first call; a phase without any is
//! not asked about. In `request`, setting `host` sets the authority that the upstream sees.

use crate::bindings::exports::linkspan::plugin::lifecycle;
use crate::bindings::linkspan::plugin::phases;
use crate::bindings::linkspan::plugin::types::{Field, Phase};
use crate::lowered::{Edit, Lowered};
use linkspan_plugin_common::{config, fields};
use serde::Deserialize;
use std::cell::RefCell;
use std::collections::BTreeMap;

pub mod export;
pub mod lowered;

mod bindings {
    wit_bindgen::generate!({
        path: "../../../wit",
        world: "rewriter-plugin",
        // What they answer is ready, and would be copied for each call.
        skip: ["on-request", "on-response"],
    });
}

/// What the host writes itself, because it decides where a message ends.
const FRAMING: [&str; 7] =
    ["connection", "content-length", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"];

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    request: Changes,
    response: Changes,
}

/// What is to be done to one head.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Changes {
    remove: Vec<String>,
    set: BTreeMap<String, Values>,
    append: BTreeMap<String, Values>,
}

/// A value, or several for as many fields of the name.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a string or a list of strings")]
enum Values {
    One(String),
    Several(Vec<String>),
}

#[derive(Default)]
struct Edits {
    request: Vec<Edit>,
    response: Vec<Edit>,
}

impl Edits {
    /// Checks everything; the error has one fault a line.
    fn compile(config: Config) -> Result<Self, String> {
        let mut faults = Vec::new();
        let request = edits("request", config.request, &mut faults);
        let response = edits("response", config.response, &mut faults);
        if faults.is_empty() { Ok(Self { request, response }) } else { Err(faults.join("\n")) }
    }
}

fn edits(phase: &str, changes: Changes, faults: &mut Vec<String>) -> Vec<Edit> {
    let mut edits = Vec::new();
    for (index, name) in changes.remove.into_iter().enumerate() {
        match check_name(phase, &name) {
            Ok(()) => edits.push(Edit::Remove(name)),
            Err(fault) => faults.push(format!("{phase}.remove[{index}]: {fault}")),
        }
    }
    let set = changes.set.into_iter().map(|change| ("set", change));
    let append = changes.append.into_iter().map(|change| ("append", change));
    for (operation, (name, values)) in set.chain(append) {
        match fields_of(phase, operation, &name, values) {
            Ok(fields) => edits.extend(fields),
            Err(fault) => faults.push(format!("{phase}.{operation}.{name}: {fault}")),
        }
    }
    edits
}

fn fields_of(
    phase: &str,
    operation: &str,
    name: &str,
    values: Values,
) -> Result<Vec<Edit>, String> {
    let values = match values {
        Values::One(value) => vec![value],
        Values::Several(values) => values,
    };
    if values.is_empty() {
        return Err("the list is empty, expected a value; `remove` takes a field away".to_owned());
    }
    if let Some(value) = values.iter().find(|value| !fields::is_value(value)) {
        return Err(format!(
            "{value:?} is no value of a header field, \
             expected no control characters, and no blanks around it"
        ));
    }
    if let ("request", "set", [host]) = (phase, operation, values.as_slice())
        && name.eq_ignore_ascii_case("host")
    {
        return Ok(vec![Edit::Authority(host.clone())]);
    }
    check_name(phase, name)?;
    // The first value replaces what is there, the others stand beside it.
    Ok(values
        .into_iter()
        .enumerate()
        .map(|(index, value)| {
            let field = Field { name: name.to_ascii_lowercase(), value: value.into_bytes() };
            if operation == "set" && index == 0 { Edit::Set(field) } else { Edit::Append(field) }
        })
        .collect())
}

fn check_name(phase: &str, name: &str) -> Result<(), String> {
    if !fields::is_name(name) {
        return Err(format!(
            "{name:?} is no name of a header field, expected letters, digits and hyphens"
        ));
    }
    if FRAMING.iter().any(|framing| name.eq_ignore_ascii_case(framing)) {
        return Err(format!("`{name}` belongs to the connection, which the proxy manages itself"));
    }
    if phase == "request" && name.eq_ignore_ascii_case("host") {
        return Err("a request has exactly one `host`, which can be set".to_owned());
    }
    Ok(())
}

struct Plugin;

/// The edits of both phases, ready to be read.
struct Ready {
    request: Lowered,
    response: Lowered,
}

thread_local! {
    static READY: RefCell<Ready> =
        const { RefCell::new(Ready { request: Lowered::EMPTY, response: Lowered::EMPTY }) };
}

impl lifecycle::Guest for Plugin {
    fn configure(config: String) -> Result<(), String> {
        let edits = Edits::compile(config::parse(&config)?)?;
        for (phase, edits) in [(Phase::Request, &edits.request), (Phase::Response, &edits.response)]
        {
            if edits.is_empty() {
                phases::skip(phase);
            }
        }
        let Edits { request, response } = edits;
        READY.set(Ready { request: Lowered::new(request), response: Lowered::new(response) });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compile(config: &str) -> Result<Edits, String> {
        Edits::compile(config::parse(config)?)
    }

    /// The edits in short: `-name`, `name=value` for a replacement, `+name=value`, `@authority`.
    fn short(edits: &[Edit]) -> Vec<String> {
        let field =
            |field: &Field| format!("{}={}", field.name, String::from_utf8_lossy(&field.value));
        let short = |edit: &Edit| match edit {
            Edit::Remove(name) => format!("-{name}"),
            Edit::Set(set) => field(set),
            Edit::Append(append) => format!("+{}", field(append)),
            Edit::Authority(authority) => format!("@{authority}"),
        };
        edits.iter().map(short).collect()
    }

    #[test]
    fn removes_sets_and_appends() {
        let config = r#"{
            "request": {"append": {"x-a": "1"}, "set": {"Host": "a.test", "X-B": ""}, "remove": ["X-A"]},
            "response": {"set": {"x-c": ["1", "2"]}, "append": {"set-cookie": ["a=1", "b=2"]}}
        }"#;
        let edits = compile(config).unwrap();
        assert_eq!(short(&edits.request), ["-X-A", "@a.test", "x-b=", "+x-a=1"]);
        assert_eq!(
            short(&edits.response),
            ["x-c=1", "+x-c=2", "+set-cookie=a=1", "+set-cookie=b=2"]
        );
        let edits = compile("{}").unwrap();
        assert!(edits.request.is_empty() && edits.response.is_empty());
    }

    #[test]
    fn every_fault_is_named() {
        let config = r#"{
            "request": {"remove": ["x", "a b", "HOST"], "append": {"host": "a"}},
            "response": {"set": {"content-length": "1", "x-a": "1\r\n2", "x-b": [" 1"], "x-c": []}}
        }"#;
        let faults = compile(config).err().unwrap();
        let keys: Vec<&str> =
            faults.lines().filter_map(|fault| fault.split_once(": ")).map(|(key, _)| key).collect();
        let expected = [
            "request.remove[1]",
            "request.remove[2]",
            "request.append.host",
            "response.set.content-length",
        ];
        assert_eq!(keys[..4], expected);
        assert_eq!(keys[4..], ["response.set.x-a", "response.set.x-b", "response.set.x-c"]);
        let error = |config| compile(config).err().unwrap();
        assert_eq!(
            error(r#"{"reqest": {}}"#),
            "reqest: unknown key, expected `request` or `response`; did you mean `request`?"
        );
        assert_eq!(
            error(r#"{"request": {"set": {"a": 1}}}"#),
            "request.set.a: expected a string or a list of strings"
        );
    }
}

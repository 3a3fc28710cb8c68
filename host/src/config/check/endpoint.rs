//! The endpoints of clusters.

use serde_json::{Map, Value as Json, json};
use toml::de::DeValue;

use crate::config::check::kinds::ENDPOINT;
use crate::config::file::{Document, Kind, Table, Text, Value, Whole, key, with};
use crate::config::{Endpoint, schema, units};

/// The keys of endpoints, in text and in tables, that say where they are.
const ADDRESS: &str = "Host and port, or a Unix socket";

/// The key of clusters and endpoints that bounds what is in flight.
pub(super) const MAX_CONNECTIONS: &str = "max-connections";

/// What it can be.
pub(super) const IN_FLIGHT: Whole<u32> = Whole(1..=1_000_000);

/// A text, or a table whose other keys are for balancers to read.
pub(super) struct EndpointKind;

impl EndpointKind {
    fn table(table: &mut Table<'_>) -> Option<Endpoint> {
        let address = key("address", ADDRESS, ENDPOINT);
        let address = table.required(address, "an address such as `10.0.0.1:80`");
        let weight = table.or(key("weight", "Its share, relative to the others", Weight), 100);
        let most = key(MAX_CONNECTIONS, "The most requests in flight", IN_FLIGHT).such_as(10);
        let max_connections = table.optional(most, "what the cluster says");
        let scalar = json!({ "type": ["string", "number", "boolean"] });
        let others = table.others(scalar);
        let attribute =
            |(key, value): (&str, Value<'_>)| Some((key.to_owned(), attribute(&value)?));
        let mut attributes: Vec<_> = others.into_iter().filter_map(attribute).collect();
        attributes.sort_unstable();
        Some(Endpoint { address: address?, weight, max_connections, attributes })
    }
}

impl Kind for EndpointKind {
    type Value = Endpoint;

    fn read(&self, value: &Value<'_>) -> Option<Endpoint> {
        if matches!(value.item(), DeValue::Table(_)) {
            return value.table(Self::table)?;
        }
        let address = ENDPOINT.read(value)?;
        Some(Endpoint { address, weight: 100, max_connections: None, attributes: Vec::new() })
    }

    fn write(&self, value: &Endpoint) -> Json {
        let address = ENDPOINT.write(&value.address);
        let plain = value.weight == 100 && value.max_connections.is_none();
        if plain && value.attributes.is_empty() {
            return address;
        }
        let attributes = value.attributes.iter();
        let mut written: Map<_, _> =
            attributes.map(|(key, text)| (key.clone(), text.as_str().into())).collect();
        written.insert("address".to_owned(), address);
        written.insert("weight".to_owned(), Weight.write(&value.weight));
        if let Some(most) = &value.max_connections {
            written.insert(MAX_CONNECTIONS.to_owned(), IN_FLIGHT.write(most));
        }
        written.into()
    }

    fn schema(&self) -> Json {
        let text = with(ENDPOINT.schema(), "description", ADDRESS);
        json!({ "anyOf": [text, schema::of_table(&Document::describe(Self::table))] })
    }
}

fn attribute(value: &Value<'_>) -> Option<String> {
    match value.item() {
        DeValue::Integer(number) => Some(number.to_string()),
        DeValue::Float(number) => Some(number.to_string()),
        DeValue::Boolean(truth) => Some(truth.to_string()),
        DeValue::Datetime(date) => Some(date.to_string()),
        _ => Text.read(value),
    }
}

/// A weight, in hundredths.
struct Weight;

impl Kind for Weight {
    type Value = u32;

    fn read(&self, value: &Value<'_>) -> Option<u32> {
        let number: Option<f64> = match value.item() {
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .ok()
                .and_then(|whole| i32::try_from(whole).ok())
                .map(f64::from),
            DeValue::Float(number) => number.as_str().parse().ok(),
            _ => None,
        };
        number.and_then(units::weight).or_else(|| {
            let expected = "expected a number from 0.01 to 10000 with at most two decimals";
            value.refuse("this is not a weight", expected, None)
        })
    }

    fn write(&self, value: &u32) -> Json {
        if value.is_multiple_of(100) {
            (value / 100).into()
        } else {
            (f64::from(*value) / 100.0).into()
        }
    }

    fn schema(&self) -> Json {
        json!({ "type": "number", "minimum": 0.01, "maximum": 10_000 })
    }

    fn range(&self) -> String {
        " (0.01 to 10_000)".to_owned()
    }
}

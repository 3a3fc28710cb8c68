//! The endpoints of clusters.

use serde_json::{Map, Value as Json, json};
use toml::de::DeValue;

use crate::config::check::kinds::ENDPOINT;
use crate::config::file::{Choice, Document, Kind, Table, Text, Value, Whole, key, with};
use crate::config::{Endpoint, Location, schema, units};

/// The keys of endpoints, in text and in tables, that say where they are.
const ADDRESS: &str = "Host and port, or a Unix socket";

/// What all balancers make of an endpoint.
const STATUS: Choice<&str> = Choice(&[
    ("standby", "standby", "used where nobody else of its set can be"),
    ("spare", "spare", "stands in for one of its set that cannot be used"),
    ("drain", "drain", "gets only what belongs to it"),
    ("disabled", "disabled", "gets nothing"),
    ("stopped", "stopped", "gets nothing, in Apache's word"),
]);

/// The sets that balancers use one after the other.
const LBSETS: Whole<u8> = Whole(0..=99);

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
        let status = key("status", "When it is used", STATUS).such_as("standby");
        let status = table.optional(status, "it always is");
        let lbset = "Its set, of which balancers use the lowest where anybody can be used";
        let lbset = table.optional(key("lbset", lbset, LBSETS).such_as(1), "0");
        let most = key(MAX_CONNECTIONS, "The most requests in flight", IN_FLIGHT).such_as(10);
        let max_connections = table.optional(most, "what the cluster says");
        let scalar = json!({ "type": ["string", "number", "boolean"] });
        let others = table.others(scalar);
        let attribute =
            |(key, value): (&str, Value<'_>)| Some((key.to_owned(), attribute(&value)?));
        let mut attributes: Vec<_> = others.into_iter().filter_map(attribute).collect();
        attributes.extend(status.map(|status| ("status".to_owned(), status.to_owned())));
        attributes.extend(lbset.map(|lbset| ("lbset".to_owned(), lbset.to_string())));
        attributes.sort_unstable();
        let Location { scheme, address } = address?;
        Some(Endpoint { address, scheme, weight, max_connections, attributes })
    }
}

impl Kind for EndpointKind {
    type Value = Endpoint;

    fn read(&self, value: &Value<'_>) -> Option<Endpoint> {
        if matches!(value.item(), DeValue::Table(_)) {
            return value.table(Self::table)?;
        }
        let Location { scheme, address } = ENDPOINT.read(value)?;
        let (max_connections, attributes) = (None, Vec::new());
        Some(Endpoint { address, scheme, weight: 100, max_connections, attributes })
    }

    fn write(&self, value: &Endpoint) -> Json {
        let address = Location { scheme: value.scheme, address: value.address.clone() };
        let address = ENDPOINT.write(&address);
        let plain = value.weight == 100 && value.max_connections.is_none();
        if plain && value.attributes.is_empty() {
            return address;
        }
        let written = |(key, text): &(String, String)| {
            let lbset = Some(text).filter(|_| key == "lbset").and_then(|text| text.parse().ok());
            let value = lbset.map_or_else(|| text.as_str().into(), |lbset| LBSETS.write(&lbset));
            (key.clone(), value)
        };
        let mut written: Map<_, _> = value.attributes.iter().map(written).collect();
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

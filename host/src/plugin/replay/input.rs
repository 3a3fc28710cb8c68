//! A recorded request and its response, as an exchange that plugins can be asked about.

use std::sync::Arc;

use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use crate::log::id::RequestIds;
use crate::plugin::exchange::{Connection, Exchange, Taken, Trail};
use crate::plugin::members::Siblings;
use crate::plugin::recording::{Field, Line, Request, Response, Value};
use crate::plugin::replay::members::Known;

/// The most fields of a head: far below what a header map can take.
const FIELDS: usize = 10_000;

/// The exchange of a line; or what of it cannot be.
pub(super) fn exchange(line: &Line) -> Result<Box<Exchange>, String> {
    let (told, response) = (&line.input.request, line.input.response.as_ref());
    let head = request(told)?;
    let host = response.and_then(|response| response.host.as_ref()).map(value).transpose()?;
    let siblings = response.map(|response| response.siblings.clone()).unwrap_or_default();
    let siblings: Option<Arc<dyn Siblings>> =
        if siblings.is_empty() { None } else { Some(Arc::new(Known(siblings))) };
    let taken = Taken {
        original: told.original.as_deref().map(target).transpose()?,
        asked_host: told.asked_host.as_deref().map(Into::into),
        upgrade: told.upgrade.as_ref().map(value).transpose()?,
        host,
        siblings,
    };
    let tried = line.input.pick.as_ref().map(|pick| pick.tried.as_slice()).unwrap_or_default();
    let picking = line.input.pick.as_ref().map(|pick| pick.cluster.as_str());
    let cluster = response.and_then(|response| response.cluster.as_deref()).or(picking);
    let attributes = response.map(|response| response.attributes.as_slice()).unwrap_or_default();
    Ok(Box::new(Exchange {
        connection: Arc::new(Connection {
            listener: told.listener.as_str().into(),
            client: told.client,
            slot: told.slot,
            scheme: if told.scheme == "https" { "https" } else { "http" },
            tls: None,
        }),
        authority: told.authority.as_str().into(),
        target_origin: told.target_origin.as_deref().map(Into::into),
        request: Box::new(head),
        response: response.map(answer).transpose()?,
        cluster: cluster.map(Into::into),
        endpoint: response.and_then(|response| response.endpoint.as_deref()).map(Into::into),
        attributes: attributes.iter().map(|table| table.clone().into()).collect(),
        tried: tried.into(),
        taken,
        trail: Trail::new(RequestIds::new().issue(), true),
        stream: None,
    }))
}

fn request(told: &Request) -> Result<http::request::Parts, String> {
    let query = told.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
    let (mut head, ()) = http::Request::new(()).into_parts();
    head.method = told.method.parse().map_err(|_bad| "its method is none".to_owned())?;
    head.uri = target(&format!("{}{query}", told.path))?;
    head.headers = fields(&told.headers)?;
    Ok(head)
}

fn answer(told: &Response) -> Result<http::response::Parts, String> {
    let (mut head, ()) = http::Response::new(()).into_parts();
    head.status = told.status.try_into().map_err(|_bad| format!("{} is no status", told.status))?;
    head.headers = fields(&told.headers)?;
    Ok(head)
}

fn target(text: &str) -> Result<Uri, String> {
    let target: Result<PathAndQuery, _> = text.parse();
    target.map(Uri::from).map_err(|_bad| format!("{text:?} is no target"))
}

fn fields(told: &[Field]) -> Result<HeaderMap, String> {
    if told.len() > FIELDS {
        return Err("it has too many header fields".to_owned());
    }
    let mut fields = HeaderMap::with_capacity(told.len());
    for (name, text) in told {
        let known: HeaderName = name.parse().map_err(|_bad| format!("{name:?} is no field"))?;
        fields.append(known, value(text)?);
    }
    Ok(fields)
}

fn value(told: &Value) -> Result<HeaderValue, String> {
    let bytes = match told {
        Value::Text(text) => text.as_bytes(),
        Value::Bytes(bytes) => bytes,
        Value::Hidden { .. } => return Err("a value is missing".to_owned()),
    };
    HeaderValue::from_bytes(bytes).map_err(|_bad| "a value is none of a header field".to_owned())
}

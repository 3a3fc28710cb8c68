//! From a request for the status page to its answer.

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, Method, Response, StatusCode, Uri};
use serde_json::json;

use crate::snapshot::Snapshot;
use crate::status::{Audience, Sources, Status, page};

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Html,
    Json,
}

impl Format {
    /// The last `format` of a query; none if there is no such format.
    pub(super) fn of(uri: &Uri) -> Option<Self> {
        let parameters = uri.query().unwrap_or_default().split('&');
        match parameters.filter_map(|each| each.strip_prefix("format=")).next_back() {
            None | Some("html") => Some(Self::Html),
            Some("json") => Some(Self::Json),
            Some(_) => None,
        }
    }
}

/// The page, or with `?format=json` what is on it; what is asked for otherwise is refused, with a
/// JSON `error`. An answer to HEAD has the body that GET would get.
#[must_use]
pub fn answer(
    method: &Method,
    uri: &Uri,
    sources: &Sources,
    snapshot: &Snapshot,
    audience: Audience,
) -> Response<Bytes> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        let mut response =
            refusal(StatusCode::METHOD_NOT_ALLOWED, "the methods here are GET and HEAD");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match Format::of(uri) {
        Some(Format::Html) => {
            let status = Status::now(sources, snapshot, audience);
            let mut response = reply(StatusCode::OK, HTML, page::page(&status, audience));
            response.headers_mut().insert(CONTENT_SECURITY_POLICY, page::POLICY.clone());
            response
        }
        Some(Format::Json) => {
            let status = Status::now(sources, snapshot, audience);
            reply(StatusCode::OK, JSON, json_text(&status))
        }
        None => refusal(StatusCode::BAD_REQUEST, "the formats are `html` and `json`"),
    }
}

fn refusal(status: StatusCode, error: &str) -> Response<Bytes> {
    reply(status, JSON, json_text(&json!({ "error": error })))
}

fn reply(status: StatusCode, kind: HeaderValue, body: String) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, kind);
    // It is of this moment, and a browser must not make more of it than it is.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'"));
    response
}

/// JSON that people can read as well.
pub(super) fn json_text(value: &impl serde::Serialize) -> String {
    // Structs of texts and numbers cannot fail.
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    text
}

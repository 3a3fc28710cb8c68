//! From a request to its answer.

use std::fmt::Display;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;
use serde_json::json;
use tokio::sync::mpsc::error::TrySendError;

use crate::admin::guard::{authorised, meant};
use crate::admin::{Answer, Change, Handles, Wanted, states};
use crate::body::Received;
use crate::snapshot::Snapshot;
use crate::status::{self, AboutView, Audience, EndpointView, Status, scrape};
use crate::wire::Fault;

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

/// Why nothing is changed.
const LEAVING: &str = "the process is leaving";

/// Likewise.
const TOO_MANY: &str = "too many changes wait already";

/// What every answer says: that it is of this moment, and that a browser must not make more of it
/// than it is.
const ALWAYS: [(HeaderName, &str); 4] = [
    (CACHE_CONTROL, "no-store"),
    (http::header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (http::header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (http::header::REFERRER_POLICY, "no-referrer"),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route<'p> {
    Overview,
    Health,
    Metrics,
    Version,
    Listeners,
    Clusters,
    Plugins,
    Unused,
    /// A cluster's name and an endpoint's address, as the path encodes them.
    Endpoint(&'p str, &'p str),
    /// A plugin's name.
    RollBack(&'p str),
    Reload,
}

impl Route<'_> {
    fn allowed(self) -> &'static str {
        match self {
            Self::Reload | Self::RollBack(_) => "POST",
            Self::Endpoint(..) => "GET, HEAD, POST",
            _ => "GET, HEAD",
        }
    }
}

fn route(path: &str) -> Option<Route<'_>> {
    Some(match path {
        "/" => Route::Overview,
        "/healthz" => Route::Health,
        "/metrics" => Route::Metrics,
        "/api/version" => Route::Version,
        "/api/listeners" => Route::Listeners,
        "/api/clusters" => Route::Clusters,
        "/api/plugins" => Route::Plugins,
        "/api/plugins/unused" => Route::Unused,
        "/api/reload" => Route::Reload,
        _ => match path.strip_prefix("/api/plugins/") {
            // Names of plugins are written as they are.
            Some(rest) => Route::RollBack(rest.strip_suffix("/rollback")?),
            None => {
                let (cluster, endpoint) = states::parts(path)?;
                Route::Endpoint(cluster, endpoint)
            }
        },
    })
}

/// The answer to a request. `local`: its client is on this machine.
pub(super) async fn answer(
    request: Request<Received>,
    local: bool,
    handles: &Handles,
) -> Response<Full<Bytes>> {
    if let Err((status, text)) = meant(&request) {
        return refusal(status, text);
    }
    let (parts, body) = request.into_parts();
    let Some(route) = route(parts.uri.path()) else {
        return refusal(StatusCode::NOT_FOUND, "there is nothing here; `/` tells what is");
    };
    let reads = matches!(parts.method, Method::GET | Method::HEAD);
    let changes = matches!(route, Route::Reload | Route::RollBack(_))
        || !reads && matches!(route, Route::Endpoint(..));
    let sources = &handles.sources;
    let snapshot = sources.stage.snapshot();
    if changes || !local && route != Route::Health {
        let token = snapshot.config.admin.as_ref().and_then(|admin| admin.token.as_ref());
        if let Err((status, text)) = authorised(&parts.headers, token) {
            return refusal(status, text);
        }
    }
    let allowed = route.allowed();
    if !allowed.split(", ").any(|method| method == parts.method.as_str()) {
        let text = format!("the methods here are {allowed}");
        let mut response = refusal(StatusCode::METHOD_NOT_ALLOWED, text);
        response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
        return response;
    }
    let status = || Status::now(sources, &snapshot, Audience::Administrator);
    match route {
        Route::Overview => {
            let audience = Audience::Administrator;
            let response = status::answer(&parts.method, &parts.uri, sources, &snapshot, audience);
            response.map(Full::new)
        }
        Route::Health if sources.drain.is_draining() => {
            reply(StatusCode::SERVICE_UNAVAILABLE, TEXT, "draining\n")
        }
        Route::Health => reply(StatusCode::OK, TEXT, "ok\n"),
        Route::Metrics => {
            let (kind, text) = scrape(sources, &snapshot, &parts.headers);
            reply(StatusCode::OK, kind, text)
        }
        Route::Version => json(&AboutView::now(sources, &snapshot)),
        Route::Listeners => json(&status().listeners),
        Route::Clusters => json(&status().clusters),
        Route::Plugins => json(&status().plugins),
        Route::Unused => json(&status().unused),
        Route::Endpoint(cluster, address) => {
            let body = if reads { None } else { Some(body) };
            let answer = endpoint(&snapshot, (cluster, address), body).await;
            answer.unwrap_or_else(|(status, text)| refusal(status, text))
        }
        Route::Reload => {
            let error = "configuration not taken, the one before stays";
            let refused = (StatusCode::UNPROCESSABLE_ENTITY, error);
            change(handles, Change::Reload, refused).await
        }
        Route::RollBack(plugin) => match snapshot.config.plugins.get_key_value(plugin) {
            Some((plugin, _)) => {
                let refused = (StatusCode::CONFLICT, "not rolled back, the version stays");
                change(handles, Change::RollBack(plugin.clone()), refused).await
            }
            None => refusal(StatusCode::NOT_FOUND, format!("there is no plugin {plugin:?}")),
        },
    }
}

/// One endpoint, after it was set to what a body says, if there is one.
async fn endpoint(
    snapshot: &Snapshot,
    path: (&str, &str),
    body: Option<Received>,
) -> Result<Response<Full<Bytes>>, states::Wrong> {
    let (cluster, members) = states::find(snapshot, path)?;
    if let Some(body) = body {
        states::set(cluster, &members, body).await?;
    }
    let endpoint = members.first().and_then(|member| EndpointView::now(cluster, member));
    let Some(endpoint) = endpoint else {
        return Err((StatusCode::NOT_FOUND, "the endpoint has just left".to_owned()));
    };
    let note = if endpoint.by_hand { states::LASTS } else { states::NATURAL };
    Ok(json(&Told { cluster: cluster.name(), endpoint, note }))
}

/// What is told of one endpoint.
#[derive(Serialize)]
struct Told<'a> {
    cluster: &'a str,
    endpoint: EndpointView,
    note: &'static str,
}

/// Asks the control thread, and waits for what becomes of it.
async fn change(
    handles: &Handles,
    change: Change,
    (status, error): (StatusCode, &'static str),
) -> Response<Full<Bytes>> {
    if handles.sources.drain.is_draining() {
        return refusal(StatusCode::SERVICE_UNAVAILABLE, LEAVING);
    }
    let unavailable = |why| refusal(StatusCode::SERVICE_UNAVAILABLE, why);
    let (order, answered) = Wanted::new(change);
    match handles.orders.try_send(order) {
        Ok(()) => {}
        Err(TrySendError::Full(_)) => return unavailable(TOO_MANY),
        Err(TrySendError::Closed(_)) => return unavailable(LEAVING),
    }
    match answered.await {
        Ok(Answer::Heard(Ok(generation))) => json(&json!({ "generation": generation })),
        Ok(Answer::Heard(Err(report))) => {
            let body = json!({ "error": error, "report": report });
            reply(status, JSON, text(&body))
        }
        Ok(Answer::TurnedAway) => unavailable(TOO_MANY),
        Err(_gone) => unavailable(LEAVING),
    }
}

fn reply(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    for (name, value) in ALWAYS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// The answer to what is not HTTP.
pub(super) fn refused(fault: Fault) -> Response<Full<Bytes>> {
    let status = StatusCode::from_u16(fault.status()).unwrap_or(StatusCode::BAD_REQUEST);
    refusal(status, fault)
}

fn refusal(status: StatusCode, error: impl Display) -> Response<Full<Bytes>> {
    let mut response = reply(status, JSON, text(&json!({ "error": error.to_string() })));
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

fn json(value: &impl Serialize) -> Response<Full<Bytes>> {
    reply(StatusCode::OK, JSON, text(value))
}

/// JSON that people can read as well.
fn text(value: &impl Serialize) -> String {
    // Structs of texts and numbers cannot fail.
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    text
}

//! What rewriters do to the heads of requests and responses.

use http::header::{CONTENT_LENGTH, HOST};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::{failed, set_path, tell};
use crate::headers;
use crate::plugin::{Edit, Exchange, Plugin, Session};
use crate::relay::error::Error;
use crate::relay::record::Record;
use crate::wire::Reason;

/// Asks rewriters about a request, and does what they say. A new authority becomes `host`.
pub(super) async fn request(
    mut exchange: Box<Exchange>,
    rewriters: &[Plugin],
    host: &mut Option<HeaderValue>,
    record: &mut Record,
) -> Result<Box<Exchange>, Error> {
    for rewriter in rewriters {
        let rewriter = rewriter.version_for(&exchange);
        if !rewriter.rewrites_requests() {
            continue;
        }
        let edits;
        (exchange, edits) = rewriter.on_request(exchange).await;
        record.called(rewriter, &exchange);
        let edits = edits.map_err(|rejected| failed("rewriter", rewriter, &rejected))?;
        tell::edits(rewriter, record.id(), "on-request", &edits);
        for edit in edits {
            match edit {
                Edit::Path(path) => set_path(&mut exchange, path),
                Edit::Authority(authority) => {
                    // Later rewriters and getters see it too.
                    exchange.request.headers.insert(HOST, authority.clone());
                    *host = Some(authority);
                }
                Edit::Status(_) | Edit::TransformBody => {}
                other => edit_headers(&mut exchange.request.headers, other, rewriter)?,
            }
        }
    }
    Ok(exchange)
}

/// Asks rewriters about a response, and does what they say. Those that ask to transform its body
/// begin with that, in the order of `sessions`.
pub(super) async fn response(
    mut exchange: Box<Exchange>,
    rewriters: &[Plugin],
    sessions: &mut Vec<Session>,
    record: &mut Record,
) -> Result<Box<Exchange>, Error> {
    for rewriter in rewriters {
        let rewriter = rewriter.version_for(&exchange);
        if !rewriter.rewrites_responses() {
            continue;
        }
        let edits;
        (exchange, edits) = rewriter.on_response(exchange).await;
        record.called(rewriter, &exchange);
        let edits = edits.map_err(|rejected| failed("rewriter", rewriter, &rejected))?;
        tell::edits(rewriter, record.id(), "on-response", &edits);
        if edits.contains(&Edit::TransformBody) && sends_body(&exchange, record) {
            // Before the edits are made: the plugin is asked about the body that it decided on.
            let begun;
            // Apart, as most responses have no use for the room.
            (exchange, begun) = Box::pin(rewriter.begin_body(exchange)).await;
            record.called(rewriter, &exchange);
            match begun.map_err(|rejected| failed("rewriter", rewriter, &rejected))? {
                Some(session) => sessions.push(session),
                // Passed over: edits without what they tell of would be wrong.
                None => continue,
            }
        }
        let Some(response) = &mut exchange.response else { continue };
        for edit in edits {
            match edit {
                Edit::Status(status) if has_body(response.status) => {
                    response.status = status;
                    // The upstream's own words for the status before.
                    response.extensions.remove::<Reason>();
                }
                Edit::Status(_) | Edit::Path(_) | Edit::Authority(_) => {}
                Edit::TransformBody => {
                    response.headers.remove(CONTENT_LENGTH);
                }
                other => edit_headers(&mut response.headers, other, rewriter)?,
            }
        }
    }
    Ok(exchange)
}

/// Whether the client is sent a body, be it an empty one.
fn sends_body(exchange: &Exchange, record: &Record) -> bool {
    !record.is_head() && exchange.response.as_ref().is_some_and(|r| has_body(r.status))
}

fn has_body(status: StatusCode) -> bool {
    !matches!(status.as_u16(), 204 | 304)
}

fn edit_headers(headers: &mut HeaderMap, edit: Edit, rewriter: &Plugin) -> Result<(), Error> {
    let done = match edit {
        Edit::Set(name, value) => headers::set(headers, name, value),
        Edit::Append(name, value) => headers::append(headers, name, value),
        Edit::Remove(name) => {
            headers.remove(name);
            Ok(())
        }
        Edit::Path(_) | Edit::Authority(_) | Edit::Status(_) | Edit::TransformBody => Ok(()),
    };
    done.map_err(|full| failed("rewriter", rewriter, &full))
}

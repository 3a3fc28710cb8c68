//! The client's response, made of an upstream's.

use std::sync::Arc;

use http::response::Parts;
use http::{Response, Version};

use super::transform::transformed;
use super::{Served, rewrite, tell};
use crate::body::{Body, UpstreamBody};
use crate::headers;
use crate::plugin::{Exchange, Plugin};
use crate::relay::error::Error;
use crate::relay::record::Record;
use crate::sendfile::{self, Outcome, Wish};
use crate::view::ClusterUse;

impl Served<'_> {
    /// Makes the client's response of an upstream's.
    pub(super) async fn respond(
        &self,
        mut exchange: Box<Exchange>,
        response: Response<UpstreamBody>,
        cluster: &ClusterUse,
        record: &mut Record,
    ) -> Result<Response<Body>, Error> {
        let (mut parts, body) = response.into_parts();
        let malformed = |what: &str| {
            let endpoint = exchange.endpoint.as_deref().unwrap_or_default();
            Error::Malformed(format!("{endpoint}: {what}").into())
        };
        let settings = cluster.cluster.settings();
        let method = &exchange.request.method;
        let wish = sendfile::wish(&settings.sendfile, method, parts.status, &parts.headers);
        headers::clean_response(&mut parts.headers);
        headers::append_via(&mut parts.headers, parts.version)
            .map_err(|_full| malformed("answers with too many header fields"))?;
        // hyper answers each client in the version that it speaks.
        parts.version = Version::HTTP_11;
        let body = match wish {
            None => Body::upstream(body),
            Some(wish) => {
                sendfile::drain(body, record.in_flight.take());
                let file;
                (parts, file) = self.send(&wish, &exchange, parts, cluster, record).await?;
                file
            }
        };
        exchange.response = Some(parts);
        let mut all = cluster.on_response.iter().chain(&self.listener.on_response);
        if all.any(Plugin::asks_who_served) {
            let answered = exchange.tried.last().copied();
            let membership = cluster.cluster.membership();
            exchange.attributes = answered.map(|id| membership.attributes(id)).unwrap_or_default();
            exchange.taken.siblings = Some(Arc::clone(&membership) as _);
        }
        let mut sessions = Vec::new();
        for rewriters in [&cluster.on_response, &self.listener.on_response] {
            exchange = rewrite::response(exchange, rewriters, &mut sessions, record).await?;
        }
        let Some(parts) = exchange.response.take() else {
            // Nothing takes it but this.
            return Err(Error::Malformed("the response is lost".into()));
        };
        let body = if record.is_head() { Body::empty() } else { body };
        Ok(Response::from_parts(parts, transformed(body, sessions, record)))
    }

    /// The response with the file that it names.
    async fn send(
        &self,
        wish: &Wish,
        exchange: &Exchange,
        parts: Parts,
        cluster: &ClusterUse,
        record: &mut Record,
    ) -> Result<(Parts, Body), Error> {
        let settings = cluster.cluster.settings();
        let status = parts.status;
        // Apart, as hardly a request needs the room.
        let answer = sendfile::answer(wish, settings, &exchange.request, parts);
        let answer = Box::pin(answer).await;
        let outcome = answer.as_ref().map_or_else(|refusal| refusal.outcome, |_| Outcome::Served);
        cluster.metrics.sendfile(self.worker.index, outcome.index());
        tell::file(record.id(), wish, outcome);
        let response = answer.map_err(|refusal| {
            let endpoint = exchange.endpoint.as_deref().unwrap_or_default();
            // An error of the upstream's own stays what it is.
            let failed = status.is_client_error() || status.is_server_error();
            let status = if failed { status } else { refusal.outcome.status() };
            Error::Sendfile { status, reason: format!("{endpoint}: {refusal}").into() }
        })?;
        record.from_file = true;
        Ok(response.into_parts())
    }
}

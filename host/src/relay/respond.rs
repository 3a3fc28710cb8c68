//! The client's response, made of an upstream's.

use std::sync::Arc;

use http::header::{CONTENT_LENGTH, UPGRADE};
use http::response::Parts;
use http::{HeaderValue, Response, StatusCode, Version};

use super::transform::transformed;
use super::{Served, rewrite, tell};
use crate::body::{Body, UpstreamBody};
use crate::headers;
use crate::plugin::{Exchange, Plugin};
use crate::relay::error::{Error, Limit};
use crate::relay::record::Record;
use crate::relay::switch::Switch;
use crate::sendfile::{self, Outcome, Wish};
use crate::tunnel::End;
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
        let (mut parts, mut body) = response.into_parts();
        let malformed = |what: &str| {
            let endpoint = exchange.endpoint.as_deref().unwrap_or_default();
            Error::Malformed(format!("{endpoint}: {what}").into())
        };
        let switched = parts.status == StatusCode::SWITCHING_PROTOCOLS;
        let protocol = switched.then(|| parts.headers.get(UPGRADE).cloned()).flatten();
        let upstream = switched.then(|| {
            body.switch().ok_or_else(|| {
                malformed("switches to another protocol before it has taken the request")
            })
        });
        let upstream = upstream.transpose()?;
        let settings = cluster.cluster.settings();
        let method = &exchange.request.method;
        let wish = sendfile::wish(&settings.sendfile, method, parts.status, &parts.headers);
        headers::clean_response(&mut parts.headers);
        headers::append_via(&mut parts.headers, parts.version)
            .map_err(|_full| malformed("answers with too many header fields"))?;
        // Each client is answered in the version that it speaks.
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
        if all.any(|plugin| plugin.any(Plugin::asks_who_served)) {
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
        if let (Some(upstream), Some(protocol)) = (upstream, protocol)
            && parts.status == StatusCode::SWITCHING_PROTOCOLS
        {
            return self.switch(parts, protocol, upstream, cluster, record);
        }
        let body = if record.is_head() { Body::empty() } else { body };
        Ok(Response::from_parts(parts, transformed(body, sessions, record)))
    }

    /// The answer after which client and upstream speak another protocol.
    fn switch(
        &self,
        mut parts: Parts,
        protocol: HeaderValue,
        upstream: End,
        cluster: &ClusterUse,
        record: &mut Record,
    ) -> Result<Response<Body>, Error> {
        parts.headers.remove(CONTENT_LENGTH);
        headers::switch(&mut parts.headers, protocol)
            .map_err(|_full| Error::Malformed("the answer has too many header fields".into()))?;
        let settings = cluster.cluster.settings();
        let limit = Limit::of_cluster(&settings.name, "tunnel-timeout", settings.tunnel_timeout);
        record.switch(Switch { upstream, silence: settings.tunnel_timeout, limit });
        Ok(Response::from_parts(parts, Body::empty()))
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

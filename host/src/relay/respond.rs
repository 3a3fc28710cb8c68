//! The client's response, made of an upstream's.

use std::sync::Arc;

use http::{Response, Version};

use super::{Served, rewrite, vet};
use crate::body::{Body, UpstreamBody};
use crate::headers;
use crate::plugin::{Exchange, Plugin};
use crate::relay::error::Error;
use crate::relay::record::Record;
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
        if !vet::plainly_coded(&parts.headers) {
            return Err(malformed("answers in a transfer coding other than chunked"));
        }
        headers::clean_response(&mut parts.headers);
        headers::append_via(&mut parts.headers, parts.version)
            .map_err(|_full| malformed("answers with too many header fields"))?;
        // hyper answers each client in the version that it speaks.
        parts.version = Version::HTTP_11;
        exchange.response = Some(parts);
        let mut all = cluster.on_response.iter().chain(&self.listener.on_response);
        if all.any(Plugin::asks_who_served) {
            let answered = exchange.tried.last().copied();
            let membership = cluster.cluster.membership();
            exchange.attributes = answered.map(|id| membership.attributes(id)).unwrap_or_default();
            exchange.taken.siblings = Some(Arc::clone(&membership) as _);
        }
        for rewriters in [&cluster.on_response, &self.listener.on_response] {
            exchange = rewrite::response(exchange, rewriters, record).await?;
        }
        let Some(parts) = exchange.response.take() else {
            // Nothing takes it but this.
            return Err(Error::Malformed("the response is lost".into()));
        };
        let body = if record.is_head() { Body::empty() } else { Body::upstream(body) };
        Ok(Response::from_parts(parts, body))
    }
}

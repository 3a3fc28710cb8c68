//! The request as an endpoint gets it.

use std::borrow::Cow;

use http::header::HOST;
use http::{HeaderValue, Version};

use super::Attempts;
use crate::cluster::endpoint::Endpoint;
use crate::cluster::pool::Outgoing;
use crate::headers::{self, upstream_host};
use crate::plugin::Exchange;

impl Attempts<'_> {
    /// The Host that this endpoint gets.
    pub(super) fn host(&self, endpoint: &Endpoint, exchange: &Exchange) -> HeaderValue {
        let rule = self.cluster.cluster.settings().host_header;
        let sent = exchange.request.headers.get(HOST);
        upstream_host(rule, self.host.as_ref(), sent, endpoint.authority()).clone()
    }

    /// The request as an endpoint gets it, over a connection of such a version, with this Host. HTTP/2 has no
    /// way to switch to other protocols as HTTP/1 does.
    pub(super) fn request<'e>(
        &self,
        host: &'e HeaderValue,
        exchange: &'e Exchange,
        version: Version,
    ) -> Outgoing<'e> {
        let asked = exchange.taken.upgrade.as_ref().filter(|_| version == Version::HTTP_11);
        Outgoing {
            head: Cow::Borrowed(&exchange.request),
            host: Some(host),
            consent: self.upload.held(),
            offer: asked.and_then(headers::offered),
            body: self.upload.body(),
        }
    }
}

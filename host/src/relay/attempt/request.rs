//! The request as an endpoint gets it.

use http::header::{EXPECT, HOST, TRANSFER_ENCODING};
use http::{HeaderValue, Request, Version};
use http_body::Body as _;

use super::Attempts;
use crate::body::RequestBody;
use crate::cluster::endpoint::Endpoint;
use crate::headers::{self, upstream_host};
use crate::plugin::Exchange;

impl Attempts<'_> {
    /// The Host that this endpoint gets.
    pub(super) fn host(&self, endpoint: &Endpoint, exchange: &Exchange) -> HeaderValue {
        let rule = self.cluster.cluster.settings().host_header;
        let sent = exchange.request.headers.get(HOST);
        upstream_host(rule, self.host.as_ref(), sent, endpoint.authority()).clone()
    }

    /// The request as this endpoint gets it, over a connection of such a version. HTTP/2 has no way to switch
    /// to other protocols as HTTP/1 does.
    pub(super) fn request(
        &self,
        endpoint: &Endpoint,
        exchange: &Exchange,
        version: Version,
    ) -> Request<RequestBody> {
        let body = self.upload.body();
        let unknown_length = body.size_hint().exact().is_none();
        let mut request = Request::new(body);
        *request.method_mut() = exchange.request.method.clone();
        *request.uri_mut() = exchange.request.uri.clone();
        *request.version_mut() = Version::HTTP_11;
        *request.headers_mut() = exchange.request.headers.clone();
        let fields = request.headers_mut();
        let host = exchange.taken.host.clone();
        fields.insert(HOST, host.unwrap_or_else(|| self.host(endpoint, exchange)));
        if unknown_length && version == Version::HTTP_11 {
            // hyper would take a GET for one without a body.
            fields.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        if !self.upload.held() {
            fields.remove(EXPECT);
        }
        if version == Version::HTTP_11
            && let Some(offer) = exchange.taken.upgrade.as_ref().and_then(headers::offered)
        {
            // Without room the upstream is not asked to switch.
            let _ = headers::switch(fields, offer);
        }
        request
    }
}

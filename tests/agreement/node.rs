//! Requests as `http_parser` reads them, which came from nginx and was node's, Envoy's and many others'.

use http_muncher::{Parser, ParserHandler};

use super::{End, Field, Request, Seen, text};

/// What it says of a method that it does not know.
pub(super) const UNKNOWN_METHOD: &str = "HPE_INVALID_METHOD";

/// Whether it knows a method; of those that come here.
pub(super) fn knows(method: &str) -> bool {
    ["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH"].contains(&method)
}

/// Byte by byte: what the method is can be asked for after a call only, and it reads what it is given
/// in pieces, as servers do.
pub(super) fn parse(bytes: &[u8]) -> Seen {
    let mut reader = Reader::default();
    let mut parser = Parser::request();
    for byte in bytes {
        let complete = reader.seen.requests.len();
        let used = parser.parse(&mut reader, &[*byte]);
        reader.method = parser.http_method();
        if parser.has_error() || used != 1 {
            reader.seen.end = End::Refused(parser.error().to_owned());
            return reader.seen;
        }
        if parser.is_upgrade() && reader.seen.requests.len() > complete {
            // It leaves what follows to others. Nothing has changed the protocol here.
            parser = Parser::request();
        }
    }
    if reader.within {
        reader.seen.end = End::Part;
    }
    reader.seen
}

#[derive(Default)]
struct Reader {
    seen: Seen,
    request: Request,
    /// The method before the last byte.
    method: &'static str,
    /// A message has begun and not ended.
    within: bool,
    /// What comes next are trailers.
    trailers: bool,
    /// The last field has a value already.
    valued: bool,
}

impl Reader {
    fn fields(&mut self) -> &mut Vec<Field> {
        if self.trailers { &mut self.request.trailers } else { &mut self.request.fields }
    }
}

impl ParserHandler for Reader {
    fn on_message_begin(&mut self, _parser: &mut Parser) -> bool {
        self.request = Request::default();
        (self.within, self.trailers, self.valued) = (true, false, true);
        true
    }

    fn on_url(&mut self, _parser: &mut Parser, bytes: &[u8]) -> bool {
        self.request.method = self.method.to_owned();
        self.request.target.push_str(&text(bytes));
        true
    }

    fn on_header_field(&mut self, _parser: &mut Parser, bytes: &[u8]) -> bool {
        if std::mem::take(&mut self.valued) {
            self.fields().push(Default::default());
        }
        if let Some((name, _)) = self.fields().last_mut() {
            name.push_str(&text(bytes).to_ascii_lowercase());
        }
        true
    }

    fn on_header_value(&mut self, _parser: &mut Parser, bytes: &[u8]) -> bool {
        self.valued = true;
        if let Some((_, value)) = self.fields().last_mut() {
            value.push_str(&text(bytes));
        }
        true
    }

    fn on_headers_complete(&mut self, parser: &mut Parser) -> bool {
        self.request.old = parser.http_version() == (1, 0);
        (self.trailers, self.valued) = (true, true);
        true
    }

    fn on_body(&mut self, _parser: &mut Parser, bytes: &[u8]) -> bool {
        self.request.body.push_str(&text(bytes));
        true
    }

    fn on_message_complete(&mut self, _parser: &mut Parser) -> bool {
        let mut request = std::mem::take(&mut self.request);
        for (_, value) in request.fields.iter_mut().chain(&mut request.trailers) {
            *value = value.trim_ascii().to_owned();
        }
        self.seen.requests.push(request);
        self.within = false;
        true
    }
}

//! What a TLS client says first, as far as routing needs it: the server name that it asks for, and
//! the protocols that it offers.
//!
//! Nothing is decrypted or answered. A reader is shown the first bytes of a connection as often as more
//! of them come, and says whether more are needed, these are not TLS, or what the client has said.
//! What is no well-formed ClientHello is not TLS.

/// The content type of records that carry a handshake.
const HANDSHAKE: u8 = 22;

/// The type of the message.
const CLIENT_HELLO: u8 = 1;

/// The largest record of a handshake that is not encrypted yet.
const RECORD_BYTES: usize = 1 << 14;

/// The largest message that is read. Clients of today send up to two KiB.
const MESSAGE_BYTES: usize = 64 << 10;

/// Extensions.
const SERVER_NAME: u16 = 0;
/// See [`SERVER_NAME`].
const PROTOCOLS: u16 = 16;

/// The only kind of name that there is.
const HOST_NAME: u8 = 0;

/// What the first bytes of a connection are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// The beginning of a ClientHello, as far as can be seen.
    Incomplete,
    /// No ClientHello.
    NotTls,
    /// A whole one.
    Whole(ClientHello),
}

/// What a client has said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientHello {
    /// The server that it wants, in lower case.
    pub server_name: Option<String>,
    /// The protocols that it offers (ALPN), in its order.
    pub protocols: Vec<Vec<u8>>,
}

/// Reads the first bytes of a connection.
#[must_use]
pub fn read(bytes: &[u8]) -> Reading {
    match message(bytes) {
        Ok(Some(message)) => hello(&message).map_or(Reading::NotTls, Reading::Whole),
        Ok(None) => Reading::Incomplete,
        Err(NotTls) => Reading::NotTls,
    }
}

struct NotTls;

/// The body of the first handshake message, put together from its records; none if it is not whole.
fn message(mut bytes: &[u8]) -> Result<Option<Vec<u8>>, NotTls> {
    let mut gathered = Vec::new();
    loop {
        if let Some(body) = body(&gathered)? {
            return Ok(Some(body.to_vec()));
        }
        // What can be seen of a header is judged before all of it is there.
        match *bytes {
            [kind, ..] if kind != HANDSHAKE => return Err(NotTls),
            [_, major, ..] if major != 3 => return Err(NotTls),
            _ => {}
        }
        let Some((&[_, _, _, high, low], rest)) = bytes.split_first_chunk() else {
            return Ok(None);
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if length == 0 || length > RECORD_BYTES {
            return Err(NotTls);
        }
        let (content, after) = rest.split_at(length.min(rest.len()));
        gathered.extend_from_slice(content);
        bytes = after;
        if content.len() < length {
            return body(&gathered).map(|body| body.map(<[u8]>::to_vec));
        }
    }
}

/// The body of the message that these bytes begin; none if it is not whole.
fn body(gathered: &[u8]) -> Result<Option<&[u8]>, NotTls> {
    if gathered.first().is_some_and(|kind| *kind != CLIENT_HELLO) {
        return Err(NotTls);
    }
    let Some((&[_, high, middle, low], body)) = gathered.split_first_chunk() else {
        return Ok(None);
    };
    let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
    if length > MESSAGE_BYTES { Err(NotTls) } else { Ok(body.get(..length)) }
}

/// Reads the body of a ClientHello.
fn hello(body: &[u8]) -> Option<ClientHello> {
    let mut body = Bytes(body);
    // The version and the random bytes.
    body.take(2 + 32)?;
    let session = body.list8()?;
    let (suites, compressions) = (body.list16()?, body.list8()?);
    if session.0.len() > 32 || suites.0.is_empty() || compressions.0.is_empty() {
        return None;
    }
    let mut said = ClientHello::default();
    if body.0.is_empty() {
        return Some(said);
    }
    let mut extensions = body.list16()?;
    let (mut named, mut offered) = (false, false);
    while !extensions.0.is_empty() {
        let (kind, content) = (extensions.number16()?, extensions.list16()?);
        match kind {
            SERVER_NAME if !std::mem::replace(&mut named, true) => {
                said.server_name = server_name(content)?;
            }
            PROTOCOLS if !std::mem::replace(&mut offered, true) => {
                said.protocols = protocols(content)?;
            }
            // One that is there twice could be read in two ways.
            SERVER_NAME | PROTOCOLS => return None,
            _ => {}
        }
    }
    body.0.is_empty().then_some(said)
}

/// The name of the host, if one is among the names. The outer option is for what is malformed.
fn server_name(mut content: Bytes<'_>) -> Option<Option<String>> {
    let mut names = content.list16()?;
    let mut found = None;
    while !names.0.is_empty() {
        let (kind, name) = (names.number8()?, names.list16()?);
        if kind == HOST_NAME && found.is_none() {
            found = Some(host(name.0)?);
        }
    }
    content.0.is_empty().then_some(found)
}

/// A name as it stands in the DNS: what else there is must not get into anybody's look-up or log.
fn host(name: &[u8]) -> Option<String> {
    let fits = |byte: &u8| byte.is_ascii_graphic();
    if !(1..=255).contains(&name.len()) || !name.iter().all(fits) {
        return None;
    }
    String::from_utf8(name.to_ascii_lowercase()).ok()
}

fn protocols(mut content: Bytes<'_>) -> Option<Vec<Vec<u8>>> {
    let (mut list, mut protocols) = (content.list16()?, Vec::new());
    while !list.0.is_empty() {
        let protocol = list.list8()?;
        if protocol.0.is_empty() {
            return None;
        }
        protocols.push(protocol.0.to_vec());
    }
    content.0.is_empty().then_some(protocols)
}

/// What is left to read.
#[derive(Clone, Copy)]
struct Bytes<'b>(&'b [u8]);

impl<'b> Bytes<'b> {
    fn take(&mut self, count: usize) -> Option<&'b [u8]> {
        let (taken, left) = self.0.split_at_checked(count)?;
        self.0 = left;
        Some(taken)
    }

    fn number8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn number16(&mut self) -> Option<u16> {
        self.take(2)?.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
    }

    /// What follows a length of one byte.
    fn list8(&mut self) -> Option<Self> {
        let count = self.number8()?;
        self.take(count.into()).map(Self)
    }

    /// What follows a length of two.
    fn list16(&mut self) -> Option<Self> {
        let count = self.number16()?;
        self.take(count.into()).map(Self)
    }
}

#[cfg(test)]
mod tests;

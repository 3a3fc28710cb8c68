//! A client that does as it is told, correct or not.

use std::io;
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;
use socket2::{Domain, Socket, Type};

use super::message::{Head, Message, request};
use super::tls::Tls;
use super::wire::{Framing, Wire};

/// A connection to a proxy. Bytes can be written and read by hand; [`Wire`] says how.
#[derive(Debug)]
pub(crate) struct Client(Wire);

impl Client {
    #[track_caller]
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self(Wire::connect(address))
    }

    /// One to a Unix socket.
    #[track_caller]
    pub(crate) fn at(path: &Path) -> Self {
        // It is read and written like any other.
        Self(Wire::new(OwnedFd::from(UnixStream::connect(path).unwrap()).into()))
    }

    /// One whose kernel takes little before it is read from, so that a slow reader is felt soon.
    #[track_caller]
    pub(crate) fn small(address: SocketAddr) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(16 << 10).unwrap();
        socket.connect(&address.into()).unwrap();
        Self(Wire::new(socket.into()))
    }

    /// One with this address of its own.
    #[track_caller]
    pub(crate) fn from(own: [u8; 4], address: SocketAddr) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((own, 0)).into()).unwrap();
        socket.connect(&address.into()).unwrap();
        Self(Wire::new(socket.into()))
    }

    /// One that speaks TLS, to whoever it takes for the server of this name; or why that is nobody.
    pub(crate) fn secure(
        address: SocketAddr,
        config: &Arc<ClientConfig>,
        name: &str,
    ) -> io::Result<Self> {
        let mut wire = Wire::connect(address);
        wire.secure(Tls::client(config, name))?;
        Ok(Self(wire))
    }

    /// Sends a request and reads its response.
    #[track_caller]
    pub(crate) fn ask(
        &mut self,
        method: &str,
        target: &str,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> Message {
        self.send(request(method, target, fields, body));
        self.response_to(method)
    }

    /// The response to a GET.
    #[track_caller]
    pub(crate) fn get(&mut self, target: &str) -> Message {
        self.ask("GET", target, &[], &[])
    }

    /// The next final response.
    #[track_caller]
    pub(crate) fn response(&mut self) -> Message {
        self.response_to("GET")
    }

    /// The next final response; whether it has a body depends on the request.
    #[track_caller]
    pub(crate) fn response_to(&mut self, method: &str) -> Message {
        loop {
            let head = self.response_head();
            if !(100..200).contains(&head.status()) {
                let framing = Framing::of_response(&head, method);
                return self.0.message(head, framing);
            }
        }
    }

    /// The next head, that of an interim response included.
    #[track_caller]
    pub(crate) fn response_head(&mut self) -> Head {
        let Some(head) = self.0.head() else { panic!("closed instead of an answer") };
        head
    }
}

impl Deref for Client {
    type Target = Wire;

    fn deref(&self) -> &Wire {
        &self.0
    }
}

impl DerefMut for Client {
    fn deref_mut(&mut self) -> &mut Wire {
        &mut self.0
    }
}

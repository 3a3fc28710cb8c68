//! Origins that speak HTTP/2 in clear, by the `h2` crate's server.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use bytes::{Bytes, BytesMut};
use h2::server::{Builder, SendResponse};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response, StatusCode};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot};
use tokio::task::{LocalSet, spawn_local};
use tokio_rustls::TlsAcceptor;

/// A server on a port of its own, in a thread of its own. Dropped, it cuts off what is open.
#[derive(Debug)]
pub(crate) struct Streams {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    requests: Mutex<Vec<Request<()>>>,
    resets: Mutex<Vec<Option<Reason>>>,
    connections: AtomicUsize,
    open: AtomicUsize,
}

/// A request, and who answers it.
pub(crate) struct Call {
    pub(crate) request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
    /// The connections that came before its own.
    pub(crate) connection: usize,
    /// The requests of its connection that came before it.
    pub(crate) number: usize,
    leave: Rc<Leave>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Leave {
    gracefully: Cell<bool>,
    abruptly: Cell<Option<Reason>>,
    wake: Notify,
}

type Answer = Pin<Box<dyn Future<Output = ()>>>;

impl Streams {
    /// Answers everything with 200 and this body.
    pub(crate) fn replying(body: &'static str) -> Self {
        Self::answering(move |mut call| async move { call.reply(200, &[], body) })
    }

    /// Answers each request by itself.
    pub(crate) fn answering<F: Future<Output = ()> + 'static>(
        answer: impl Fn(Call) -> F + Send + Sync + 'static,
    ) -> Self {
        Self::built(&Builder::new(), answer)
    }

    /// The same within TLS, as this says.
    pub(crate) fn secured<F: Future<Output = ()> + 'static>(
        tls: Arc<ServerConfig>,
        answer: impl Fn(Call) -> F + Send + Sync + 'static,
    ) -> Self {
        Self::begun(&Builder::new(), Some(TlsAcceptor::from(tls)), answer)
    }

    /// The same with settings of its own.
    pub(crate) fn built<F: Future<Output = ()> + 'static>(
        builder: &Builder,
        answer: impl Fn(Call) -> F + Send + Sync + 'static,
    ) -> Self {
        Self::begun(builder, None, answer)
    }

    fn begun<F: Future<Output = ()> + 'static>(
        builder: &Builder,
        tls: Option<TlsAcceptor>,
        answer: impl Fn(Call) -> F + Send + Sync + 'static,
    ) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::<Shared>::default();
        let (stop, stopped) = oneshot::channel();
        let (of_thread, builder) = (Arc::clone(&shared), builder.clone());
        let answer: Arc<dyn Fn(Call) -> Answer + Send + Sync> =
            Arc::new(move |call| Box::pin(answer(call)));
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let local = LocalSet::new();
            local.block_on(&runtime.unwrap(), async move {
                let listener = TcpListener::from_std(listener).unwrap();
                let accepting = async {
                    loop {
                        let (stream, _) = listener.accept().await.unwrap();
                        let (shared, answer) = (Arc::clone(&of_thread), Arc::clone(&answer));
                        stream.set_nodelay(true).unwrap();
                        let (tls, builder) = (tls.clone(), builder.clone());
                        spawn_local(async move {
                            match tls {
                                None => serve(stream, builder, shared, answer).await,
                                Some(tls) => {
                                    if let Ok(stream) = tls.accept(stream).await {
                                        serve(stream, builder, shared, answer).await;
                                    }
                                }
                            }
                        });
                    }
                };
                tokio::select! {
                    () = accepting => {}
                    _ = stopped => {}
                }
            });
        });
        Self { address, shared, stop: Some(stop), thread: Some(thread) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The heads that were read.
    pub(crate) fn requests(&self) -> Vec<Request<()>> {
        let copy = |request: &Request<()>| {
            let mut copy = Request::new(());
            *copy.method_mut() = request.method().clone();
            *copy.uri_mut() = request.uri().clone();
            *copy.headers_mut() = request.headers().clone();
            copy
        };
        lock(&self.shared.requests).iter().map(copy).collect()
    }

    /// How many requests were read.
    pub(crate) fn hits(&self) -> usize {
        lock(&self.shared.requests).len()
    }

    /// How streams ended of which [`Call::watch`] was asked.
    pub(crate) fn resets(&self) -> Vec<Option<Reason>> {
        lock(&self.shared.resets).clone()
    }

    /// How many connections were accepted.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// How many are open.
    pub(crate) fn open_connections(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    builder: Builder,
    shared: Arc<Shared>,
    answer: Arc<dyn Fn(Call) -> Answer + Send + Sync>,
) {
    let connection = shared.connections.fetch_add(1, Ordering::SeqCst);
    shared.open.fetch_add(1, Ordering::SeqCst);
    let leave = Rc::<Leave>::default();
    let mut number = 0;
    if let Ok(mut server) = builder.handshake::<_, Bytes>(stream).await {
        loop {
            let accepted = tokio::select! {
                accepted = server.accept() => accepted,
                () = leave.wake.notified() => {
                    if leave.gracefully.take() {
                        server.graceful_shutdown();
                    }
                    if let Some(reason) = leave.abruptly.take() {
                        server.abrupt_shutdown(reason);
                    }
                    continue;
                }
            };
            let Some(Ok((request, respond))) = accepted else { break };
            let (parts, body) = request.into_parts();
            lock(&shared.requests).push(Request::from_parts(parts.clone(), ()));
            let call = Call {
                request: Request::from_parts(parts, body),
                respond,
                connection,
                number,
                leave: Rc::clone(&leave),
                shared: Arc::clone(&shared),
            };
            number += 1;
            spawn_local(answer(call));
        }
    }
    shared.open.fetch_sub(1, Ordering::SeqCst);
}

impl Call {
    /// Answers at once.
    pub(crate) fn reply(&mut self, status: u16, fields: &[(&str, &str)], body: &'static str) {
        let head = head(status, fields);
        let Ok(mut stream) = self.respond.send_response(head, body.is_empty()) else { return };
        if !body.is_empty() {
            let _ = stream.send_data(Bytes::from_static(body.as_bytes()), true);
        }
    }

    /// Begins to answer.
    pub(crate) fn begin(&mut self, status: u16, fields: &[(&str, &str)]) -> SendStream<Bytes> {
        self.respond.send_response(head(status, fields), false).unwrap()
    }

    /// Sends an informational response.
    pub(crate) fn interim(&mut self, status: u16, fields: &[(&str, &str)]) {
        self.respond.send_informational(head(status, fields)).unwrap();
    }

    pub(crate) fn reset(&mut self, reason: Reason) {
        self.respond.send_reset(reason);
    }

    /// The next data of the request's body.
    pub(crate) async fn data(&mut self) -> Option<Bytes> {
        let body = self.request.body_mut();
        loop {
            let data = body.data().await?.ok()?;
            let _ = body.flow_control().release_capacity(data.len());
            if !data.is_empty() {
                return Some(data);
            }
        }
    }

    /// All that is left of the request's body.
    pub(crate) async fn body(&mut self) -> (Bytes, Option<HeaderMap>) {
        let mut all = BytesMut::new();
        while let Some(data) = self.data().await {
            all.extend_from_slice(&data);
        }
        (all.freeze(), self.request.body_mut().trailers().await.ok().flatten())
    }

    /// Waits until the stream is reset, and remembers why.
    pub(crate) async fn watch(&mut self) {
        let reason = poll_fn(|context| self.respond.poll_reset(context)).await;
        lock(&self.shared.resets).push(reason.ok());
    }

    /// The same once the answer has begun.
    pub(crate) async fn watch_stream(&self, stream: &mut SendStream<Bytes>) {
        let reason = poll_fn(|context| stream.poll_reset(context)).await;
        lock(&self.shared.resets).push(reason.ok());
    }

    /// Takes no new streams on its connection, and ends it when those that it has are over.
    pub(crate) fn leave(&self) {
        self.leave.gracefully.set(true);
        self.leave.wake.notify_one();
    }

    /// Ends its connection at once.
    pub(crate) fn abort(&self, reason: Reason) {
        self.leave.abruptly.set(Some(reason));
        self.leave.wake.notify_one();
    }
}

fn head(status: u16, fields: &[(&str, &str)]) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    for (name, value) in fields {
        let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
        response.headers_mut().append(name, value.parse().unwrap());
    }
    response
}

/// Sends as the other side grants room.
pub(crate) async fn send(stream: &mut SendStream<Bytes>, mut data: Bytes, last: bool) -> bool {
    while !data.is_empty() {
        stream.reserve_capacity(data.len());
        if stream.capacity() == 0 {
            match poll_fn(|context| stream.poll_capacity(context)).await {
                Some(Ok(_)) => {}
                _ => return false,
            }
        }
        let part = data.split_to(stream.capacity().min(data.len()));
        let ends = last && data.is_empty();
        if stream.send_data(part, ends).is_err() {
            return false;
        }
    }
    true
}

//! A request on a stream, until the head of its response has come.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{Reason, RecvStream};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Body as _;

use super::download::{Download, Stage};
use super::upload::{Bond, Pump};
use super::{Lease, Ticket, head};
use crate::body::{RequestBody, Upload, UploadError, UpstreamBody};
use crate::cluster::pool::SendLimits;
use crate::deadline::Deadline;
use crate::wire::Fault;

/// The most informational responses to one request, as of HTTP/1.
const INTERIMS: u8 = 100;

/// Why there is no response.
pub(in crate::cluster::pool) enum Failure {
    /// The upstream has done nothing about the request.
    Unsent(h2::Error),
    Broken(h2::Error),
    /// What came is not HTTP/2, or not what may be answered.
    Malformed(h2::Error),
    Fault(Fault),
    Upload(UploadError),
    Timeout,
}

impl Failure {
    fn of(error: h2::Error) -> Self {
        // Of streams above the last that GOAWAY names; others end with their connection.
        let gone = error.is_remote() && error.is_go_away();
        let refused = error.is_remote() && error.reason() == Some(Reason::REFUSED_STREAM);
        if gone || refused {
            Self::Unsent(error)
        } else if error.is_library() {
            Self::Malformed(error)
        } else {
            Self::Broken(error)
        }
    }
}

/// What is out.
struct Exchange<'a, I> {
    response: ResponseFuture,
    pump: Option<Pump>,
    upload: &'a Upload,
    interim: I,
    interims: u8,
    limits: crate::wire::Limits,
}

impl Lease {
    /// Sends `request` and waits for the head of its response. The second of what fails is how many
    /// informational responses came.
    pub(in crate::cluster::pool) async fn send(
        mut self,
        request: Request<RequestBody>,
        limits: &SendLimits,
        interim: impl FnMut(StatusCode, HeaderMap),
    ) -> Result<Response<UpstreamBody>, (Failure, u64)> {
        let trunk = Rc::clone(&self.ticket.0);
        let (parts, body) = request.into_parts();
        let upload = body.upload();
        let head_only = parts.method == Method::HEAD;
        let (read, ends) = (trunk.life.read.bytes(), body.is_end_stream());
        let opened = self.sender.send_request(head::request(parts, trunk.secure), ends);
        let (response, stream) = match opened {
            Ok(opened) => opened,
            // The connection has ended, or takes no new streams.
            Err(error) if error.is_go_away() || error.is_io() => {
                return Err((Failure::Unsent(error), 0));
            }
            Err(error) => return Err((Failure::Broken(error), 0)),
        };
        let mut exchange = Exchange {
            response,
            pump: (!ends).then(|| Pump::new(body, stream)),
            upload: &upload,
            interim,
            interims: 0,
            limits: trunk.heads,
        };
        match exchange.answer(limits).await {
            Ok(response) => {
                let bodyless = head_only || matches!(response.status().as_u16(), 204 | 304);
                let pump = exchange.pump;
                Ok(response.map(|(stream, left)| {
                    let stage = if bodyless { Stage::NoData } else { Stage::Data };
                    let left = if bodyless { Some(0) } else { left };
                    body_of(stream, (stage, left), (pump, &upload), self.ticket, limits)
                }))
            }
            Err(failure) => {
                match &failure {
                    Failure::Unsent(error) if error.is_reset() => trunk.refused(),
                    Failure::Malformed(_) | Failure::Fault(_) => trunk.faulted(),
                    Failure::Timeout if trunk.life.read.bytes() == read => trunk.doubt(),
                    _ => {}
                }
                Err((failure, u64::from(exchange.interims)))
            }
        }
    }
}

impl<I: FnMut(StatusCode, HeaderMap)> Exchange<'_, I> {
    async fn answer(
        &mut self,
        limits: &SendLimits,
    ) -> Result<Response<(RecvStream, Option<u64>)>, Failure> {
        let patience = limits.response_timeout;
        let mut deadline = Deadline::default();
        deadline.set(patience);
        let mut sent = 0;
        let response = poll_fn(|context| {
            self.feed(context)?;
            if let Poll::Ready(answered) = self.poll_answer(context) {
                return Poll::Ready(answered);
            }
            // The clock starts anew with each chunk that is taken.
            let read = self.upload.read_bytes();
            if read != sent {
                sent = read;
                deadline.set(patience);
            }
            while deadline.poll(context).is_ready() {
                if !self.upload.waits_for_client() {
                    return Poll::Ready(Err(Failure::Timeout));
                }
                deadline.set(patience);
            }
            Poll::Pending
        })
        .await?;
        head::judge(response.headers(), &self.limits).map_err(Failure::Fault)?;
        let length = response.headers().get(CONTENT_LENGTH).and_then(head::length);
        Ok(response.map(|stream| (stream, length)))
    }

    /// Sends what can be sent of the request's body.
    fn feed(&mut self, context: &mut Context<'_>) -> Result<(), Failure> {
        if let Some(pump) = &mut self.pump
            && let Poll::Ready(sent) = pump.poll(context)
        {
            sent.map_err(Failure::Upload)?;
            self.pump = None;
        }
        Ok(())
    }

    fn poll_answer(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Response<RecvStream>, Failure>> {
        while let Poll::Ready(Some(interim)) = self.response.poll_informational(context) {
            self.interim(interim.map_err(Failure::of)?).map_err(Failure::Fault)?;
        }
        Pin::new(&mut self.response).poll(context).map_err(Failure::of)
    }

    fn interim(&mut self, response: Response<()>) -> Result<(), Fault> {
        if self.interims == INTERIMS {
            return Err(Fault::Interims);
        }
        self.interims += 1;
        let (parts, ()) = response.into_parts();
        head::judge(&parts.headers, &self.limits)?;
        match parts.status {
            // HTTP/2 has no such thing (RFC 9113, 8.6).
            StatusCode::SWITCHING_PROTOCOLS => return Err(Fault::Switch),
            StatusCode::CONTINUE => self.upload.proceed(),
            status => (self.interim)(status, parts.headers),
        }
        Ok(())
    }
}

/// The body of a response that has begun. What is left of the request's gets a task.
fn body_of(
    stream: RecvStream,
    (stage, left): (Stage, Option<u64>),
    (pump, upload): (Option<Pump>, &Upload),
    ticket: Rc<Ticket>,
    limits: &SendLimits,
) -> UpstreamBody {
    upload.refuse();
    let bond = Rc::<Bond>::default();
    let mut held = pump;
    if !upload.held()
        && let Some(pump) = held.take()
    {
        pump.spawn(&bond, upload.clone(), &ticket, limits.response_timeout);
    }
    let heads = ticket.0.heads;
    let ended = stream.is_end_stream();
    let mut download = Download {
        stream,
        ticket: Some(ticket),
        bond,
        held,
        left,
        rest: Bytes::new(),
        most: limits.download.read_bytes,
        limits: heads,
        stage,
    };
    if ended {
        download.finish();
    }
    UpstreamBody::channel(Box::new(download), limits.download)
}

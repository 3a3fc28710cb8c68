//! How a client fails within its request while that waits.

use std::future::{pending, poll_fn};
use std::pin::Pin;

use http_body::Body as _;

use crate::body::{Upload, UploadError};
use crate::config;
use crate::relay::error::{Error, Limit};

/// Ends when the client of a listener fails within its body. As long as nobody reads that, nobody hears
/// either that it has gone; so what can be kept of it is read.
pub(super) async fn fails(upload: &Upload, listener: &config::Listener) -> Error {
    if upload.fits() {
        let mut body = upload.body();
        loop {
            match poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
                Some(Ok(_)) => {}
                Some(Err(error)) => return of_client(&error, upload, listener),
                None => break,
            }
        }
    }
    pending().await
}

fn of_client(error: &UploadError, upload: &Upload, listener: &config::Listener) -> Error {
    let received = upload.received_bytes();
    match error {
        UploadError::TooLarge => Error::TooLarge(Limit::max_body_bytes(listener)),
        UploadError::Silent => {
            let limit = Limit::body_timeout(&listener.name, listener.body_timeout);
            Error::ClientSilent(received, limit)
        }
        UploadError::Slow => Error::ClientSlow(received, Limit::min_body_rate(listener)),
        UploadError::Malformed(fault) => Error::Request(*fault, None),
        UploadError::Broken(_) | UploadError::Gone => Error::ClientGone(received),
    }
}

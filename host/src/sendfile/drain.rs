//! What becomes of the body that a file stands in for: read to its end, so that its connection can be
//! used again, unless that takes more than making another.

use http_body::Body as _;
use http_body_util::BodyExt;
use tokio::task::spawn_local;
use tokio::time::{Duration, timeout};

use crate::body::UpstreamBody;

/// The most that is read.
const MOST_BYTES: u64 = 64 << 10;

/// The longest that is waited for it.
const PATIENCE: Duration = Duration::from_secs(1);

/// Reads a body and throws it away, while the client gets the file. Beyond a limit the connection is
/// closed instead. `busy` is dropped when the endpoint is done.
pub fn drain(mut body: UpstreamBody, busy: impl Sized + 'static) {
    if body.is_end_stream() || body.size_hint().lower() > MOST_BYTES {
        return;
    }
    spawn_local(async move {
        let _busy = busy;
        let reading = async {
            let mut read = 0_u64;
            while let Some(Ok(frame)) = body.frame().await {
                let bytes = frame.data_ref().map_or(0, bytes::Bytes::len);
                read = read.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
                if read > MOST_BYTES {
                    return;
                }
            }
        };
        // What is not over by then closes its connection when it is dropped.
        let _ = timeout(PATIENCE, reading).await;
    });
}

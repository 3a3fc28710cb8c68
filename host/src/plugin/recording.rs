//! What a plugin decided, and about what, in a file: one line per decision, which can be read back.
//!
//! - A worker makes a line of a call that is over, and never waits: what does not fit is dropped and
//!   counted. A thread writes ([`Recorder`]).
//! - No value of a header field is in it that is not listed, be it of a request, of a response, or
//!   of the decision: of those a salted digest, which tells equal ones and nothing else ([`Shown`]).
//! - What is decided about bodies is not recorded.

mod file;
mod line;
mod noting;
mod outcome;
mod reader;
mod recorder;
mod shown;

pub use line::{Heading, Line, Phase};
pub(super) use line::{Member, Picking, Request, Response};
use noting::Noting;
pub use outcome::{Decided, Outcome};
pub(super) use outcome::{Field, Value};
pub use reader::{Reader, Unreadable};
pub use recorder::Recorder;
pub(super) use shown::Shown;

/// The format that is written and read.
const FORMAT: u32 = 1;

/// How each recording begins.
const BEGINNING: &[u8] = b"{\"linkspan-recording\":";

/// The longest line.
const LINE_BYTES: usize = 4 << 20;

//! What holds of streams that are read through a gate.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use linkspan::wire::{Asked, Fault, Gate, Reading, Requests, Responses, Sluice, Source, Step};
use tokio::io::{AsyncRead, ReadBuf};

use super::cut::{Cuts, LIMITS, judge};

/// What begins like a response is read as one.
pub(crate) fn hold(cuts: Cuts, bytes: &[u8]) {
    if bytes.starts_with(b"HTTP/") { responses(cuts, bytes) } else { requests(cuts, bytes) }
}

fn requests(cuts: Cuts, bytes: &[u8]) {
    let others = cuts.flag();
    let mut gate = Requests::new(LIMITS);
    let expected = judge(&mut gate, bytes, std::iter::repeat(bytes.len()), |gate, held| {
        if held && !others {
            gate.resume();
        }
        !held || !others
    });
    let mut reader = Reader::of(cuts, bytes, Requests::new(LIMITS));
    let mut given = Vec::new();
    for room in rooms(cuts, bytes) {
        let (reading, read) = reader.read(room);
        given.extend(&read);
        match reading {
            Reading::Ready if read.is_empty() => break,
            Reading::Ready => {}
            Reading::Pending if reader.gate.holds && others => {
                assert_eq!(given, expected.passed);
                return reader.taken_over(&bytes[expected.seen..]);
            }
            Reading::Pending if reader.gate.holds => {
                reader.gate.gate.resume();
                reader.sluice.decided();
            }
            Reading::Pending => {}
            Reading::Fault(fault) => {
                assert_eq!(given, expected.passed, "before {fault}");
                assert!(expected.fault.is_some(), "{fault}");
                return reader.replaced(fault);
            }
        }
        assert!(expected.passed.starts_with(&given), "{given:?}");
    }
    assert_eq!(given, expected.passed);
    assert_eq!(expected.fault, None);
}

/// To one question, with all the informational responses before it.
fn responses(cuts: Cuts, bytes: &[u8]) {
    let asked = || {
        let mut gate = Responses::new(LIMITS);
        gate.ask(Asked { head: false, upgrade: cuts.flag() });
        gate
    };
    let expected = judge(&mut asked(), bytes, std::iter::repeat(bytes.len()), |_, _| true);
    let mut reader = Reader::of(cuts, bytes, asked());
    let mut given = Vec::new();
    for room in rooms(cuts, bytes) {
        let (reading, read) = reader.read(room);
        given.extend(&read);
        match reading {
            Reading::Ready if read.is_empty() => break,
            Reading::Ready | Reading::Pending => {}
            Reading::Fault(fault) => {
                assert!(expected.fault.is_some(), "{fault}");
                assert_eq!((given, &reader.interim), (expected.passed, &expected.interim));
                return reader.replaced(fault);
            }
        }
    }
    assert_eq!((given, reader.interim), (expected.passed, expected.interim));
    assert_eq!(expected.fault, None);
}

/// How much there is room for, each time. Each round reads, or comes to an end: there are as many as
/// there are bytes and pauses, and some more.
fn rooms(cuts: Cuts, bytes: &[u8]) -> impl Iterator<Item = usize> {
    cuts.skip(1).take(4 * bytes.len() + 16)
}

struct Reader<'b, G> {
    stream: Pieces<'b>,
    gate: Watched<G>,
    sluice: Sluice,
    /// How many bytes are said to have been read.
    told: usize,
    interim: Vec<u8>,
}

impl<'b, G: Gate> Reader<'b, G> {
    fn of(sizes: Cuts, bytes: &'b [u8], gate: G) -> Self {
        Reader {
            stream: Pieces { bytes, given: 0, sizes, rests: false },
            gate: Watched { gate, holds: false },
            sluice: Sluice::default(),
            told: 0,
            interim: Vec::new(),
        }
    }

    fn read(&mut self, room: usize) -> (Reading, Vec<u8>) {
        let mut bytes = vec![0; room];
        let mut buffer = ReadBuf::new(&mut bytes);
        let (told, interim) = (&mut self.told, &mut self.interim);
        let mut source = Source {
            stream: &mut self.stream,
            read: &mut |count| *told += count,
            interim: &mut |bytes| interim.extend_from_slice(bytes),
        };
        let mut context = Context::from_waker(Waker::noop());
        let reading = self.sluice.read(&mut source, &mut self.gate, &mut context, &mut buffer);
        let reading = reading.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(self.told, self.stream.given);
        let filled = buffer.filled().to_vec();
        assert!(reading == Reading::Ready || filled.is_empty(), "{filled:?} with {reading:?}");
        let goes_on = reading == Reading::Ready && !filled.is_empty();
        assert!(goes_on || reading != Reading::Ready || self.sluice.ended(), "nothing is the end");
        (reading, filled)
    }

    /// Whoever speaks another protocol gets what was read of it, and finds the rest in the stream.
    fn taken_over(self, held: &[u8]) {
        let left = [&*self.sluice.into_kept(), self.stream.bytes].concat();
        assert_eq!(left, held);
    }

    /// What takes the place of a fault is all that is given then.
    fn replaced(&mut self, fault: Fault) {
        self.sluice.replace(b"instead", fault);
        let mut given = Vec::new();
        loop {
            match self.read(3) {
                (Reading::Ready, read) => given.extend(read),
                (reading, _) => {
                    assert_eq!(reading, Reading::Fault(fault));
                    return assert_eq!(given, b"instead");
                }
            }
        }
    }
}

/// A gate of which is known whether it has bytes held.
struct Watched<G> {
    gate: G,
    holds: bool,
}

impl<G: Gate> Gate for Watched<G> {
    fn step(&mut self, bytes: &[u8]) -> Step {
        let step = self.gate.step(bytes);
        self.holds = step == Step::Held;
        step
    }
}

/// A stream that gives its bytes in pieces, and pauses between them.
struct Pieces<'b> {
    bytes: &'b [u8],
    /// How many there were before those.
    given: usize,
    sizes: Cuts,
    rests: bool,
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let size = self.sizes.next().unwrap_or_default();
        self.rests = !self.rests && size.is_multiple_of(3);
        if self.rests {
            return Poll::Pending;
        }
        let (piece, rest) = self.bytes.split_at(size.min(buffer.remaining()).min(self.bytes.len()));
        buffer.put_slice(piece);
        self.bytes = rest;
        self.given += piece.len();
        Poll::Ready(Ok(()))
    }
}

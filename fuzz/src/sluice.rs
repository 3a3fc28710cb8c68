//! What holds of streams that are read through a gate.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use linkspan::wire::{Fault, Gate, Reading, Requests, Sluice, Source, Step};
use tokio::io::{AsyncRead, ReadBuf};

use super::cut::{Cuts, LIMITS, judge};

pub(crate) fn hold(cuts: Cuts, bytes: &[u8]) {
    let others = cuts.flag();
    let mut gate = Requests::new(LIMITS);
    let expected = judge(&mut gate, bytes, std::iter::repeat(bytes.len()), |gate, held| {
        if held && !others {
            gate.resume();
        }
        !held || !others
    });
    let mut reader = Reader {
        stream: Pieces { bytes, sizes: cuts, rests: false },
        gate: Watched { gate: Requests::new(LIMITS), holds: false },
        sluice: Sluice::default(),
    };
    let mut given = Vec::new();
    // Each round reads, or comes to an end: as many as there are bytes and pauses, and some more.
    for room in cuts.skip(1).take(4 * bytes.len() + 16) {
        let (reading, read) = reader.read(room);
        given.extend(&read);
        match reading {
            Reading::Ready if read.is_empty() => break,
            Reading::Ready => {}
            Reading::Pending if reader.gate.holds && others => {
                assert_eq!(given, expected.passed);
                return reader.taken_over(bytes);
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

struct Reader<'b> {
    stream: Pieces<'b>,
    gate: Watched,
    sluice: Sluice,
}

impl Reader<'_> {
    fn read(&mut self, room: usize) -> (Reading, Vec<u8>) {
        let mut bytes = vec![0; room];
        let mut buffer = ReadBuf::new(&mut bytes);
        let (read, interim) = (&mut |_| (), &mut |_: &[u8]| ());
        let mut source = Source { stream: &mut self.stream, read, interim };
        let mut context = Context::from_waker(Waker::noop());
        let reading = self.sluice.read(&mut source, &mut self.gate, &mut context, &mut buffer);
        let reading = reading.unwrap_or_else(|error| panic!("{error}"));
        let filled = buffer.filled().to_vec();
        assert!(reading == Reading::Ready || filled.is_empty(), "{filled:?} with {reading:?}");
        let goes_on = reading == Reading::Ready && !filled.is_empty();
        assert!(goes_on || reading != Reading::Ready || self.sluice.ended(), "nothing is the end");
        (reading, filled)
    }

    /// Whoever speaks another protocol gets what was read of it, and finds the rest in the stream.
    fn taken_over(self, bytes: &[u8]) {
        let left = [&*self.sluice.into_kept(), self.stream.bytes].concat();
        assert!(!left.is_empty() && bytes.ends_with(&left), "{left:?}");
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
struct Watched {
    gate: Requests,
    holds: bool,
}

impl Gate for Watched {
    fn step(&mut self, bytes: &[u8]) -> Step {
        let step = self.gate.step(bytes);
        self.holds = step == Step::Held;
        step
    }
}

/// A stream that gives its bytes in pieces, and pauses between them.
struct Pieces<'b> {
    bytes: &'b [u8],
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
        Poll::Ready(Ok(()))
    }
}

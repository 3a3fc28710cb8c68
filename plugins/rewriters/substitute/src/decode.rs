//! Undoing a content coding, a bounded piece at a time.

use std::io::Write;

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use flate2::write::GzDecoder;
use flate2::{Decompress, FlushDecompress, Status};

/// The most that one step gives.
const PIECE: usize = 64 << 10;

/// A content coding that can be undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    Gzip,
    Deflate,
    Brotli,
}

impl Coding {
    /// By its name in Content-Encoding.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => Some(Self::Gzip),
            "deflate" => Some(Self::Deflate),
            "br" => Some(Self::Brotli),
            _ => None,
        }
    }
}

/// What is being decoded. Errors say what is wrong with it.
pub(crate) struct Decoder {
    /// What has come, up to `taken` of it used.
    input: Vec<u8>,
    taken: usize,
    /// Whether anything has come at all.
    begun: bool,
    /// Whether the last step may have left something to give.
    full: bool,
    /// Whether the last step could do nothing with what there was.
    stuck: bool,
    machine: Machine,
}

enum Machine {
    /// The member that is being decoded; between two, or behind the last, none.
    Gzip(Option<Box<Member>>),
    /// With or without the frame of zlib, which the first two bytes tell.
    Deflate(Option<Decompress>, Ended),
    Brotli(Box<Brotli>, Ended),
}

type Member = GzDecoder<Vec<u8>>;

type Brotli = BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>;

/// Whether the end has come; what follows it is ignored.
type Ended = bool;

impl Decoder {
    /// Of which nothing has come.
    pub(crate) fn new(coding: Coding) -> Self {
        let alloc = StandardAlloc::default;
        let machine = match coding {
            Coding::Gzip => Machine::Gzip(Some(new_member())),
            Coding::Deflate => Machine::Deflate(None, false),
            Coding::Brotli => {
                Machine::Brotli(Box::new(BrotliState::new(alloc(), alloc(), alloc())), false)
            }
        };
        Self { input: Vec::new(), taken: 0, begun: false, full: false, stuck: false, machine }
    }

    /// More of it.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.begun |= !bytes.is_empty();
        self.stuck = false;
        self.input.drain(..self.taken);
        self.taken = 0;
        self.input.extend_from_slice(bytes);
    }

    /// Whether a step would give nothing before more comes.
    pub(crate) fn is_drained(&self) -> bool {
        !self.full && (self.stuck || self.taken >= self.input.len())
    }

    /// Appends the next piece, or nothing if more has to come first. `last` is whether nothing does. What
    /// is appended with an error is good.
    pub(crate) fn step(&mut self, last: bool, out: &mut Vec<u8>) -> Result<(), String> {
        let input = self.input.get(self.taken..).unwrap_or_default();
        let before = out.len();
        let taken = match &mut self.machine {
            Machine::Gzip(member) => gunzip(member, input, out),
            Machine::Deflate(_, true) | Machine::Brotli(_, true) => Ok(input.len()),
            Machine::Deflate(machine, ended) => match machine {
                None if input.len() < 2 && !last || input.is_empty() => Ok(0),
                machine => inflate(machine, input, out, ended),
            },
            Machine::Brotli(state, ended) => unbrotli(state, input, out, ended),
        };
        let taken = taken.map_err(|error| format!("it cannot be decoded: {error}"))?;
        self.taken += taken;
        self.full = out.len() - before >= PIECE;
        self.stuck = taken == 0 && out.len() == before;
        Ok(())
    }

    /// Checks that all of it has come.
    pub(crate) fn finish(&mut self) -> Result<(), String> {
        let ended = match &mut self.machine {
            Machine::Gzip(member) => member.as_mut().is_none_or(|it| it.try_finish().is_ok()),
            Machine::Deflate(_, ended) | Machine::Brotli(_, ended) => *ended,
        };
        if ended || !self.begun {
            Ok(())
        } else {
            Err("its coding breaks off, or does not add up".to_owned())
        }
    }
}

/// How much was taken.
type Taken = Result<usize, String>;

fn new_member() -> Box<Member> {
    Box::new(GzDecoder::new(Vec::new()))
}

/// Members may follow each other, and zeros a member, which fill up a block of a tape or disk.
fn gunzip(current: &mut Option<Box<Member>>, input: &[u8], out: &mut Vec<u8>) -> Taken {
    let mut taken = 0;
    let text = |error: std::io::Error| error.to_string();
    loop {
        let rest = input.get(taken..).unwrap_or_default();
        let Some(member) = current else {
            let zeros = rest.iter().take_while(|byte| **byte == 0).count();
            taken += zeros;
            if zeros == rest.len() {
                return Ok(taken);
            }
            *current = Some(new_member());
            continue;
        };
        let some = member.write(rest);
        // Each write gives what the one before has made.
        let flushed = member.flush();
        out.append(member.get_mut());
        let some = some.map_err(text)?;
        flushed.map_err(text)?;
        taken += some;
        if some == 0 && !rest.is_empty() {
            // It is over, checksum and all.
            member.try_finish().map_err(text)?;
            *current = None;
        } else if some == 0 || out.len() >= PIECE {
            return Ok(taken);
        }
    }
}

fn inflate(
    machine: &mut Option<Decompress>,
    input: &[u8],
    out: &mut Vec<u8>,
    ended: &mut Ended,
) -> Taken {
    let framed = match input {
        [first, second, ..] => {
            first & 15 == 8 && (u16::from(*first) << 8 | u16::from(*second)).is_multiple_of(31)
        }
        _ => false,
    };
    let machine = machine.get_or_insert_with(|| Decompress::new(framed));
    let before = machine.total_in();
    out.reserve_exact(PIECE);
    let room = out.len();
    out.resize(room + PIECE, 0);
    let given = machine.total_out();
    let space = out.get_mut(room..).unwrap_or_default();
    let status = machine.decompress(input, space, FlushDecompress::None);
    let given = usize::try_from(machine.total_out() - given).unwrap_or(0);
    out.truncate(room + given);
    *ended = status.map_err(|error| error.to_string())? == Status::StreamEnd;
    Ok(usize::try_from(machine.total_in() - before).unwrap_or(0))
}

fn unbrotli(state: &mut Brotli, input: &[u8], out: &mut Vec<u8>, ended: &mut Ended) -> Taken {
    let (mut available, mut taken) = (input.len(), 0);
    let (mut space, mut given, mut total) = (PIECE, 0, 0);
    let room = out.len();
    out.resize(room + PIECE, 0);
    let result = BrotliDecompressStream(
        &mut available,
        &mut taken,
        input,
        &mut space,
        &mut given,
        out.get_mut(room..).unwrap_or_default(),
        &mut total,
        state,
    );
    out.truncate(room + given);
    match result {
        BrotliResult::ResultFailure => return Err("invalid brotli".to_owned()),
        BrotliResult::ResultSuccess => *ended = true,
        BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => {}
    }
    Ok(taken)
}

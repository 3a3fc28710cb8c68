//! What an upstream may send beside its responses. Pure: no sockets, no time.
//!
//! SETTINGS, PINGs, resets and the like cost work and need no request to be sent. An upstream that sends more of
//! them than goes with what it is sent and answers ends its connection; else all requests on it would wait
//! for what is not going to come.

/// What may come at once.
const STORE: u32 = 1_000;

/// What comes in for a second.
const EACH_SECOND: u32 = 10;

/// What comes in for each write: an upstream grants room for each frame that it gets, twice.
const EACH_WRITE: u32 = 4;

const FRAME_HEAD: usize = 9;

/// Watches the frames of a connection.
#[derive(Debug)]
pub(super) struct Watch {
    head: [u8; FRAME_HEAD],
    /// How much of the head there is.
    known: usize,
    /// How much of the payload is still to come.
    left: usize,
    store: u32,
}

/// It is too much.
#[derive(Debug, thiserror::Error)]
#[error("it floods us with frames that need no answer to be sent")]
pub(super) struct Flood;

impl Default for Watch {
    fn default() -> Self {
        Self { head: [0; FRAME_HEAD], known: 0, left: 0, store: STORE }
    }
}

impl Watch {
    /// Something was written.
    pub(super) fn wrote(&mut self) {
        self.earn(EACH_WRITE);
    }

    /// So much time has passed.
    pub(super) fn passed(&mut self, seconds: u64) {
        let seconds = u32::try_from(seconds).unwrap_or(STORE);
        self.earn(EACH_SECOND.saturating_mul(seconds));
    }

    /// Bytes that were read.
    pub(super) fn read(&mut self, mut bytes: &[u8]) -> Result<(), Flood> {
        while !bytes.is_empty() {
            if self.left > 0 {
                let skipped = self.left.min(bytes.len());
                self.left -= skipped;
                bytes = bytes.get(skipped..).unwrap_or_default();
                continue;
            }
            let room = self.head.get_mut(self.known..).unwrap_or_default();
            let taken = room.len().min(bytes.len());
            let (of_head, rest) = bytes.split_at(taken);
            for (to, from) in room.iter_mut().zip(of_head) {
                *to = *from;
            }
            self.known += taken;
            bytes = rest;
            if self.known == FRAME_HEAD {
                self.known = 0;
                self.frame()?;
            }
        }
        Ok(())
    }

    fn frame(&mut self) -> Result<(), Flood> {
        const DATA: u8 = 0;
        const HEADERS: u8 = 1;
        const END_STREAM: u8 = 1;
        let [a, b, c, kind, flags, ..] = self.head;
        let length = u32::from_be_bytes([0, a, b, c]);
        self.left = usize::try_from(length).unwrap_or(usize::MAX);
        let answers = match kind {
            DATA => length > 0 || flags & END_STREAM != 0,
            kind => kind == HEADERS,
        };
        if answers {
            self.earn(1);
            return Ok(());
        }
        self.store = self.store.checked_sub(1).ok_or(Flood)?;
        Ok(())
    }

    fn earn(&mut self, frames: u32) {
        self.store = self.store.saturating_add(frames).min(STORE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(length: u8, kind: u8, flags: u8) -> Vec<u8> {
        let mut frame = vec![0, 0, length, kind, flags, 0, 0, 0, 1];
        frame.resize(9 + usize::from(length), 0xff);
        frame
    }

    #[test]
    fn control_frames_alone_are_a_flood_however_they_are_cut() {
        for size in [1, 7, 17, 4096] {
            let mut watch = Watch::default();
            let pings = frame(8, 6, 0).repeat(1_000);
            assert!(pings.chunks(size).all(|part| watch.read(part).is_ok()), "{size}");
            assert!(watch.read(&frame(0, 4, 0)).is_err());
        }
        let mut watch = Watch::default();
        assert!(watch.read(&frame(0, 0, 0).repeat(1_001)).is_err(), "empty data as well");
    }

    #[test]
    fn what_goes_with_requests_and_responses_is_none() {
        let mut watch = Watch::default();
        for _ in 0..5_000 {
            let answer =
                [frame(3, 1, 4), frame(8, 6, 0), frame(200, 0, 0), frame(4, 3, 0)].concat();
            watch.read(&answer).unwrap();
            watch.wrote();
            watch.read(&frame(4, 8, 0).repeat(4)).unwrap();
        }
        for _ in 0..500 {
            watch.passed(1);
            watch.read(&frame(8, 6, 0).repeat(10)).unwrap();
        }
    }
}

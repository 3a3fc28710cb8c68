//! The frames that a client is sent, for those with which the library refuses a request by itself.

const HEAD_BYTES: usize = 9;
const RST_STREAM: u8 = 3;

/// The codes by which it refuses one (RFC 9113, 7): what is malformed, in any way.
const REFUSALS: [u8; 5] = [1, 3, 5, 6, 9];

/// What has been sent of a connection's frames.
#[derive(Debug, Default)]
pub(super) struct Sent {
    head: [u8; HEAD_BYTES],
    begun: usize,
    /// What is to come of the payload.
    left: usize,
    refused: u64,
}

impl Sent {
    /// How many requests were refused since the last time.
    pub(super) fn refused(&mut self) -> u64 {
        std::mem::take(&mut self.refused)
    }

    /// Looks at bytes that follow those before.
    pub(super) fn pass(&mut self, mut bytes: &[u8]) {
        while let Some(byte) = bytes.first() {
            if self.left > 0 {
                let most = self.left.min(bytes.len());
                let part = bytes.split_off(..most).unwrap_or_default();
                self.left -= most;
                // The last byte of a code has all that is known.
                let [_, _, _, kind, ..] = self.head;
                if self.left == 0 && kind == RST_STREAM {
                    self.refused +=
                        u64::from(part.last().is_some_and(|code| REFUSALS.contains(code)));
                }
                continue;
            }
            if let Some(place) = self.head.get_mut(self.begun) {
                *place = *byte;
            }
            bytes = bytes.get(1..).unwrap_or_default();
            self.begun += 1;
            if self.begun == HEAD_BYTES {
                self.begun = 0;
                let [a, b, c, ..] = self.head;
                self.left = usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap_or(usize::MAX);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_counted_and_other_resets_are_not() {
        let frame = |kind: u8, payload: &[u8]| {
            let length = u8::try_from(payload.len()).unwrap();
            [&[0, 0, length, kind, 0, 0, 0, 0, 1], payload].concat()
        };
        let bytes = [
            frame(0, &[0, 0, 0, 1]),
            frame(3, &[0, 0, 0, 1]),
            frame(4, b""),
            frame(3, &[0, 0, 0, 8]),
            frame(3, &[0, 0, 0, 5]),
        ];
        for size in [1, 3, 100] {
            let mut sent = Sent::default();
            bytes.concat().chunks(size).for_each(|piece| sent.pass(piece));
            assert_eq!((sent.refused(), sent.refused()), (2, 0));
        }
    }
}

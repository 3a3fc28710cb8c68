//! `random`: numbers from a fast generator, and bytes fit for secrets.

use wasmtime::Result;

use crate::plugin::bindings::random;
use crate::plugin::guest::Guest;

/// The most bytes that one call gives.
const SECRET_BYTES: u32 = 4096;

impl random::Host for Guest {
    fn number(&mut self) -> Result<u64> {
        Ok(self.random.next())
    }

    fn secret(&mut self, length: u32) -> Result<Vec<u8>> {
        secret(length)
    }
}

/// Bytes from the kernel's generator.
pub(in crate::plugin) fn secret(length: u32) -> Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(length.min(SECRET_BYTES))?];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        filled += rustix::rand::getrandom(rest, rustix::rand::GetRandomFlags::empty())?;
    }
    Ok(bytes)
}

/// SplitMix64: 64 bits of state, fast, and good enough to choose among endpoints.
#[derive(Debug)]
pub(in crate::plugin) struct Random(u64);

impl Random {
    /// A generator that begins elsewhere each time.
    pub(in crate::plugin) fn seeded() -> Self {
        let seed = secret(8).ok().and_then(|bytes| bytes.try_into().ok());
        Self(seed.map_or(0, u64::from_le_bytes))
    }

    /// The next number.
    pub(in crate::plugin) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

//! Memory that is free goes back to the kernel, and what is not used is not taken.
//!
//! The allocator gives pages back when it is asked for memory long enough after they became free. A
//! worker that has let thousands of connections go and then has little to do would keep them.

/// In how many calls it is looked once whether most is over.
const ROUNDS: u32 = 10;

/// How many are worth it.
const MANY: usize = 256;

/// How often all is given back then: some is freed later, such as idle upstream connections.
const TIMES: u32 = 2;

/// For the whole process, and those that it starts: no huge pages. A buffer that is hardly used would
/// take all of one.
pub fn use_small_pages() {
    // Kernels that do not know of it have no huge pages to speak of.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

/// How much a thread has to do, as far as its memory goes.
#[derive(Debug, Default)]
pub struct Load {
    /// The most since all was given back.
    most: usize,
    /// How often all is still to be given back.
    left: u32,
    round: u32,
}

impl Load {
    /// Gives back what this thread has freed and not used again for a second. To be called about once a
    /// second, with how much it has to do: how many connections, or what grows with them.
    ///
    /// When most of it is over, all that is free goes, which takes longer.
    pub fn give_back(&mut self, now: usize) {
        let all = self.is_over(now);
        // SAFETY: it may be called by any thread at any time, whether the thread has used it or not.
        #[expect(unsafe_code, reason = "there is no other way to ask the allocator")]
        unsafe {
            libmimalloc_sys::mi_collect(all);
        }
    }

    fn is_over(&mut self, now: usize) -> bool {
        self.most = self.most.max(now);
        self.round = self.round.wrapping_add(1);
        if !self.round.is_multiple_of(ROUNDS) {
            return false;
        }
        if now < self.most / 2 && self.most - now >= MANY {
            (self.most, self.left) = (now, TIMES);
        }
        let all = self.left > 0;
        self.left = self.left.saturating_sub(1);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_given_back_twice_when_most_is_over() {
        let mut load = Load::default();
        let mut rounds = |now| (0..ROUNDS).filter(|_| load.is_over(now)).count();
        let given: Vec<_> =
            [4_000, 3_000, 900, 900, 900, 700, 300, 10, 10, 100, 10].map(&mut rounds).into();
        assert_eq!(given, [0, 0, 1, 1, 0, 0, 1, 1, 1, 0, 0]);
    }
}

//! Memory that is free goes back to the kernel, and what is not used is not taken.
//!
//! The allocator gives pages back when it is asked for memory long enough after they became free. A
//! worker that has let thousands of connections go and then has little to do would keep them.

use std::alloc::{GlobalAlloc, Layout};

use libmimalloc_sys::{
    mi_collect, mi_free, mi_malloc, mi_malloc_aligned, mi_option_set, mi_option_t, mi_realloc,
    mi_realloc_aligned, mi_zalloc, mi_zalloc_aligned,
};

/// In how many calls it is looked once whether most is over.
const ROUNDS: u32 = 10;

/// How many are worth it.
const MANY: usize = 256;

/// How often all is given back then, which is for a minute: some is freed later, such as idle upstream
/// connections, and what other threads free.
const TIMES: u32 = 6;

/// The allocator's option of how many milliseconds a page stays that is free (`mi_option_purge_delay`), which
/// the bindings leave out.
const PURGE_DELAY: mi_option_t = 15;

/// How long one stays while the process serves, which is what the allocator does unasked.
const KEPT_MS: std::ffi::c_long = 1_000;

/// How every block is aligned that has as many bytes. A smaller one is by its size.
const ALIGNED: usize = 16;

/// The allocator of the process, which is mimalloc.
///
/// It is asked for an alignment only where not every block has it: it makes room for one where there is
/// no need, and takes twice as long.
#[derive(Debug, Clone, Copy)]
pub struct Allocator;

/// Whether every block of so many bytes is aligned so.
const fn is_plain(align: usize, bytes: usize) -> bool {
    align <= ALIGNED && align <= bytes
}

// SAFETY: mimalloc is a general allocator; it gives null where there is nothing to give, never unwinds, and
// may be called by any thread.
#[expect(unsafe_code, reason = "what an allocator is in Rust")]
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let (bytes, align) = (layout.size(), layout.align());
        // SAFETY: both take any size, and alignments that are powers of two, as those of layouts are.
        unsafe {
            if is_plain(align, bytes) { mi_malloc(bytes) } else { mi_malloc_aligned(bytes, align) }
        }
        .cast()
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let (bytes, align) = (layout.size(), layout.align());
        // SAFETY: as in `alloc`.
        unsafe {
            if is_plain(align, bytes) { mi_zalloc(bytes) } else { mi_zalloc_aligned(bytes, align) }
        }
        .cast()
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, _layout: Layout) {
        // SAFETY: the caller has it from this allocator, and lets go of it.
        unsafe { mi_free(block.cast()) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        let align = layout.align();
        // SAFETY: as in `alloc` and `dealloc`.
        unsafe {
            if is_plain(align, bytes) {
                mi_realloc(block.cast(), bytes)
            } else {
                mi_realloc_aligned(block.cast(), bytes, align)
            }
        }
        .cast()
    }
}

/// For the whole process, and those that it starts: no huge pages. A buffer that is hardly used would
/// take all of one. To be called before anything is allocated, which is before `main`.
pub extern "C" fn use_small_pages() {
    // Kernels that do not know of it have no huge pages to speak of.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

/// From now on, what is freed goes back at once: a process that starts reads, checks and loads much that it never
/// needs again.
pub fn keep_nothing() {
    keep(0);
}

/// From now on, what is freed stays for a second, in which a process that serves needs most of it again.
pub fn keep_for_a_second() {
    keep(KEPT_MS);
}

fn keep(milliseconds: std::ffi::c_long) {
    // SAFETY: options may be set by any thread at any time.
    #[expect(unsafe_code, reason = "there is no other way to tell the allocator")]
    unsafe {
        mi_option_set(PURGE_DELAY, milliseconds);
    }
}

/// Gives back all that this thread has freed, and others of what was its own. Takes longer, the more that is:
/// for threads that have time.
pub fn give_back_all() {
    collect(true);
}

fn collect(all: bool) {
    // SAFETY: it may be called by any thread at any time, whether the thread has used it or not.
    #[expect(unsafe_code, reason = "there is no other way to ask the allocator")]
    unsafe {
        mi_collect(all);
    }
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
        collect(self.is_over(now));
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
    fn all_is_given_back_for_a_minute_when_most_is_over() {
        let mut load = Load::default();
        let mut rounds = |now| (0..ROUNDS).filter(|_| load.is_over(now)).count();
        let given: Vec<_> = [4_000, 3_000, 900, 900, 700, 300].map(&mut rounds).into();
        assert_eq!(given, [0, 0, 1, 1, 1, 1]);
        let given: Vec<_> = [100; 8].map(&mut rounds).into();
        assert_eq!(given, [1, 1, 1, 1, 1, 0, 0, 0]);
    }

    #[test]
    fn the_option_is_the_one_that_is_meant() {
        #[expect(unsafe_code, reason = "there is no other way to ask the allocator")]
        // SAFETY: options may be read by any thread at any time.
        let unasked = unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) };
        assert_eq!(unasked, KEPT_MS);
    }

    #[test]
    #[expect(unsafe_code, reason = "what is tested is")]
    fn blocks_are_aligned_as_they_have_to_be() {
        for align in (0..=12).map(|power| 1_usize << power) {
            for bytes in (1..300).chain((300..40_000).step_by(89)) {
                let layout = Layout::from_size_align(bytes, align).unwrap();
                // SAFETY: the blocks are as large as their layouts say, and freed with what they have become.
                unsafe {
                    let block = Allocator.alloc(layout);
                    assert!(!block.is_null() && block.addr().is_multiple_of(align), "{layout:?}");
                    block.add(bytes - 1).write(7);
                    let block = Allocator.realloc(block, layout, bytes + 24);
                    assert!(!block.is_null() && block.addr().is_multiple_of(align), "{layout:?}");
                    assert_eq!(block.add(bytes - 1).read(), 7);
                    Allocator.dealloc(block, Layout::from_size_align(bytes + 24, align).unwrap());
                    let block = Allocator.alloc_zeroed(layout);
                    assert!(block.addr().is_multiple_of(align), "{layout:?}");
                    assert_eq!((block.read(), block.add(bytes - 1).read()), (0, 0));
                    Allocator.dealloc(block, layout);
                }
            }
        }
    }
}

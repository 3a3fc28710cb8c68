//! Memory that is free goes back to the kernel, and what is not used is not taken.
//!
//! The allocator gives pages back when it is asked for memory long enough after they became free. A
//! worker that has let thousands of connections go and then has little to do would keep them.

/// For the whole process, and those that it starts: no huge pages. A buffer that is hardly used would
/// take all of one.
pub fn use_small_pages() {
    // Kernels that do not know of it have no huge pages to speak of.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

/// Gives back what this thread has freed and not used again for a second. To be called about once a
/// second.
pub fn give_back() {
    // SAFETY: it may be called by any thread at any time, whether the thread has used it or not.
    #[expect(unsafe_code, reason = "there is no other way to ask the allocator")]
    unsafe {
        libmimalloc_sys::mi_collect(false);
    }
}

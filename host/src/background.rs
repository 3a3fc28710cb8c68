//! Threads that work for others, and have time.

/// Has the thread that calls interrupt nobody when it is woken: it runs where a processor has nothing to do, or at
/// the next tick of the scheduler, and has its share then like any (`SCHED_BATCH`, sched(7)). A thread that is woken
/// for each of many small things does several at a time so, where processors are few. Where the system does not allow
/// it, all stays as it is.
pub fn interrupt_nobody() {
    let usual = libc::sched_param { sched_priority: 0 };
    // SAFETY: 0 is the calling thread, and what is pointed to is read before the call returns.
    #[expect(unsafe_code, reason = "there is no other way to tell the scheduler")]
    unsafe {
        libc::sched_setscheduler(0, libc::SCHED_BATCH, &raw const usual);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_can_be_told_to_interrupt_nobody() {
        let told = std::thread::spawn(|| {
            interrupt_nobody();
            std::fs::read_to_string("/proc/thread-self/stat").unwrap()
        });
        let stat = told.join().unwrap();
        // The 41st field (proc_pid_stat(5)), of those after the name in parentheses the 39th.
        let policy = stat.rsplit_once(") ").unwrap().1.split(' ').nth(38).unwrap();
        assert_eq!(policy.parse(), Ok(libc::SCHED_BATCH));
    }
}

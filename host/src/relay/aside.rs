//! A future beside others in one task, which is polled when it is woken itself: the others are woken for each
//! request, it is once in a connection's life.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// See the module.
pub(super) struct Aside<F> {
    future: Pin<Box<F>>,
    /// Who wakes the task on its behalf, and that waker as the future has it.
    bell: Option<(Arc<Bell>, Waker)>,
}

struct Bell {
    rung: AtomicBool,
    task: Waker,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, Ordering::Release);
        self.task.wake_by_ref();
    }
}

impl<F: Future> Aside<F> {
    pub(super) fn new(future: F) -> Self {
        Self { future: Box::pin(future), bell: None }
    }

    /// Polls it, if it has been woken since the last time. Not to be called after it was ready.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<F::Output> {
        let known = self.bell.take_if(|(bell, _)| !bell.task.will_wake(context.waker()));
        drop(known);
        let (bell, waker) = self.bell.get_or_insert_with(|| {
            let task = context.waker().clone();
            let bell = Arc::new(Bell { rung: AtomicBool::new(true), task });
            let waker = Waker::from(Arc::clone(&bell));
            (bell, waker)
        });
        if !bell.rung.load(Ordering::Relaxed) || !bell.rung.swap(false, Ordering::Acquire) {
            return Poll::Pending;
        }
        self.future.as_mut().poll(&mut Context::from_waker(waker))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::poll_fn;

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn it_is_polled_when_it_is_woken_and_not_otherwise() {
        let polls = Cell::new(0);
        let (tell, mut told) = oneshot::channel::<()>();
        let mut aside = Aside::new(poll_fn(|context| {
            polls.set(polls.get() + 1);
            Pin::new(&mut told).poll(context)
        }));
        let mut look =
            async || poll_fn(|context| Poll::Ready(aside.poll(context).is_ready())).await;
        assert!(!look().await && !look().await && !look().await);
        assert_eq!(polls.get(), 1);
        tell.send(()).unwrap();
        assert!(look().await);
        assert_eq!(polls.get(), 2);
    }
}

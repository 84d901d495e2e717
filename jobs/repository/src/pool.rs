//! A bounded place for work that needs the processor: hashing, compressing, sealing.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

use crate::RepositoryError;

type Work = Box<dyn FnOnce() + Send>;

/// Runs closures on blocking threads: as many at once as there are cores, and one for when another waits for memory or a lock. Waiting for a
/// turn is the back-pressure. A thread that is done takes the next closure at once: to be woken for it takes as long as small work itself.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    turns: Arc<Turns>,
}

struct Turns {
    width: usize,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    /// Threads that work, or were asked for.
    threads: usize,
    waiting: VecDeque<Work>,
}

impl Pool {
    pub(crate) fn new() -> Self {
        let width = std::thread::available_parallelism().map_or(2, std::num::NonZero::get) + 1;
        Self { turns: Arc::new(Turns { width, queue: Mutex::default() }) }
    }

    /// How many closures run at once.
    pub(crate) fn width(&self) -> usize {
        self.turns.width
    }

    /// Runs the closure; fails only if it panics or the runtime ends. It gets its turn whether or not the caller is polled: a turn given to
    /// somebody who waits for something else first would be a deadlock.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, RepositoryError> {
        let (tell, told) = oneshot::channel();
        self.turns.take(Box::new(move || {
            // A caller that has gone doesn't want to know.
            let _ = tell.send(catch_unwind(AssertUnwindSafe(work)));
        }));
        let failed = |reason: String| RepositoryError::Internal { what: "background work", reason };
        let done = told.await.map_err(|_| failed("the runtime ends".into()))?;
        done.map_err(|panic| failed(format!("it panicked: {}", said(&*panic))))
    }
}

impl Turns {
    fn take(self: &Arc<Self>, work: Work) {
        let mut queue = self.queue();
        if queue.threads == self.width {
            queue.waiting.push_back(work);
            return;
        }
        queue.threads += 1;
        drop(queue);
        let thread = Thread { turns: self.clone(), is_done: false };
        spawn_blocking(move || thread.work(work));
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Turns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Turns({})", self.width)
    }
}

/// One of the threads, from when it is asked for.
struct Thread {
    turns: Arc<Turns>,
    /// Whether it was found that nothing waits any more.
    is_done: bool,
}

impl Thread {
    fn work(mut self, first: Work) {
        let mut work = first;
        loop {
            work();
            let mut queue = self.turns.queue();
            let Some(next) = queue.waiting.pop_front() else {
                queue.threads -= 1;
                drop(queue);
                self.is_done = true;
                return;
            };
            work = next;
        }
    }
}

impl Drop for Thread {
    /// Where it never worked, the runtime ends, and whatever waits will wait for ever: its callers are told so.
    fn drop(&mut self) {
        if !self.is_done {
            let mut queue = self.turns.queue();
            queue.threads -= 1;
            let abandoned = std::mem::take(&mut queue.waiting);
            drop(queue);
            drop(abandoned);
        }
    }
}

fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("it didn't say why")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use futures::future::join_all;
    use futures::{StreamExt, stream};

    use super::*;

    #[tokio::test]
    async fn a_turn_is_used_even_while_its_owner_waits_for_something_else() {
        let pool = Pool::new();
        let work = (0..64).map(|number| pool.run(move || number));
        let mut buffered = stream::iter(work).buffered(16);
        let mut sum = 0;
        while let Some(number) = buffered.next().await {
            // The other futures of the stream aren't polled meanwhile.
            sum += pool.run(move || number.expect("ran")).await.expect("ran");
        }
        assert_eq!(sum, 63 * 32);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn never_more_run_at_once_than_have_a_turn_and_nobody_is_forgotten() {
        let pool = Pool::new();
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        for _ in 0..20 {
            let work = (0..50_u32).map(|number| {
                let (now, most) = (now.clone(), most.clone());
                pool.run(move || {
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    std::thread::sleep(Duration::from_micros(u64::from(number % 7) * 20));
                    now.fetch_sub(1, Ordering::SeqCst);
                    number
                })
            });
            let done: Vec<u32> = join_all(work).await.into_iter().map(|number| number.expect("ran")).collect();
            assert_eq!(done, (0..50).collect::<Vec<_>>());
        }
        let most = most.load(Ordering::SeqCst);
        assert!((2..=pool.width()).contains(&most), "{most} at once");
        // Each goes after it has told what it did.
        while pool.turns.queue().threads > 0 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_panic_is_an_error_of_its_caller_alone() {
        let pool = Pool::new();
        let work = || -> u8 { panic!("of {}", "hand") };
        let error = pool.run(work).await.expect_err("it panics");
        assert!(error.to_string().contains("of hand"), "{error}");
        for number in 0..10 {
            assert_eq!(pool.run(move || number).await.expect("ran"), number);
        }
    }

    #[test]
    fn who_waits_when_the_runtime_ends_is_told() {
        let pool = Pool::new();
        let runtime = || tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let (ended, other) = (runtime(), runtime());
        let handle = ended.handle().clone();
        ended.shutdown_background();
        let refused = handle.block_on(pool.run(|| 1)).expect_err("nobody does it");
        assert!(refused.to_string().contains("the runtime ends"), "{refused}");
        assert_eq!(other.block_on(pool.run(|| 2)).expect("another runtime goes on"), 2);
    }
}

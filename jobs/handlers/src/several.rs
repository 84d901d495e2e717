//! Several pieces of work at once.

use crate::error::Result;
use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};

/// Does all of the work, at most so much at once, in its order as far as that goes; answers in the order of ending. After a
/// failure nothing more is begun, `failed` is called, and what is under way comes to its end: the answer is the first error.
// In a box: the compiler can't tell of an iterator of closures whether it may be sent.
pub(crate) fn all<'a, T, Work>(
    at_once: usize,
    work: impl IntoIterator<Item = Work, IntoIter: Send + 'a>,
    failed: impl Fn() + Send + 'a,
) -> BoxFuture<'a, Result<Vec<T>>>
where
    T: Send + 'a,
    Work: Future<Output = Result<T>> + Send + 'a,
{
    let mut waiting = work.into_iter();
    Box::pin(async move {
        let mut running = FuturesUnordered::new();
        let (mut done, mut first) = (Vec::new(), None);
        loop {
            while first.is_none() && running.len() < at_once.max(1) {
                let Some(next) = waiting.next() else { break };
                running.push(next);
            }
            match running.next().await {
                Some(Ok(answer)) => done.push(answer),
                Some(Err(error)) => {
                    if first.is_none() {
                        first = Some(error);
                        failed();
                    }
                }
                None => break,
            }
        }
        first.map_or(Ok(done), Err)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    #[tokio::test]
    async fn what_is_under_way_ends_and_nothing_more_begins() {
        let [running, most, begun, told] = [const { AtomicUsize::new(0) }; 4];
        let work = |number: usize| {
            let (running, most, begun) = (&running, &most, &begun);
            async move {
                begun.fetch_add(1, Relaxed);
                most.fetch_max(running.fetch_add(1, Relaxed) + 1, Relaxed);
                for _ in 0..=number % 3 {
                    tokio::task::yield_now().await;
                }
                running.fetch_sub(1, Relaxed);
                if number == 5 { Err(Error::Stopped) } else { Ok(number) }
            }
        };
        let tell = || {
            told.fetch_add(1, Relaxed);
        };
        let mut done = all(3, (0..5).map(work), tell).await.expect("no failure among them");
        done.sort_unstable();
        assert_eq!((done, most.load(Relaxed), told.load(Relaxed)), (vec![0, 1, 2, 3, 4], 3, 0));
        let before = begun.load(Relaxed);
        assert!(matches!(all(3, (0..100).map(work), tell).await, Err(Error::Stopped)));
        assert_eq!((running.load(Relaxed), told.load(Relaxed)), (0, 1), "none is left half done");
        assert!(begun.load(Relaxed) - before < 12, "begun after the failure");
    }
}

//! Background tasks that must not end by themselves: each is watched, begun again after a growing pause, and told of.
//!
//! Invariant: a task that breaks off is never gone in silence; what it left undone, its next run looks for.

use crate::Problems;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_LONGEST: Duration = Duration::from_mins(1);
/// Whoever runs for so long is well again.
const WELL_AFTER: Duration = Duration::from_mins(2);

/// Runs what `begin` makes until `stop`; where that ends earlier, or panics, it is begun again.
pub async fn watched<F>(
    name: &'static str,
    problems: Problems,
    stop: CancellationToken,
    mut begin: impl FnMut() -> F + Send,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let mut pause = PAUSE_FIRST;
    while !stop.is_cancelled() {
        let begun = Instant::now();
        let mut task = tokio::spawn(begin());
        let ended = tokio::select! {
            biased;
            ended = &mut task => ended,
            () = sleep(WELL_AFTER) => {
                problems.clear(name);
                task.await
            }
        };
        let how = ended.map_or_else(|broken| broken.to_string(), |()| "it ended by itself".into());
        if stop.is_cancelled() {
            return;
        }
        if begun.elapsed() >= WELL_AFTER {
            pause = PAUSE_FIRST;
        }
        let pause_s = pause.as_secs();
        tracing::error!(task = name, how, pause_s, "a background task broke off, which is a defect: it is begun again");
        problems.set(name, format!("the {name} broke off, which is a defect: it is begun again, see the log"));
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = sleep(pause) => {}
        }
        pause = (pause * 2).min(PAUSE_LONGEST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    #[tokio::test(start_paused = true)]
    async fn a_task_that_breaks_off_is_told_and_begun_again_ever_later() {
        let (problems, stop, begun) = (Problems::default(), CancellationToken::new(), Arc::new(AtomicUsize::new(0)));
        let (counted, ends) = (Arc::clone(&begun), stop.clone());
        let watching = tokio::spawn(watched("settler", problems.clone(), stop.clone(), move || {
            let (run, ends) = (counted.fetch_add(1, Ordering::SeqCst), ends.clone());
            async move {
                match run {
                    0..10 => panic!("run {run}"),
                    10 => {}
                    _ => ends.cancelled().await,
                }
            }
        }));
        sleep(Duration::from_millis(500)).await;
        assert_eq!((begun.load(Ordering::SeqCst), problems.sentences().len()), (1, 1));
        sleep(Duration::from_secs(62)).await;
        assert_eq!(begun.load(Ordering::SeqCst), 6, "after 1, 2, 4, 8, 16 and 32 seconds");
        sleep(Duration::from_mins(6)).await;
        assert_eq!(begun.load(Ordering::SeqCst), 12, "and then every minute");
        assert_eq!(problems.sentences().len(), 1, "told until it has run well for a while");
        sleep(WELL_AFTER).await;
        assert_eq!(problems.sentences(), Vec::<String>::new());
        stop.cancel();
        watching.await.expect("ended");
    }
}

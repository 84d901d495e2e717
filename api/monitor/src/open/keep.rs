//! Keeps what is known without the store of the present: every monitor asks it once in each round, and notes what its own process finds
//! that the store doesn't hold.

use super::{AlertSource, Found, From, OpenAlerts};
use crate::{
    alerts::{look_at_open, read},
    evaluate::{Evaluation, Evaluations},
};
use lucid_core::rules::Standing;
use lucid_ports::{Problems, watched};
use lucid_schemas::alert::Alert;
use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// For so long the store is waited for while nothing can be written.
const BRIEF: Duration = Duration::from_millis(500);

/// Keeps `source` of the present until `stop`, or until nobody evaluates any more.
pub async fn keep(source: AlertSource, evaluations: Evaluations, problems: Problems, stop: CancellationToken) {
    let own = stop.clone();
    watched("open alerts", problems, stop, move || {
        let (source, mut evaluations, stop) = (source.clone(), evaluations.clone(), own.clone());
        async move {
            loop {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return,
                    changed = evaluations.changed() => if changed.is_err() { return },
                }
                let evaluation = evaluations.borrow_and_update().clone();
                if let Some(evaluation) = evaluation {
                    round(&source, &evaluation).await;
                }
            }
        }
    })
    .await;
}

/// What is open after a round.
async fn round(source: &AlertSource, evaluation: &Evaluation) {
    let told = match source.desk() {
        // Nobody takes writes, so the store is most likely silent, too: what is found meanwhile must not wait for it.
        Some(desk) if !evaluation.can_write => {
            timeout(BRIEF, read(look_at_open(&desk))).await.ok().and_then(Result::ok)
        }
        Some(desk) => read(look_at_open(&desk)).await.ok(),
        None => None,
    };
    let before = source.open();
    let (stored, silences, from, at) = match (told, before) {
        (Some((stored, look)), _) => (stored, look.silences, From::Store, Instant::now()),
        (None, Some(before)) => (before.stored.clone(), before.silences.clone(), From::Memory, before.at),
        (None, None) => (Vec::new(), Vec::new(), From::Memory, evaluation.at),
    };
    let found = found(evaluation, &stored);
    source.tell(OpenAlerts { stored, found, silences, from, at });
}

/// What there should be an alert about, and isn't one.
fn found(evaluation: &Evaluation, stored: &[Alert]) -> Vec<Found> {
    let stored: BTreeSet<_> = stored.iter().map(|alert| &alert.origin.fingerprint).collect();
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).ok().and_then(|now| i64::try_from(now.as_millis()).ok());
    let missing = evaluation.judged.iter().filter(|(fingerprint, _)| !stored.contains(fingerprint));
    let found = missing.filter_map(|(_, judged)| match &judged.standing {
        Standing::Open { since_ms, severity, value, summary, .. } => Some(Found {
            rule: judged.rule.id.to_owned(),
            labels: judged.labels.clone(),
            severity: *severity,
            since_ms: now_ms.unwrap_or_default() - (evaluation.clock_ms - since_ms),
            summary: summary.clone(),
            value: *value,
        }),
        Standing::Over(_) | Standing::Undecided | Standing::Unseen => None,
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        alerts::tests::world::{Hanging, raised},
        open::Desk,
        write::Chain,
    };
    use lucid_core::rules::{Judged, Rule};
    use lucid_ports::{Alerts, Raised, memory::MemoryStore};
    use lucid_schemas::alert::{Fingerprint, Severity};
    use std::{collections::BTreeMap, sync::Arc};
    use tokio::sync::watch;

    static LAG: Rule = Rule { id: "lag", ..Rule::PLAIN };

    fn evaluation(members: &[&str]) -> Arc<Evaluation> {
        let one = |member: &&str| {
            let labels = BTreeMap::from([("member".to_owned(), (*member).to_owned())]);
            let standing = Standing::Open {
                since_ms: 1_000,
                severity: Severity::Warning,
                value: None,
                summary: format!("{member} is behind"),
                flapping: false,
                silent: false,
            };
            (Fingerprint::of(LAG.id, &labels), Judged { rule: &LAG, labels, standing })
        };
        let judged = members.iter().map(one).collect();
        let (at, rules) = (Instant::now(), vec![&LAG]);
        Arc::new(Evaluation {
            at,
            primary_at: None,
            judged,
            cold: Vec::new(),
            rules,
            can_write: false,
            term: None,
            clock_ms: 4_000,
        })
    }

    /// What is open after a round that finds these members behind.
    async fn after(
        source: &AlertSource,
        finds: &watch::Sender<Option<Arc<Evaluation>>>,
        members: &[&str],
    ) -> Arc<OpenAlerts> {
        let mut told = source.open.subscribe();
        told.mark_unchanged();
        finds.send_replace(Some(evaluation(members)));
        told.changed().await.expect("told");
        source.open().expect("known")
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_store_held_is_remembered_and_what_it_does_not_hold_is_noted() {
        let store = Arc::new(MemoryStore::new());
        let (source, stop) = (AlertSource::default(), CancellationToken::new());
        let (finds, evaluations) = watch::channel(None);
        let kept = tokio::spawn(keep(source.clone(), evaluations, Problems::default(), stop.clone()));
        tokio::task::yield_now().await;
        let open = after(&source, &finds, &["pi-2"]).await;
        assert_eq!((open.from, open.stored.len(), open.found.len()), (From::Memory, 0, 1), "no store was reached");
        let Raised::New(alert) =
            store.raise_alert(&raised("lag", ("member", "pi-2"), Severity::Warning)).await.expect("raised")
        else {
            panic!("it is the first")
        };
        let chain = Chain::new(store.clone(), store.clone(), "monitor:pi-1".into());
        source.reached(Desk { alerts: store.clone(), silences: store.clone(), chain: chain.clone() });
        let open = after(&source, &finds, &["pi-2", "pi-3"]).await;
        assert_eq!((open.from, &open.stored), (From::Store, &vec![*alert.clone()]));
        assert_eq!(open.found.iter().map(|found| found.labels["member"].as_str()).collect::<Vec<_>>(), ["pi-3"]);
        let told_at = open.at;
        source.reached(Desk { alerts: Arc::new(Hanging), silences: store, chain });
        let open = after(&source, &finds, &["pi-3"]).await;
        assert_eq!((open.from, &open.stored, open.at), (From::Memory, &vec![*alert], told_at), "as old as it is");
        stop.cancel();
        kept.await.expect("ended");
    }
}

//! What a prune is asked to do: which backups to forget, and how to free what only they needed.

use crate::FieldError;
use serde::{Deserialize, Serialize};

/// The most that any number of [`Keep`] may be.
const KEEP_MAX: i32 = 100_000;
/// The most hours of grace: a year.
const GRACE_HOURS_MAX: i32 = 8_784;
/// Hours for which what nobody needs is left alone, unless the request says otherwise.
pub const GRACE_HOURS: i32 = 24;

/// So many of the newest backups are kept besides those of some days, where nobody says how many.
pub const KEEP_LAST: i32 = 7;

/// How many backups are kept of each database; what several rules keep is kept, and the newest always. Times are UTC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Keep {
    /// So many of the newest; [`KEEP_LAST`] where only `days` are given.
    #[serde(skip_serializing_if = "is_zero")]
    pub last: i32,
    /// The newest of each of so many hours that have one.
    #[serde(skip_serializing_if = "is_zero")]
    pub hourly: i32,
    /// The newest of each of so many days that have one.
    #[serde(skip_serializing_if = "is_zero")]
    pub daily: i32,
    /// The newest of each of so many weeks (from Monday) that have one.
    #[serde(skip_serializing_if = "is_zero")]
    pub weekly: i32,
    /// The newest of each of so many months that have one.
    #[serde(skip_serializing_if = "is_zero")]
    pub monthly: i32,
    /// The newest of each of so many years that have one.
    #[serde(skip_serializing_if = "is_zero")]
    pub yearly: i32,
    /// All that are at most so many days older than the newest.
    #[serde(skip_serializing_if = "is_zero")]
    pub days: i32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(number: &i32) -> bool {
    *number == 0
}

/// A prune of one repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a field of the stored document, and any of them goes with any other"
)]
pub struct PruneSpec {
    /// Which backups stay.
    pub keep: Keep,
    /// Only say what would be done.
    #[serde(default)]
    pub dry_run: bool,
    /// Free space in this run, not the next one.
    #[serde(default)]
    pub at_once: bool,
    /// Write packs anew that are mostly unneeded, and many small ones.
    pub repack: bool,
    /// What nobody needs but is younger is left alone: a backup that another program writes may need it.
    pub grace_hours: i32,
    /// Whether this cluster takes the repository over from the one that has pruned it so far.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub take_ownership: bool,
    /// Whose backups are judged, where they aren't this cluster's: those of one that is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Whether backups whose manifests somebody has removed by hand are noted as lost, so that prunes go on without them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub accept_loss: bool,
    /// Whether more than half of a series may be forgotten at once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub forget_many: bool,
}

impl Keep {
    /// What is kept where a prune doesn't say: so many days, and so many of the newest besides. Nothing where no days are given: then a
    /// prune must say.
    pub fn of_days(days: i32, last: i32) -> Self {
        if days > 0 { Self { last, days, ..Self::default() } } else { Self::default() }
    }
}

impl PruneSpec {
    /// A prune that keeps these, and is as prunes are where nothing else is said.
    pub const fn keeping(keep: Keep) -> Self {
        Self {
            keep,
            dry_run: false,
            at_once: false,
            repack: true,
            grace_hours: GRACE_HOURS,
            take_ownership: false,
            cluster: None,
            accept_loss: false,
            forget_many: false,
        }
    }

    /// What is wrong with it, by field.
    pub fn check(&self) -> Vec<FieldError> {
        let Keep { last, hourly, daily, weekly, monthly, yearly, days } = self.keep;
        let numbers = [
            ("last", last),
            ("hourly", hourly),
            ("daily", daily),
            ("weekly", weekly),
            ("monthly", monthly),
            ("yearly", yearly),
            ("days", days),
        ];
        let wrong = numbers.iter().filter(|(_, number)| !(0..=KEEP_MAX).contains(number));
        let mut errors: Vec<_> = wrong
            .map(|(name, _)| FieldError::new(format!("keep.{name}"), format!("must be a number from 0 to {KEEP_MAX}")))
            .collect();
        if self.keep == Keep::default() {
            errors
                .push(FieldError::new("keep", "must say which backups stay, such as {\"days\": 30} or {\"last\": 7}"));
        }
        let changes = [("take_ownership", self.take_ownership), ("accept_loss", self.accept_loss)];
        for (name, _) in changes.iter().filter(|(_, asked)| self.dry_run && *asked) {
            errors.push(FieldError::new(*name, "changes something, so it has no place in a dry run"));
        }
        if self.cluster.as_deref().is_some_and(|cluster| !is_cluster(cluster)) {
            errors.push(FieldError::new("cluster", "must be the id of a cluster, as results of prunes tell it"));
        }
        if !(0..=GRACE_HOURS_MAX).contains(&self.grace_hours) {
            errors.push(FieldError::new("grace_hours", format!("must be a number from 0 to {GRACE_HOURS_MAX}")));
        }
        errors
    }
}

/// Whether this may be the id of a cluster: 1 to 128 letters, digits, `_` and `-`.
fn is_cluster(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_kept_by_default_where_all_is() {
        assert_eq!(Keep::of_days(30, 7), Keep { days: 30, last: 7, ..Keep::default() });
        assert_eq!(Keep::of_days(0, 7), Keep::default(), "a prune that doesn't say is refused");
    }

    #[test]
    fn every_bad_number_is_named_and_nothing_to_keep_is_refused() {
        let spec = |keep| PruneSpec { grace_hours: -1, ..PruneSpec::keeping(keep) };
        let fields = |spec: PruneSpec| spec.check().into_iter().map(|error| error.field).collect::<Vec<_>>();
        assert_eq!(
            fields(spec(Keep { last: -1, days: KEEP_MAX + 1, ..Keep::default() })),
            ["keep.last", "keep.days", "grace_hours"]
        );
        assert_eq!(fields(PruneSpec { grace_hours: 0, ..spec(Keep::default()) }), ["keep"]);
        let days = Keep { days: 30, ..Keep::default() };
        let changing = PruneSpec { dry_run: true, take_ownership: true, accept_loss: true, ..spec(days) };
        assert_eq!(fields(PruneSpec { grace_hours: 24, ..changing }), ["take_ownership", "accept_loss"]);
        let of = |cluster: &str| PruneSpec {
            grace_hours: 0,
            cluster: Some(cluster.into()),
            ..spec(Keep { days: 30, ..Keep::default() })
        };
        assert_eq!((fields(of("6f2a-1")), fields(of("a/b"))), (Vec::new(), vec!["cluster".to_owned()]));
        assert_eq!(fields(PruneSpec { grace_hours: 24, ..spec(Keep { days: 30, ..Keep::default() }) }), [""; 0]);
    }
}

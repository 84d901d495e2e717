//! The register of failure codes: every word that can stand in the `code` of a failure. Each has a page in `failures.md`.
//!
//! Invariant: a code never changes its meaning, and is never used anew. What is stored stays text, so that a program reads what a
//! newer one has written.

use std::fmt;

/// The pages, as one document.
const PAGES: &str = include_str!("../failures.md");

macro_rules! codes {
    ($($name:ident = $word:literal),+ $(,)?) => {
        /// Why a job or an attempt failed; see the page of its word.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[allow(missing_docs)] // Their pages are their documentation.
        pub enum Code {
            $($name),+
        }

        impl Code {
            /// Every code, by its word's alphabet.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The word for programs.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word),+
                }
            }
        }
    };
}

codes! {
    AuthenticationFailed = "authentication_failed",
    BackupDamaged = "backup_damaged",
    BackupForgotten = "backup_forgotten",
    BackupMissing = "backup_missing",
    BadDefinition = "bad_definition",
    BadName = "bad_name",
    BadRequest = "bad_request",
    CappedTooBusy = "capped_too_busy",
    CatalogUnstable = "catalog_unstable",
    ChangedByOthers = "changed_by_others",
    ChannelAway = "channel_away",
    ChannelRefuses = "channel_refuses",
    ChannelUnknown = "channel_unknown",
    ClusterUnknown = "cluster_unknown",
    CollectionNotFound = "collection_not_found",
    CountMismatch = "count_mismatch",
    DatabaseNotFound = "database_not_found",
    DefinitionMismatch = "definition_mismatch",
    DriverError = "driver_error",
    GivenUp = "given_up",
    HandlerPanicked = "handler_panicked",
    IdentitiesUnchecked = "identities_unchecked",
    IndexInTheWay = "index_in_the_way",
    KindInTheWay = "kind_in_the_way",
    ManifestUnnamed = "manifest_unnamed",
    ManifestsMissing = "manifests_missing",
    MemberNotReady = "member_not_ready",
    MongodbRefuses = "mongodb_refuses",
    MongodbUnreachable = "mongodb_unreachable",
    MongodbUnready = "mongodb_unready",
    NoReplicaSet = "no_replica_set",
    NoSecondary = "no_secondary",
    NoSpace = "no_space",
    NotComplete = "not_complete",
    NotConsistent = "not_consistent",
    OddBucket = "odd_bucket",
    OtherRepository = "other_repository",
    RepositoryAway = "repository_away",
    RepositoryDamaged = "repository_damaged",
    RepositoryRefuses = "repository_refuses",
    RepositoryUnavailable = "repository_unavailable",
    RepositoryUnknown = "repository_unknown",
    RepositoryUnnamed = "repository_unnamed",
    ScratchExists = "scratch_exists",
    SnapshotLost = "snapshot_lost",
    SnapshotWindowTooSmall = "snapshot_window_too_small",
    StagingFailed = "staging_failed",
    StagingLost = "staging_lost",
    StoreUnavailable = "store_unavailable",
    SwapListUnreadable = "swap_list_unreadable",
    SwapStuck = "swap_stuck",
    TargetExists = "target_exists",
    TargetNotNew = "target_not_new",
    TimedOut = "timed_out",
    TooSlowForWindow = "too_slow_for_window",
    UnknownStorage = "unknown_storage",
    ViewRefused = "view_refused",
    WorkerLost = "worker_lost",
    WrongKey = "wrong_key",
    WrongKind = "wrong_kind",
}

impl Code {
    /// The code of a word; `None` for what this version doesn't know.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == word)
    }

    /// Its page: pairs of a question (what happened, what Lucid Ops did, what to do, what else is hit) and the answer, in Markdown.
    #[must_use]
    pub fn page(self) -> Vec<(&'static str, &'static str)> {
        let heading = format!("\n## `{}`\n", self.as_str());
        let after = PAGES.split_once(heading.as_str()).map_or("", |(_, after)| after);
        let page = after.split_once("\n## ").map_or(after, |(page, _)| page);
        page.lines().filter_map(|line| line.strip_prefix("- **")?.split_once(".** ")).collect()
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<Code> for String {
    fn from(code: Code) -> Self {
        code.as_str().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_page_and_every_page_a_code() {
        let pages: Vec<_> = PAGES.lines().filter_map(|line| line.strip_prefix("## `")?.strip_suffix('`')).collect();
        let codes: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(pages, codes);
        assert!(codes.is_sorted());
    }

    #[test]
    fn every_page_answers_the_four_questions_in_order() {
        for code in Code::ALL {
            let (asked, answers): (Vec<_>, Vec<_>) = code.page().into_iter().unzip();
            assert_eq!(asked, ["What happened", "What Lucid Ops did", "What to do", "What else is hit"], "{code}");
            assert!(answers.iter().all(|answer| answer.ends_with('.')), "{code}");
            assert_eq!(Code::of(code.as_str()), Some(*code));
        }
        assert_eq!(Code::of("unheard_of"), None);
    }
}

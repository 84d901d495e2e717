//! The contract of a store and its feed, as checks: every store passes every one of them.
//!
//! A check gets a [`Bench`] of its own with nothing in it, and panics where the store breaks a promise. No check waits
//! for time to pass: a delay or a lease of a negative length is over at once, one of an hour is not over for long.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a tool of the tests: its output is read to the end")]

mod agreement;
mod alerts;
mod birth;
mod bulk;
mod chance;
mod claiming;
mod feed;
mod guards;
mod history;
mod hostile;
mod kit;
mod queries;
mod races;
mod registry;
mod renewal;
mod retention;
mod schedules;
mod silences;
mod slots;
mod together;
mod tokens;
mod transitions;
mod waiting;

pub use agreement::agree;
pub use alerts::agree_on_alerts;
pub use chance::Chance;
pub use kit::{Bench, DocumentReader};

use futures::future::BoxFuture;

/// One promise of the contract.
pub struct Check {
    /// What is promised.
    pub name: &'static str,
    run: fn(Bench) -> BoxFuture<'static, ()>,
}

macro_rules! checks {
    ($($room:ident::$name:ident,)*) => {
        &[$(Check {
            name: concat!(stringify!($room), "::", stringify!($name)),
            run: |bench| Box::pin($room::$name(bench)),
        },)*]
    };
}

/// Every check.
pub const CHECKS: &[Check] = checks![
    birth::a_job_reads_back_as_it_was_asked_for,
    birth::a_moment_that_is_asked_for_is_kept,
    birth::one_write_makes_one_job,
    birth::a_taken_id_is_refused,
    birth::a_unique_key_is_held_by_one_open_job,
    bulk::many_jobs_are_born_as_single_ones_are,
    bulk::each_of_many_is_refused_for_itself,
    transitions::every_event_reads_back_and_folds_to_the_head,
    transitions::fields_that_are_absent_are_removed,
    transitions::objects_are_replaced_and_never_merged,
    transitions::another_version_or_epoch_is_fenced_off,
    transitions::a_lost_answer_is_recognised_by_its_write,
    transitions::a_lost_answer_is_given_with_the_lease_of_its_time,
    transitions::a_job_that_is_not_there_is_lost,
    together::many_equal_transitions_each_have_their_own_values,
    together::each_of_many_equal_transitions_is_lost_for_itself,
    together::one_slot_for_many_is_taken_by_one,
    hostile::requests_are_stored_literally,
    hostile::events_are_stored_literally,
    guards::a_job_is_claimed_only_once_it_is_due,
    guards::a_job_is_taken_over_only_once_its_lease_is_over,
    guards::a_released_commit_waits_and_has_no_lease,
    guards::what_is_held_is_judged_by_its_lease_alone,
    guards::a_lease_further_ahead_than_any_can_be_is_over,
    guards::the_time_for_attempts_is_judged_by_the_store,
    races::one_of_many_claims_wins,
    races::one_of_many_equal_writes_makes_the_job,
    races::one_of_many_equal_keys_makes_the_job,
    races::a_cancel_and_an_end_do_not_both_win,
    renewal::a_running_lease_is_renewed_with_its_progress,
    renewal::a_lease_is_renewed_by_its_own_claim_only,
    renewal::a_lease_that_is_over_is_not_renewed,
    renewal::a_renewal_sees_a_cancel,
    claiming::claimable_is_what_is_due_best_first,
    claiming::claimable_is_what_is_in_reach,
    claiming::claimable_has_lost_jobs_with_attempts_left,
    claiming::expired_has_lost_jobs_without_attempts_left,
    claiming::the_next_due_time_is_the_soonest_to_come,
    slots::a_slot_is_held_by_one_job_until_it_goes_back_or_ends,
    slots::a_takeover_keeps_the_slots,
    slots::jobs_that_wait_for_slots_are_parked,
    slots::a_reservation_is_given_back_only_once_it_is_over,
    slots::what_is_blocked_is_shared_and_takes_its_slots_again,
    slots::what_is_given_up_is_claimed_without_them,
    waiting::waiting_jobs_are_found_by_what_they_wait_for,
    waiting::a_waiting_job_is_not_claimable_until_it_is_settled,
    retention::old_jobs_are_forgotten_unless_somebody_waits_for_them,
    retention::a_fate_is_noted_once_of_a_backup_that_succeeded,
    retention::manifests_are_known_until_something_became_of_their_backups,
    registry::a_pause_lasts_until_it_is_lifted,
    registry::an_idempotency_key_stands_for_one_job,
    queries::pages_of_a_list_join_without_gap_or_repetition,
    queries::a_page_goes_on_where_a_job_was_that_is_gone,
    queries::lists_are_filtered_by_time_label_and_text,
    queries::all_jobs_are_paged_by_id,
    queries::open_jobs_are_counted_by_state,
    queries::what_open_jobs_need_is_told_by_backup,
    queries::ids_are_found_by_prefix,
    queries::none_means_none,
    registry::details_are_kept_and_replaced,
    registry::workers_come_and_go,
    registry::a_name_is_bound_to_one_repository_for_good,
    registry::a_cluster_has_one_id,
    schedules::a_schedule_reads_back_as_it_was_made,
    schedules::one_of_many_makes_the_schedule,
    schedules::one_of_many_edits_of_a_version_wins,
    schedules::an_edit_says_what_becomes_of_the_mark,
    schedules::the_mark_is_raised_once_and_by_nobody_else_plan,
    schedules::a_schedule_of_the_same_name_is_another,
    schedules::a_look_has_all_of_them_and_the_clock,
    alerts::an_alert_reads_back_as_it_was_raised,
    alerts::one_write_makes_one_alert_of_an_open_fingerprint,
    alerts::one_of_many_raises_makes_the_alert,
    alerts::what_comes_late_does_nothing,
    alerts::a_claim_that_is_over_is_fenced_off,
    alerts::another_version_or_touch_is_fenced_off,
    alerts::a_lost_answer_is_recognised_by_its_write_there_too,
    alerts::times_of_alerts_are_judged_by_the_store,
    alerts::who_was_told_is_told_of_the_end,
    alerts::lists_of_alerts_join_and_are_filtered,
    alerts::jobs_and_alerts_do_not_show_among_one_another,
    retention::old_alerts_are_forgotten_but_for_the_newest_about_the_same,
    silences::a_silence_reads_back_as_it_was_made,
    silences::one_write_makes_one_silence,
    silences::a_silence_is_ended_once,
    silences::a_look_has_the_silences_that_are_not_over,
    silences::silences_that_were_over_long_ago_are_forgotten,
    tokens::a_token_reads_back_as_it_was_made,
    tokens::a_name_is_given_once_and_for_good,
    tokens::one_of_many_makes_the_token,
    tokens::a_token_is_revoked_once_and_stays_so,
    tokens::a_token_expires_by_the_clock_of_the_store,
    feed::a_birth_may_come_with_the_new_job,
    feed::births_and_transitions_wake_but_heartbeats_do_not,
    feed::every_listener_hears_everything_in_order,
    history::changes_come_with_their_events,
    history::alerts_are_told_among_the_jobs,
    history::who_was_away_is_told_all_that_he_missed,
    history::a_place_that_never_was_is_lost,
];

impl Check {
    /// Runs it on an empty bench.
    pub async fn run(&self, bench: Bench) {
        (self.run)(bench).await;
    }
}

/// Runs every check, each on a bench of its own; panics at the first promise that is broken, having printed its name.
pub async fn run_all<F: Future<Output = Bench>>(mut make: impl FnMut() -> F) {
    for check in CHECKS {
        eprintln!("conformance: {}", check.name);
        check.run(make().await).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn the_twin_keeps_the_contract() {
        run_all(|| async { Bench::twin() }).await;
    }

    #[tokio::test]
    async fn two_twins_agree() {
        for seed in 0..40 {
            agree(&Bench::twin(), &Bench::twin(), seed, 60).await;
            agree_on_alerts(&Bench::twin(), &Bench::twin(), seed, 60).await;
        }
    }
}

//! What every store must do, whatever it is made of: one suite, run on each.
//!
//! A case gets a bench with an empty store. Between its steps it calls `bench.step()`, where a bench may close the
//! store and open it again: what was acknowledged must still be so.

use std::pin::Pin;

mod ask;
mod bench;
mod blob;
pub mod canonical;
mod commit;
pub mod fixture;
mod history;
mod index;
mod job;
mod logbook;
mod record;

pub use ask::{Ask, ask_of};
pub use bench::{Bench, Opening};

type Case = (&'static str, fn(Bench) -> Pin<Box<dyn Future<Output = ()> + Send>>);

macro_rules! cases {
    ($($module:ident :: $case:ident),* $(,)?) => {
        &[$((concat!(stringify!($module), "::", stringify!($case)), |bench| Box::pin($module::$case(bench)))),*]
    };
}

const CASES: &[Case] = cases![
    commit::a_refused_unit_leaves_no_trace,
    commit::neighbours_of_a_refused_unit_are_committed,
    commit::units_that_are_committed_at_once_are_taken_or_refused_each_for_itself,
    commit::a_stale_sequence_is_a_conflict,
    commit::a_job_is_born_once,
    commit::of_many_racers_one_wins,
    commit::a_stale_epoch_is_fenced_before_its_sequence_is_looked_at,
    commit::a_change_sees_those_before_it_in_its_unit,
    index::the_board_is_ordered_by_priority_then_age,
    index::a_claimed_job_is_off_the_board_and_among_the_claims,
    index::due_things_come_in_order_and_never_early,
    index::a_trigger_is_due_at_its_alarm,
    index::jobs_that_wait_for_an_event_are_found_by_its_type,
    index::of_jobs_that_have_ended_none_waits_for_an_event,
    index::jobs_that_have_something_to_tell_are_found_also_when_they_have_ended,
    record::records_change_only_from_the_expected_generation,
    record::records_are_paged_by_kind,
    record::revisions_are_beside_each_other_in_the_order_of_their_numbers,
    record::an_expectation_changes_nothing_and_refuses_the_rest,
    record::a_unique_key_is_taken_once,
    record::a_unit_that_expects_a_key_to_be_free_is_refused_where_it_is_taken,
    record::old_requests_and_events_are_forgotten_and_occurrences_are_not,
    record::many_old_keys_are_forgotten_over_a_few_units,
    logbook::entries_are_paged_without_gap_or_repetition,
    logbook::the_tail_gives_every_entry_once_and_in_order_for_each_job,
    logbook::the_tail_survives_a_purge_within_a_transaction,
    job::a_job_comes_back_as_it_was_stored,
    job::a_note_needs_the_claim,
    job::a_purged_job_leaves_nothing,
    job::a_job_that_has_not_ended_is_not_purged,
    job::lists_are_filtered_and_stable_while_jobs_are_added,
    job::a_plugin_is_needed_by_jobs_and_operations,
    blob::a_blob_comes_back_whole_or_not_at_all,
    blob::a_blob_is_removed_and_can_be_put_again,
    blob::an_upload_does_not_hold_up_commits,
    history::a_replayed_logbook_is_the_stored_job,
    canonical::everything_is_exported_once_and_in_order,
    canonical::the_same_commands_make_the_same_bytes_as_on_another_store,
    canonical::what_is_imported_is_exported_the_same_and_has_no_findings,
    canonical::a_store_with_an_import_that_has_not_ended_is_not_exported,
    canonical::an_export_ends_when_nobody_receives_it,
];

/// Runs every case, each on a bench of its own. Panics at the first that fails, after naming it.
pub async fn run_all(make: impl AsyncFn() -> Bench) {
    for (name, case) in CASES {
        println!("case {name}");
        let bench = make().await;
        case(bench.clone()).await;
        bench.finish().await;
    }
}

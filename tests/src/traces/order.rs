//! Orders: in which order units that were committed at once can have been made, given what their makers were told.

use windlass_host::store::{CommitError, StoreFailure, Unit};

use crate::model::State;

/// A unit, and what came of it.
#[derive(Debug, Clone)]
pub struct Made {
    pub unit: Unit,
    pub told: Result<(), CommitError>,
}

/// Every different state that some order of the units leads to in which each is answered as its maker was told. Each maker made
/// its own one after the other. A maker that was told that the store failed knows nothing: its unit is there as a
/// whole, or not at all. Empty where the answers cannot be.
pub fn outcomes(before: &State, makers: &[Vec<Made>]) -> Vec<State> {
    let mut found = Vec::new();
    let open: Vec<&[Made]> = makers.iter().map(Vec::as_slice).collect();
    go_on(before, &open, &mut found);
    found
}

fn go_on(state: &State, open: &[&[Made]], found: &mut Vec<State>) {
    let is_done = open.iter().all(|units| units.is_empty());
    if is_done && !found.iter().any(|other| other.is_like(state)) {
        found.push(state.clone());
    }
    for (place, units) in open.iter().enumerate() {
        let Some((next, later)) = units.split_first() else { continue };
        let mut rest = open.to_vec();
        rest[place] = later;
        let after = state.after(&next.unit);
        if is_unknown(&next.told) {
            go_on(state, &rest, found);
            if let Ok(after) = after {
                go_on(&after, &rest, found);
            }
        } else if is_same_answer(&next.told, &after.as_ref().map(drop)) {
            go_on(after.as_ref().unwrap_or(state), &rest, found);
        }
    }
}

fn is_unknown(told: &Result<(), CommitError>) -> bool {
    matches!(told, Err(CommitError::Storage(StoreFailure::Down(_))))
}

/// Compared by what a caller does about it.
fn is_same_answer(told: &Result<(), CommitError>, expected: &Result<(), &CommitError>) -> bool {
    match (told, expected) {
        (Ok(()), Ok(())) => true,
        (Err(CommitError::Conflict(told)), Err(CommitError::Conflict(expected))) => told == expected,
        (
            Err(CommitError::Fenced { job, epoch }),
            Err(CommitError::Fenced { job: expected_job, epoch: expected_epoch }),
        ) => job == expected_job && epoch == expected_epoch,
        (Err(CommitError::Taken { holder }), Err(CommitError::Taken { holder: expected })) => {
            holder == expected
        }
        _ => false,
    }
}

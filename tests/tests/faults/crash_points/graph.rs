//! The matrix of a graph: several calls run when the host dies, so several are in doubt, and their order is free.

use std::collections::{BTreeMap, BTreeSet};

use windlass_tests::crash::point::CrashPoint;
use windlass_tests::crash::site::Site;
use windlass_tests::ledger::LedgerLine;

use super::matrix::{Case, at_every_commit, check_left, live, settled};

/// More commits than such a life takes.
const COMMITS_MAX: u64 = 64;

/// What was seen over all points.
#[derive(Debug, Default)]
pub struct Seen {
    /// The last commit at which a host died.
    pub commits: u64,
    /// The most calls that were in doubt at once.
    pub in_doubt: usize,
}

/// Dies at one commit after the other, on both sides of each, until a life has no more of them. How many it has
/// depends on which calls end together.
pub async fn at_every_write(binary: &'static str, case: &Case) -> Seen {
    let (commits, in_doubt) =
        at_every_commit(COMMITS_MAX, async |point| dies_at(binary, case, point).await).await;
    Seen { commits, in_doubt: in_doubt.into_iter().max().unwrap_or(0) }
}

/// How many calls were in doubt; none where the host lived on, for it had fewer commits.
async fn dies_at(binary: &str, case: &Case, point: CrashPoint) -> Option<usize> {
    let site = Site::fresh().await;
    let (_, ended) = live(binary, case, &site, Some(point)).await;
    if !ended.is_crash() {
        assert!(ended.status.success(), "{point}: {ended:#?}");
        check_end(&site, case, point).await;
        return None;
    }
    let left = check_left(&site, point).await;
    let in_doubt = left.iter().map(|found| found.job.in_flight_count()).sum();
    let (asked, ended) = live(binary, case, &site, None).await;
    assert!(ended.status.success(), "{point}: {ended:#?}");
    asked.expect("it was ready").unwrap_or_else(|status| panic!("{point}: {status:?}"));
    check_end(&site, case, point).await;
    Some(in_doubt)
}

/// The end is the one of an uncrashed run: the same calls, each made once, or once more where it was in doubt.
async fn check_end(site: &Site, case: &Case, point: CrashPoint) {
    let (found, lines) = settled(site, point).await;
    assert_eq!(found.job.status.state, case.state, "{point}: {:#?}", found.job.status);
    assert!(found.job.status.residue.is_empty(), "{point}");
    assert_eq!(found.job.instances.len(), case.instances, "{point}: no instance is made twice");
    let mut attempts: BTreeMap<String, Vec<&LedgerLine>> = BTreeMap::new();
    lines.iter().for_each(|line| attempts.entry(line.call()).or_default().push(line));
    let made: BTreeSet<&str> = attempts.keys().map(String::as_str).collect();
    assert_eq!(made, case.calls.iter().copied().collect(), "{point}");
    for (call, lines) in &attempts {
        let numbers: Vec<u32> = lines.iter().map(|line| line.attempt).collect();
        assert!(matches!(numbers[..], [1] | [2] | [1, 2]), "{point}: {call} was made {numbers:?}");
        assert!(lines.iter().all(|line| line.key == lines[0].key), "{point}: {call} has one key");
        let is_told = lines.iter().all(|line| (line.prior == "interrupted") == (line.attempt == 2));
        assert!(is_told, "{point}: {call} is told of the attempt before");
    }
}

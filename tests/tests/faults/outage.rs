//! An outage: a store that is in trouble, or away, under a host that runs jobs; and what must hold whatever it is.
//!
//! The outcome of a call that ended meanwhile is kept, and recorded afterwards, without a restart and without a second
//! call; and the host does not ask all the time.

use std::sync::Arc;
use std::time::Duration;

use windlass_core::call::Function;
use windlass_core::job::JobState;
use windlass_tests::bench::{Bench, SLOTS, Watched};
use windlass_tests::scripted::{Answer, Scripted};

/// Long enough for a loop without a pause to ask many thousand times.
const LASTS: Duration = Duration::from_millis(1_500);
/// Every loop of the host together: a runner that pauses 50 ms and doubles, a board, a timer and a watch that look
/// once a second. Five times what was measured.
const ASKED_MAX: u64 = 150;

/// Holds the apply of `b`; all else is answered at once.
pub fn holding_b() -> Arc<Scripted> {
    Scripted::new(|call| match call.task.as_str() {
        "b" if call.function == Function::Apply => Answer::held(Answer::good(call.function)),
        _ => Answer::now(Answer::good(call.function)),
    })
}

/// Time itself is what is tested: the store must not be asked all the time.
pub async fn lasts(bench: &Bench, what: &str) {
    let before = bench.faults.asked();
    tokio::time::sleep(LASTS).await;
    let asked = bench.faults.asked() - before;
    assert!(asked < ASKED_MAX, "{what}: the store was asked {asked} times in {LASTS:?}");
}

/// `b` ends during the outage, and a watch goes on. The bench is one of [`holding_b`].
pub async fn outlives(
    bench: Bench,
    what: &str,
    begin: impl AsyncFnOnce(&Bench),
    end: impl AsyncFnOnce(&Bench),
) {
    let job = bench.submit(&["a", "b", "c"]).await;
    let watched = bench.watch(job).await;
    bench.scripted.wait_for(|made| made.iter().any(|made| made.is_held)).await;
    begin(&bench).await;
    bench.scripted.release(1);
    lasts(&bench, what).await;
    assert_eq!(bench.scripted.calls(), ["apply a", "apply b"], "nothing is begun without an intent");
    end(&bench).await;
    let ended = bench.wait(job).await;
    assert_eq!((ended.status.state, ended.status.epoch), (JobState::Succeeded, 1));
    assert_eq!(bench.scripted.calls(), ["apply a", "apply b", "apply c"], "no call is repeated");
    let Watched { sequences, last } = watched.await.expect("the watch ends with the job");
    assert_eq!(sequences, (1..=ended.status.sequence).collect::<Vec<_>>(), "no gap, no duplicate");
    assert_eq!(last.as_deref(), Some("succeeded"));
    bench.finish().await;
}

/// All slots have outcomes that cannot be recorded, and what is on the board cannot be claimed. The bench is one of
/// [`holding_b`].
pub async fn waits_on_the_board(
    bench: Bench,
    what: &str,
    begin: impl AsyncFnOnce(&Bench),
    end: impl AsyncFnOnce(&Bench),
) {
    const JOBS: usize = 6;
    let mut jobs = Vec::new();
    for _ in 0..JOBS {
        jobs.push(bench.submit(&["b"]).await);
    }
    bench.scripted.wait_for(|made| made.iter().filter(|made| made.is_held).count() == SLOTS).await;
    begin(&bench).await;
    for place in bench.scripted.held() {
        bench.scripted.release(place);
    }
    lasts(&bench, what).await;
    end(&bench).await;
    bench.release_all_until_ended(&jobs).await;
    assert_eq!(bench.scripted.calls().len(), JOBS, "no call is repeated");
    bench.finish().await;
}

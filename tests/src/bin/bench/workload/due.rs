//! Jobs that are due at one instant: how long after it the call of each begins, by the clock that its guest sees.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use windlass_proto::v1;
use windlass_tests::work::{action, timestamp};

use super::Setting;
use crate::clock;
use crate::drive::{Until, drive};
use crate::floor::Floor;
use crate::host::Host;
use crate::proof;
use crate::reading::{Reading, percentile};

/// As many as a batch may have.
const BATCH: usize = 1_000;
/// How long a batch may take to be stored on a busy machine, and what is left until the instant.
const BATCH_TAKES_MAX: Duration = Duration::from_millis(1_200);
const MARGIN: Duration = Duration::from_secs(1);
/// Calls that began earlier than that were begun before their time.
const EARLY_MAX_US: f64 = 0.0;

pub async fn run(setting: &Setting) -> Result<Vec<Reading>> {
    let (host, count) = (Host::fresh(&setting.serve).await?, setting.size.due);
    let (client, batches) = (&host.client, count.div_ceil(BATCH));
    let lead = BATCH_TAKES_MAX * u32::try_from(batches)? + MARGIN;
    let instant = clock::now() + lead;
    let spec = || v1::JobSpec {
        work: Some(action("now")),
        execute_time: Some(timestamp(instant)),
        ..v1::JobSpec::default()
    };
    let submit = |_, lane| client.submit_batch(lane, (0..BATCH).map(|_| spec()).collect());
    let driven = drive(1, Until::Count(batches), submit).await?;
    ensure!(
        clock::now() < instant,
        "it took longer than {lead:?} to schedule {count} jobs: what is due at once was not all there"
    );
    let ids: Vec<String> = driven.done.into_iter().flat_map(|done| done.gave).collect();
    // One at a time, and the last one first: whoever asks must not take the processor from the host.
    for id in ids.iter().rev() {
        client.wait(0, id.clone()).await?;
    }
    proof::all_in_state(client, &ids, v1::JobState::Succeeded).await?;
    let due_us = instant.timestamp_micros() as f64;
    let mut late_s = Vec::new();
    for output in proof::outputs(client, &ids).await? {
        let late_us = output["unix_us"].as_f64().context("`now` gives a time")? - due_us;
        ensure!(late_us >= EARLY_MAX_US, "a call began {late_us} us before its job was due");
        late_s.push(late_us / 1e6);
    }
    host.terminate().await?;
    let least = Floor::fresh().await?.due(count).await?;
    let floor = percentile(least.iter().map(Duration::as_secs_f64), 99).context("the floor made calls")?;
    let value = percentile(late_s, 99).context("the host made calls")?;
    Ok(vec![Reading::new("due_p99_s", value).beside(floor)])
}

//! Driving: job after job, so many in flight, each timed.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use futures::future::try_join_all;

/// How long jobs are begun.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    Elapsed(Duration),
    Count(usize),
}

/// What was done from the first job to the end of the last.
pub struct Driven<T> {
    pub done: Vec<Done<T>>,
    pub elapsed: Duration,
}

/// A job that has ended.
pub struct Done<T> {
    /// What it gave.
    pub gave: T,
    pub took: Duration,
}

impl<T> Driven<T> {
    pub fn rate(&self) -> f64 {
        self.done.len() as f64 / self.elapsed.as_secs_f64()
    }

    pub fn milliseconds(&self) -> impl Iterator<Item = f64> {
        self.done.iter().map(|done| done.took.as_secs_f64() * 1e3)
    }
}

/// `job` is given its number, and the lane that it runs in.
pub async fn drive<T, F>(in_flight: usize, until: Until, job: impl Fn(usize, usize) -> F) -> Result<Driven<T>>
where
    F: Future<Output = Result<T>>,
{
    let (next, began) = (AtomicUsize::new(0), Instant::now());
    let lanes = (0..in_flight).map(|lane| {
        let (next, job) = (&next, &job);
        async move {
            let mut done = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let is_over = match until {
                    Until::Elapsed(span) => began.elapsed() >= span,
                    Until::Count(count) => number >= count,
                };
                if is_over {
                    return anyhow::Ok(done);
                }
                let begun = Instant::now();
                let gave = job(number, lane).await?;
                done.push(Done { gave, took: begun.elapsed() });
            }
        }
    });
    let done = try_join_all(lanes).await?.into_iter().flatten().collect();
    Ok(Driven { done, elapsed: began.elapsed() })
}

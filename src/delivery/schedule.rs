//! When to try again: exponential, with full jitter, so that many who failed together do not come back together.

use std::time::Duration;

/// How waits grow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    first: Duration,
    most: Duration,
    factor: f64,
}

impl Schedule {
    /// Waits of up to `first`, growing by `factor`, up to `most`.
    #[must_use]
    pub fn new(first: Duration, most: Duration, factor: f64) -> Self {
        Self { first, most: most.max(first), factor }
    }

    /// The longest wait before the attempt after the `failed`-th (counted from 1).
    #[must_use]
    pub fn ceiling(&self, failed: u32) -> Duration {
        let exponent = i32::try_from(failed.saturating_sub(1)).unwrap_or(i32::MAX);
        let grown = self.first.as_secs_f64() * self.factor.powi(exponent);
        if grown < self.most.as_secs_f64() { Duration::from_secs_f64(grown) } else { self.most }
    }

    /// The wait before the attempt after the `failed`-th: anything up to the ceiling.
    #[must_use]
    pub fn wait(&self, failed: u32) -> Duration {
        self.ceiling(failed).mul_f64(fastrand::f64())
    }

    /// The longest wait there is.
    #[must_use]
    pub fn longest(&self) -> Duration {
        self.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn ceilings_double_up_to_the_most() {
        let schedule = Schedule::new(MS(250), MS(10_000), 2.0);
        let ceilings: Vec<_> = (1..=8).map(|failed| schedule.ceiling(failed)).collect();
        assert_eq!(ceilings, [250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000].map(MS));
        assert_eq!(schedule.ceiling(u32::MAX), MS(10_000));
    }

    #[test]
    fn waits_are_spread_below_the_ceiling() {
        let schedule = Schedule::new(MS(100), MS(1000), 2.0);
        let waits: Vec<_> = (0..1000).map(|_| schedule.wait(2)).collect();
        assert!(waits.iter().all(|wait| *wait < MS(200)));
        assert!(waits.iter().any(|wait| *wait < MS(50)) && waits.iter().any(|wait| *wait > MS(150)));
    }
}

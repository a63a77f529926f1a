//! A figure over time, in so many steps whatever the run's length.

/// Steps that a curve has at most.
pub(super) const STEPS: usize = 240;
/// Length of a step of a short run, milliseconds.
const SHORTEST: u64 = 50;

/// Amounts over time: each is spread evenly over the time in which it came about.
#[derive(Debug, Clone)]
pub(super) struct Series {
    step: u64,
    steps: Vec<f64>,
}

impl Default for Series {
    fn default() -> Series {
        Series { step: SHORTEST, steps: Vec::new() }
    }
}

impl Series {
    /// Adds an amount that came about between two moments.
    pub(super) fn add(&mut self, from: u64, to: u64, amount: u64) {
        let (from, to) = (from.min(to), to.max(from));
        self.reach(to);
        let (first, last) = ((from / self.step) as usize, (to / self.step) as usize);
        let length = (to - from).max(1) as f64;
        for at in first..=last {
            let start = (at as u64 * self.step).max(from);
            let end = (at as u64 + 1).saturating_mul(self.step).min(to);
            let part = if from == to { 1.0 } else { end.saturating_sub(start) as f64 / length };
            if let Some(step) = self.steps.get_mut(at) {
                *step += amount as f64 * part;
            }
        }
    }

    fn reach(&mut self, moment: u64) {
        while moment / self.step >= STEPS as u64 {
            self.step *= 2;
            self.steps = self.steps.chunks(2).map(|pair| pair.iter().sum()).collect();
        }
        let needed = (moment / self.step) as usize + 1;
        if self.steps.len() < needed {
            self.steps.resize(needed, 0.0);
        }
    }

    /// Moment (the middle of a step) and amount a second.
    pub(super) fn rates(&self) -> Vec<(f64, f64)> {
        let step = self.step as f64;
        let rate = |(at, amount): (usize, &f64)| ((at as f64 + 0.5) * step, amount * 1000.0 / step);
        self.steps.iter().enumerate().map(rate).collect()
    }
}

/// The highest value of each step.
#[derive(Debug, Clone)]
pub(super) struct Gauge {
    step: u64,
    /// Moment and value.
    steps: Vec<Option<(u64, u64)>>,
    pub(super) samples: u64,
}

impl Default for Gauge {
    fn default() -> Gauge {
        Gauge { step: SHORTEST, steps: Vec::new(), samples: 0 }
    }
}

impl Gauge {
    /// Takes a value.
    pub(super) fn set(&mut self, moment: u64, value: u64) {
        self.samples += 1;
        while moment / self.step >= STEPS as u64 {
            self.step *= 2;
            let higher =
                |pair: &[Option<(u64, u64)>]| pair.iter().flatten().copied().max_by_key(|(_, value)| *value);
            self.steps = self.steps.chunks(2).map(higher).collect();
        }
        let at = (moment / self.step) as usize;
        if self.steps.len() <= at {
            self.steps.resize(at + 1, None);
        }
        let step = self.steps.get_mut(at).filter(|step| step.is_none_or(|(_, known)| known <= value));
        if let Some(step) = step {
            *step = Some((moment, value));
        }
    }

    /// Moments and values.
    pub(super) fn points(&self) -> Vec<(f64, f64)> {
        self.steps.iter().flatten().map(|(moment, value)| (*moment as f64, *value as f64)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_kept_however_long_the_run_becomes() {
        let mut series = Series::default();
        let mut sum = 0;
        for second in 0..100_000_u64 {
            series.add(second * 1000, second * 1000 + 1000, second);
            sum += second;
        }
        series.add(5, 5, 7);
        assert!(series.steps.len() <= STEPS);
        let total: f64 = series.steps.iter().sum();
        assert!((total - (sum + 7) as f64).abs() < 1.0, "{total}");
        let mut short = Series::default();
        short.add(0, 2000, 1000);
        assert_eq!(short.rates()[10].1.round(), 500.0);
    }

    #[test]
    fn a_gauge_keeps_its_highest_values() {
        let mut gauge = Gauge::default();
        for second in 0..50_000_u64 {
            gauge.set(second * 1000, if second == 777 { 99 } else { second % 7 });
        }
        let points = gauge.points();
        assert!(points.len() <= STEPS);
        assert!(points.contains(&(777_000.0, 99.0)));
    }
}

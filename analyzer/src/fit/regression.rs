//! How well a line is known: intervals of its coefficients and of what it says, and the runs that lie off it.

use kvtrace_sizing::line::{Line, Point};
use serde::Serialize;
use statrs::distribution::{ContinuousCDF, StudentsT};

/// Of intervals and tests.
pub const CONFIDENCE: f64 = 0.95;

/// An estimate with the interval that holds the true value with [`CONFIDENCE`], if the scatter is independent and alike
/// for all runs. Infinite where too few runs say anything about the scatter.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

impl Interval {
    pub fn holds(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }
}

/// A least-squares line, and how well it is known.
#[derive(Debug, Clone, Copy)]
pub struct Regression {
    pub line: Line,
    /// Standard deviation of the residuals, n - 2 degrees of freedom; NaN for two runs.
    pub scatter: f64,
    count: f64,
    mean_peak: f64,
    /// Sum of the squared distances of the peaks from their mean.
    spread: f64,
}

impl Regression {
    /// Through all points; `None` where no line goes.
    pub fn through(points: &[Point]) -> Option<Self> {
        let line = Line::through(points)?;
        let count = points.len() as f64;
        let mean_peak = points.iter().map(|point| point.peak).sum::<f64>() / count;
        let squares: f64 = points.iter().map(|point| line.residual(*point).powi(2)).sum();
        Some(Regression {
            line,
            scatter: (squares / (count - 2.0)).sqrt(),
            count,
            mean_peak,
            spread: points.iter().map(|point| (point.peak - mean_peak).powi(2)).sum(),
        })
    }

    /// The slope.
    pub fn slope(&self) -> Interval {
        self.interval(self.line.slope, 1.0 / self.spread.sqrt())
    }

    /// The peak at which nothing is left. By Fieller's rule: all zeros of lines that the runs do not exclude.
    pub fn zero(&self) -> Option<Interval> {
        let value = self.line.zero()?;
        let Some(t) = self.quantile() else {
            return Some(Interval { value, low: f64::NEG_INFINITY, high: f64::INFINITY });
        };
        let slope = self.line.slope;
        let g = (t * self.scatter / slope).powi(2) / self.spread;
        if g >= 1.0 {
            return Some(Interval { value, low: f64::NEG_INFINITY, high: f64::INFINITY });
        }
        let away = value - self.mean_peak;
        let half = (t * self.scatter / slope.abs()) * ((1.0 - g) / self.count + away.powi(2) / self.spread).sqrt();
        let center = self.mean_peak + away / (1.0 - g);
        Some(Interval { value, low: center - half / (1.0 - g), high: center + half / (1.0 - g) })
    }

    /// Positions of the runs whose residual is too large for chance: studentised without the run itself, and tested at
    /// [`CONFIDENCE`] for all runs together.
    pub fn outliers(&self, points: &[Point], least: f64) -> Vec<usize> {
        let free = self.count - 3.0;
        let Some(limit) = StudentsT::new(0.0, 1.0, free).ok().filter(|_| free >= 1.0) else { return Vec::new() };
        let limit = limit.inverse_cdf(1.0 - (1.0 - CONFIDENCE) / (2.0 * self.count));
        let all: f64 = points.iter().map(|point| self.line.residual(*point).powi(2)).sum();
        let is_outlier = |point: &Point| {
            let residual = self.line.residual(*point);
            let leverage = 1.0 / self.count + (point.peak - self.mean_peak).powi(2) / self.spread;
            let rest = (all - residual.powi(2) / (1.0 - leverage)).max(0.0) / free;
            // What rounding makes of the figures is no outlier, however well the others fit.
            residual.abs() > least && residual.abs() > limit * (rest * (1.0 - leverage)).sqrt()
        };
        (0..points.len()).filter(|at| points.get(*at).is_some_and(is_outlier)).collect()
    }

    fn interval(&self, value: f64, per_scatter: f64) -> Interval {
        let half = self.quantile().map_or(f64::INFINITY, |t| t * self.scatter * per_scatter);
        Interval { value, low: value - half, high: value + half }
    }

    fn quantile(&self) -> Option<f64> {
        let free = self.count - 2.0;
        let t = StudentsT::new(0.0, 1.0, free).ok().filter(|_| free >= 1.0)?;
        Some(t.inverse_cdf((1.0 + CONFIDENCE) / 2.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(figures: &[(f64, f64)]) -> Vec<Point> {
        figures.iter().map(|(peak, kv)| Point { peak: *peak, kv: *kv }).collect()
    }

    #[test]
    fn the_textbook_s_intervals() {
        // Anscombe's first set: slope 0.50009, its standard error 0.11791, 9 degrees of freedom, t = 2.26216.
        let x = [10.0, 8.0, 13.0, 9.0, 11.0, 14.0, 6.0, 4.0, 12.0, 7.0, 5.0];
        let y = [8.04, 6.95, 7.58, 8.81, 8.33, 9.96, 7.24, 4.26, 10.84, 4.82, 5.68];
        let set: Vec<_> = x.into_iter().zip(y).collect();
        let fit = Regression::through(&points(&set)).unwrap();
        let slope = fit.slope();
        assert!((fit.scatter - 1.2366).abs() < 1e-3, "{}", fit.scatter);
        assert!((slope.low - (0.50009 - 2.26216 * 0.11791)).abs() < 1e-3, "{slope:?}");
        assert!((slope.high - (0.50009 + 2.26216 * 0.11791)).abs() < 1e-3, "{slope:?}");
        assert!(fit.outliers(&points(&set), 0.0).is_empty());
    }

    #[test]
    fn anscombe_s_third_set_has_one_outlier() {
        let x = [10.0, 8.0, 13.0, 9.0, 11.0, 14.0, 6.0, 4.0, 12.0, 7.0, 5.0];
        let y = [7.46, 6.77, 12.74, 7.11, 7.81, 8.84, 6.08, 5.39, 8.15, 6.42, 5.73];
        let set: Vec<_> = x.into_iter().zip(y).collect();
        assert_eq!(Regression::through(&points(&set)).unwrap().outliers(&points(&set), 0.0), [2]);
    }

    #[test]
    fn two_runs_say_nothing_about_the_scatter() {
        let set = points(&[(70.0, 44.0), (80.0, 35.0)]);
        let fit = Regression::through(&set).unwrap();
        assert!(fit.slope().high.is_infinite() && fit.zero().unwrap().low.is_infinite());
        assert!(fit.outliers(&set, 0.0).is_empty());
    }

    #[test]
    fn the_zero_of_a_line_that_may_be_flat_is_anywhere() {
        let set = points(&[(1.0, 5.0), (2.0, 5.2), (3.0, 4.9), (4.0, 5.1)]);
        assert!(Regression::through(&set).unwrap().zero().unwrap().high.is_infinite());
    }
}

//! A least-squares line through (peak, KV cache) pairs.

/// One run. Units are the caller's, the same for all points.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Memory that was not free at the peak.
    pub peak: f64,
    /// KV cache that the run got.
    pub kv: f64,
}

/// `kv = intercept + slope x peak`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line {
    /// KV per unit of peak; minus the fraction where the rule is `f (total - peak)`.
    pub slope: f64,
    /// KV at peak 0.
    pub intercept: f64,
    /// Largest distance of a point from the line, in KV.
    pub max_residual: f64,
}

impl Line {
    /// The line through `points`; `None` for fewer than two different peaks or figures that are not finite.
    pub fn through(points: &[Point]) -> Option<Line> {
        let count = points.len() as f64;
        let (mean_peak, mean_kv) = (
            points.iter().map(|point| point.peak).sum::<f64>() / count,
            points.iter().map(|point| point.kv).sum::<f64>() / count,
        );
        let (mut spread, mut product) = (0.0, 0.0);
        for point in points {
            spread += (point.peak - mean_peak).powi(2);
            product += (point.peak - mean_peak) * (point.kv - mean_kv);
        }
        let slope = product / spread;
        let mut line = Line { slope, intercept: mean_kv - slope * mean_peak, max_residual: 0.0 };
        line.max_residual = points.iter().map(|point| line.residual(*point).abs()).fold(0.0, f64::max);
        (line.slope.is_finite() && line.intercept.is_finite() && line.max_residual.is_finite()).then_some(line)
    }

    /// KV that the line gives at `peak`.
    pub fn at(&self, peak: f64) -> f64 {
        self.intercept + self.slope * peak
    }

    /// How far `point` lies above the line.
    pub fn residual(&self, point: Point) -> f64 {
        point.kv - self.at(point.peak)
    }

    /// The peak at which nothing is left for the KV cache; `None` for a flat line.
    pub fn zero(&self) -> Option<f64> {
        let zero = -self.intercept / self.slope;
        zero.is_finite().then_some(zero)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_again() {
        let points: Vec<_> = [70.0, 80.5, 101.0].iter().map(|&peak| Point { peak, kv: 0.9 * (119.7 - peak) }).collect();
        let line = Line::through(&points).unwrap();
        assert!((line.slope + 0.9).abs() < 1e-12 && (line.zero().unwrap() - 119.7).abs() < 1e-9);
        assert!(line.max_residual < 1e-12);
    }

    #[test]
    fn what_has_no_line() {
        let point = Point { peak: 1.0, kv: 2.0 };
        assert_eq!(Line::through(&[]), None);
        assert_eq!(Line::through(&[point]), None);
        assert_eq!(Line::through(&[point, Point { kv: 3.0, ..point }]), None);
        assert_eq!(Line::through(&[point, Point { peak: f64::NAN, ..point }]), None);
    }
}

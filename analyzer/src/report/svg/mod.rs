//! Charts as SVG. Places are given in percent, so that a chart is as wide as the page and its text is not stretched.

pub mod bar;
pub mod scatter;
pub mod timeline;
pub mod waterfall;

use maud::{Markup, html};

/// From figures to percent of the width, or of the height from the bottom.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    pub low: f64,
    pub high: f64,
}

impl Scale {
    pub fn new(low: f64, high: f64) -> Self {
        Scale { low, high: if high > low { high } else { low + 1.0 } }
    }

    /// 0 to 1 within the scale.
    pub fn part(&self, value: f64) -> f64 {
        (value - self.low) / (self.high - self.low)
    }

    /// `12.34%`
    pub fn across(&self, value: f64) -> String {
        percent(self.part(value))
    }

    /// From the top, as SVG counts.
    pub fn down(&self, value: f64) -> String {
        percent(1.0 - self.part(value))
    }

    /// About `count` round values in the scale.
    pub fn ticks(&self, count: usize) -> Vec<f64> {
        let rough = (self.high - self.low) / count.max(1) as f64;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|step| step * power).find(|step| *step >= rough * 0.999);
        let step = step.unwrap_or(power * 10.0);
        let first = (self.low / step).ceil() as i64;
        (first..).map(|at| at as f64 * step).take_while(|tick| *tick <= self.high * (1.0 + 1e-9)).take(50).collect()
    }
}

/// Of a part of one; no more digits than a screen can show.
pub fn percent(part: f64) -> String {
    let text = format!("{:.3}", part * 100.0);
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}

/// A tick with as many digits as its step needs.
pub fn tick(value: f64, step: f64) -> String {
    let digits = (-step.log10().floor()).clamp(0.0, 6.0) as usize;
    format!("{value:.digits$}")
}

/// Distance of the ticks.
pub fn step(ticks: &[f64]) -> f64 {
    ticks.windows(2).map(|pair| pair[1] - pair[0]).next().unwrap_or(1.0)
}

/// Fillings that charts share: what is known by its colour alone is not known to everybody.
pub fn patterns() -> Markup {
    html! {
        svg.patterns width="0" height="0" aria-hidden="true" focusable="false" {
            defs {
                pattern id="hatched" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)" {
                    line x1="0" y1="0" x2="0" y2="7" {}
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(Scale::new(0.0, 119.7).ticks(5), [0.0, 50.0, 100.0]);
        assert_eq!(Scale::new(91.0, 99.0).ticks(4), [92.0, 94.0, 96.0, 98.0]);
        assert_eq!(Scale::new(0.0, 0.035).ticks(4), [0.0, 0.01, 0.02, 0.03]);
        assert_eq!(Scale::new(5.0, 5.0).ticks(2).first(), Some(&5.0));
        assert_eq!((tick(0.5, 0.25).as_str(), tick(50.0, 25.0).as_str()), ("0.5", "50"));
    }

    #[test]
    fn places_are_percent() {
        let scale = Scale::new(10.0, 20.0);
        assert_eq!((scale.across(12.5).as_str(), scale.down(12.5).as_str()), ("25%", "75%"));
    }
}

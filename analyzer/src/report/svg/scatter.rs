//! Runs as points, and the line through them.

use super::{Scale, step, tick};
use maud::{Markup, html};

/// More points than this are one blot.
const MOST: usize = 2000;
const HEIGHT: usize = 320;
const AXIS: usize = 40;

/// One run.
pub struct Point {
    pub x: f64,
    pub y: f64,
    /// Position in the series, which decides shape and colour.
    pub series: usize,
    pub title: String,
    pub outlier: bool,
}

pub struct Scatter<'s> {
    pub id: &'s str,
    pub title: String,
    pub description: String,
    pub across: &'s str,
    pub up: &'s str,
    pub points: Vec<Point>,
    pub series: Vec<String>,
    /// The line's height at a place.
    pub line: Option<Box<dyn Fn(f64) -> f64 + 's>>,
}

const SHAPES: [(&str, &str); 6] = [
    ("s0", "M-5 0a5 5 0 1 0 10 0a5 5 0 1 0 -10 0z"),
    ("s1", "M-4.5 -4.5h9v9h-9z"),
    ("s2", "M0 -6L6 0L0 6L-6 0z"),
    ("s3", "M0 -6L5.5 4.5h-11z"),
    ("s4", "M0 6L5.5 -4.5h-11z"),
    ("s5", "M-2 -6h4v4h4v4h-4v4h-4v-4h-4v-4h4z"),
];

impl Scatter<'_> {
    pub fn svg(&self) -> Markup {
        let (x, y) = (self.scale(|point| point.x), self.scale(|point| point.y));
        let (across, up) = (x.ticks(7), y.ticks(6));
        let stride = self.points.len().div_ceil(MOST).max(1);
        let (title, description) = (format!("{}-title", self.id), format!("{}-text", self.id));
        html! {
            svg.scatter width="100%" height=(HEIGHT + AXIS) role="img" aria-labelledby={ (title) " " (description) } {
                title id=(title) { (self.title) }
                desc id=(description) { (self.description) }
                svg width="100%" height=(HEIGHT) {
                    rect.plot width="100%" height="100%" {}
                    @for at in &up {
                        line.grid x1="0" x2="100%" y1=(y.down(*at)) y2=(y.down(*at)) {}
                    }
                    @if let Some(line) = &self.line {
                        line.fit x1="0" x2="100%" y1=(y.down(line(x.low))) y2=(y.down(line(x.high))) {}
                    }
                    @for at in &up {
                        text.grid x="6" y=(y.down(*at)) dy=(if y.part(*at) > 0.9 { "13" } else { "-4" }) {
                            (tick(*at, step(&up))) @if Some(at) == up.last() { " GiB " (self.up) }
                        }
                    }
                    @for point in self.points.iter().step_by(stride) {
                        @let (class, shape) = SHAPES[point.series % SHAPES.len()];
                        svg.point x=(x.across(point.x)) y=(y.down(point.y)) overflow="visible" {
                            @if point.outlier { circle.outlier r="10" {} }
                            path class=(class) d=(shape) { title { (point.title) } }
                        }
                    }
                }
                @for at in &across {
                    line.tick x1=(x.across(*at)) x2=(x.across(*at)) y1=(HEIGHT) y2=(HEIGHT + 5) {}
                    text.tick x=(x.across(*at)) y=(HEIGHT + 18) text-anchor="middle" { (tick(*at, step(&across))) }
                }
                text.tick x="50%" y=(HEIGHT + 35) text-anchor="middle" { (self.across) }
            }
            @if self.series.len() > 1 {
                ul.legend {
                    @for (at, name) in self.series.iter().enumerate() {
                        @let (class, shape) = SHAPES[at % SHAPES.len()];
                        li {
                            svg.swatch width="14" height="14" viewBox="-7 -7 14 14" aria-hidden="true" { path class=(class) d=(shape) {} }
                            (crate::report::figure::name(name))
                        }
                    }
                }
            }
            @if stride > 1 { p.caption { "One point for every " (stride) " runs." } }
        }
    }

    fn scale(&self, of: fn(&Point) -> f64) -> Scale {
        let low = self.points.iter().map(of).fold(f64::MAX, f64::min);
        let high = self.points.iter().map(of).fold(f64::MIN, f64::max);
        let margin = ((high - low) * 0.07).max(high.abs() * 0.001).max(0.001);
        Scale::new(low - margin, high + margin)
    }
}

//! The way from one size to another, a row for each step.

use super::{Scale, percent};
use maud::{Markup, html};

/// Bytes before and behind a step.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    pub kind: Kind,
    pub from: i128,
    pub to: i128,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The size of a side, from nothing.
    Size,
    Change,
    /// What is not explained.
    Rest,
}

/// The scale of all steps. Where the sizes are large and the changes small it does not begin at nothing.
pub struct Waterfall {
    scale: Scale,
}

/// Changes that take less than this part of the whole are drawn larger.
const SMALL: f64 = 0.35;

impl Waterfall {
    pub fn of(steps: &[Step]) -> Self {
        let ends = || steps.iter().filter(|step| step.kind != Kind::Size).flat_map(|step| [step.from, step.to]);
        let sizes = || steps.iter().map(|step| step.to);
        let high = ends().chain(sizes()).max().unwrap_or(0) as f64;
        let low = ends().chain(sizes()).min().unwrap_or(0) as f64;
        let spread = high - low;
        let low = if spread > 0.0 && spread < SMALL * high { low - 0.15 * spread } else { low.min(0.0) };
        Waterfall { scale: Scale::new(low, high + 0.02 * spread) }
    }

    /// Bytes at the left end, if that is not nothing.
    pub fn begins_at(&self) -> Option<f64> {
        (self.scale.low > 0.0).then_some(self.scale.low)
    }

    /// One row. It is as high as its table row; lines lead in from the row above and out to the one below.
    pub fn row(&self, step: Step, is_first: bool, is_last: bool) -> Markup {
        let at = |bytes: i128| self.scale.part(bytes as f64).clamp(0.0, 1.0);
        let from = if step.kind == Kind::Size { 0.0 } else { at(step.from) };
        let to = at(step.to);
        let class = match (step.kind, step.to < step.from) {
            (Kind::Size, _) => "size",
            (Kind::Rest, _) => "rest",
            (Kind::Change, true) => "loss",
            (Kind::Change, false) => "gain",
        };
        let is_cut = step.kind == Kind::Size && self.begins_at().is_some();
        let entry = percent(if step.kind == Kind::Size { to } else { from });
        let (x, width) = (percent(from.min(to)), percent((to - from).abs().max(0.003)));
        html! {
            svg.step width="100%" height="100%" aria-hidden="true" focusable="false" {
                rect class=(class) x=(x) y="20%" width=(width) height="60%" {}
                @if class == "rest" { rect.hatch x=(x) y="20%" width=(width) height="60%" {} }
                @if is_cut { svg y="50%" overflow="visible" { path.cut d="M16 -14l-6 14l6 14m6 -28l-6 14l6 14" {} } }
                @if !is_first { line.next x1=(entry) x2=(entry) y1="0" y2="20%" {} }
                @if !is_last { line.next x1=(percent(to)) x2=(percent(to)) y1="80%" y2="100%" {} }
            }
        }
    }
}

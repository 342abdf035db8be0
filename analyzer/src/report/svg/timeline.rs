//! Memory of the device and of the machine over time: stacked bands, what the program was told, and marks.

use super::{Scale, percent, step, tick};
use crate::history::{Band, History, Level, What, Window};
use crate::phases::Phase;
use crate::render::escape;
use crate::report::figure;
use kvtrace_sizing::GIB;
use maud::{Markup, html};
use std::fmt::Write;

/// Heights, px.
const MARKS: usize = 44;
const DEVICE: usize = 250;
const PHASES: usize = 24;
const MACHINE: usize = 130;
const GAP: usize = 14;
const AXIS: usize = 22;
/// Units of the stretched drawings.
const WIDE: f64 = 10_000.0;
const HIGH: f64 = 1_000.0;

/// What to draw.
pub struct Chart<'c> {
    pub id: &'c str,
    pub history: &'c History,
    pub window: Window,
    /// Of the device, bytes.
    pub total: Option<u64>,
    /// Of one process.
    pub phases: Vec<&'c Phase>,
    pub marks: Vec<Mark>,
    /// For who cannot see it.
    pub title: String,
    pub description: String,
}

/// A query that decided.
pub struct Mark {
    pub at: u64,
    pub label: String,
    pub title: String,
    pub decides: bool,
}

impl Chart<'_> {
    pub fn svg(&self) -> Markup {
        let device = MARKS;
        let phases = device + DEVICE;
        let machine = phases + PHASES + GAP;
        let has_machine = !self.history.mem_free.is_empty() || !self.history.page_cache.is_empty();
        let axis = if has_machine { machine + MACHINE } else { phases + PHASES };
        let (title, description) = (format!("{}-title", self.id), format!("{}-text", self.id));
        html! {
            svg.timeline width="100%" height=(axis + AXIS) role="img" aria-labelledby={ (title) " " (description) } {
                title id=(title) { (escape::terminal(&self.title)) }
                desc id=(description) { (self.description) }
                (self.marks(axis))
                svg x="0" y=(device) width="100%" height=(DEVICE) { (self.device()) }
                svg x="0" y=(phases) width="100%" height=(PHASES) { (self.phases()) }
                @if has_machine { svg x="0" y=(machine) width="100%" height=(MACHINE) { (self.machine()) } }
                (self.axis(axis))
            }
            (self.legend(has_machine))
        }
    }

    fn seconds(&self) -> Scale {
        Scale::new(0.0, (self.window.end - self.window.begin) as f64 / 1e9)
    }

    /// Across, 0 to 1.
    fn part(&self, at: u64) -> f64 {
        let whole = (self.window.end - self.window.begin) as f64;
        (at.saturating_sub(self.window.begin) as f64 / whole).clamp(0.0, 1.0)
    }

    fn across(&self, at: u64) -> f64 {
        (self.part(at) * WIDE).round()
    }

    /// The most that was held at an instant.
    fn held(&self) -> f64 {
        let bands = &self.history.bands;
        let at = |at: usize| bands.iter().map(|band| band.levels[at] as f64).sum::<f64>();
        (0..self.history.instants.len()).map(at).fold(0.0, f64::max)
    }

    /// What was told, where it can hang from the top: where that is the device's total, and not what several devices hold.
    fn told(&self) -> &[Level] {
        let fits = self.total.is_some_and(|total| self.held() <= total as f64);
        if fits { &self.history.told } else { &[] }
    }

    fn device(&self) -> Markup {
        let scale = Scale::new(0.0, self.held().max(self.total.unwrap_or(0) as f64));
        let told = self.told();
        let mut below = vec![0.0; self.history.instants.len()];
        html! {
            (grid(&scale))
            svg width="100%" height="100%" viewBox="0 0 10000 1000" preserveAspectRatio="none" {
                @for band in &self.history.bands {
                    path class={ "band " (class(band, self.history)) } d=(self.band(band, &mut below, &scale)) {
                        title { (escape::terminal(&band.what.name())) }
                    }
                }
                @if !told.is_empty() {
                    path.told d=(self.told_line(told, &scale)) { title { "free, as the program was told; from the top" } }
                }
            }
            @for (at, bytes) in self.dots(told) {
                // Few hang visibly; many are a curtain.
                @if told.len() <= 16 {
                    line.told x1=(percent(self.part(at))) x2=(percent(self.part(at))) y1="0" y2=(percent(scale.part(bytes as f64))) {}
                }
                circle.told cx=(percent(self.part(at))) cy=(percent(scale.part(bytes as f64))) r="3" {
                    title { "told " (crate::render::gib(bytes.into())) " free" }
                }
            }
            (labels(&scale, "GPU"))
        }
    }

    /// Dots where they can be told apart.
    fn dots(&self, line: &[Level]) -> Vec<Level> {
        if line.len() > 120 { Vec::new() } else { line.to_vec() }
    }

    /// The outline of a band on top of `below`, which it raises. Only corners.
    fn band(&self, band: &Band, below: &mut [f64], scale: &Scale) -> String {
        let y = |bytes: f64| ((1.0 - scale.part(bytes)) * HIGH * 10.0).round() / 10.0;
        let (mut upper, mut lower) = (String::new(), Vec::new());
        let mut last = (f64::NAN, f64::NAN);
        for ((at, level), base) in self.history.instants.iter().zip(&band.levels).zip(below) {
            let ends = (y(*base + *level as f64), y(*base));
            if ends != last {
                let x = self.across(*at);
                let _ = match upper.is_empty() {
                    true => write!(upper, "M{x} {}", ends.0),
                    false => write!(upper, "H{x}V{}", ends.0),
                };
                lower.push((x, ends.1));
                last = ends;
            }
            *base += *level as f64;
        }
        let end = self.across(self.window.end);
        let _ = write!(upper, "H{end}");
        for (x, y) in lower.iter().rev() {
            let _ = write!(upper, "V{y}H{x}");
        }
        upper + "Z"
    }

    /// Hanging from the top: what is left between it and the bands is in use, and not by traced processes. Known at the
    /// dots only.
    fn told_line(&self, told: &[Level], scale: &Scale) -> String {
        let mut path = String::new();
        for (at, bytes) in told {
            let (x, y) = (self.across(*at), (scale.part(*bytes as f64) * HIGH).round());
            let _ = write!(path, "{}{x} {y}", if path.is_empty() { "M" } else { "L" });
        }
        path
    }

    fn machine(&self) -> Markup {
        let history = self.history;
        let highest = history.mem_free.iter().chain(&history.page_cache).map(|(_, bytes)| *bytes).max().unwrap_or(0);
        let scale = Scale::new(0.0, highest as f64 * 1.08);
        let line = |line: &[Level]| {
            let mut path = String::new();
            for (at, bytes) in line {
                let (x, y) = (self.across(*at), ((1.0 - scale.part(*bytes as f64)) * HIGH).round());
                let _ = if path.is_empty() { write!(path, "M{x} {y}") } else { write!(path, "L{x} {y}") };
            }
            path
        };
        let lines = [("memfree", "MemFree", &history.mem_free), ("cache", "page cache", &history.page_cache)];
        html! {
            (grid(&scale))
            svg width="100%" height="100%" viewBox="0 0 10000 1000" preserveAspectRatio="none" {
                @for (class, name, points) in lines { path class={ "line " (class) } d=(line(points)) { title { (name) } } }
            }
            @for (class, name, points) in lines {
                @for (at, bytes) in self.dots(points) {
                    circle class=(class) cx=(percent(self.part(at))) cy=(scale.down(bytes as f64)) r="2.5" {
                        title { (name) " " (crate::render::gib(bytes.into())) }
                    }
                }
            }
            (labels(&scale, "machine"))
        }
    }

    fn phases(&self) -> Markup {
        let colours = ["p0", "p1", "p2", "p3"];
        html! {
            @for (at, phase) in self.phases.iter().enumerate() {
                @let (from, to) = (self.part(phase.begin), self.part(phase.end));
                rect class={ "phase " (colours[at % 4]) } x=(percent(from)) y="4" width=(percent((to - from).max(0.001))) height="18" {
                    title { (phase.name) }
                }
                @if to - from > 0.2 {
                    text.phase x=(percent((from + to) / 2.0)) y="17" text-anchor="middle" { (phase.name) }
                }
            }
        }
    }

    /// Each label in the first row in which it meets no other.
    fn marks(&self, bottom: usize) -> Markup {
        let mut rows: [f64; 3] = [-1.0; 3];
        html! {
            @for mark in &self.marks {
                @let part = self.part(mark.at);
                @let row = rows.iter().position(|last| part - last > 0.05).unwrap_or(2);
                @let x = percent(part);
                @let y = MARKS - 4 - 13 * row;
                ({ rows[row] = part; html! {} })
                line.mark.decides[mark.decides] x1=(x) x2=(x) y1=(y + 2) y2=(bottom) { title { (mark.title) } }
                text.mark.decides[mark.decides] x=(x) y=(y) text-anchor=(anchor(part)) { (mark.label) title { (mark.title) } }
            }
        }
    }

    fn axis(&self, y: usize) -> Markup {
        let scale = self.seconds();
        let ticks = scale.ticks(6);
        let step = step(&ticks);
        html! {
            @for at in &ticks {
                @let x = scale.across(*at);
                line.tick x1=(x) x2=(x) y1=(y) y2=(y + 5) {}
                text.tick x=(x) y=(y + 17) text-anchor=(anchor(scale.part(*at))) { (tick(*at, step)) " s" }
            }
        }
    }

    fn legend(&self, has_machine: bool) -> Markup {
        let swatch = |class: &str, name: String| {
            html! { li { svg.swatch width="12" height="12" aria-hidden="true" { rect class=(class) width="12" height="12" rx="2" {} } (figure::name(&name)) } }
        };
        html! {
            ul.legend {
                @for band in &self.history.bands { (swatch(class(band, self.history), band.what.name())) }
                @if !self.told().is_empty() { (swatch("told", "free as told, from the top".into())) }
                @if has_machine {
                    (swatch("memfree", "MemFree".into()))
                    (swatch("cache", "page cache".into()))
                }
            }
        }
    }
}

fn anchor(part: f64) -> &'static str {
    match part {
        ..0.06 => "start",
        0.94.. => "end",
        _ => "middle",
    }
}

fn class(band: &Band, history: &History) -> &'static str {
    const OWNERS: [&str; 5] = ["o0", "o1", "o2", "o3", "o4"];
    let owners = || history.bands.iter().filter(|band| matches!(band.what, What::Owner(..)));
    match &band.what {
        What::KvCache => "kv",
        What::TemporaryPool => "temporary",
        What::Others => "others",
        what => OWNERS[owners().position(|other| other.what == *what).unwrap_or(0) % OWNERS.len()],
    }
}

/// The scale in GiB, and its round values.
fn in_gib(scale: &Scale) -> (Scale, Vec<f64>) {
    let scale = Scale::new(scale.low / GIB as f64, scale.high / GIB as f64);
    let ticks = scale.ticks(4);
    (scale, ticks)
}

fn grid(scale: &Scale) -> Markup {
    let (scale, ticks) = in_gib(scale);
    html! {
        rect.plot width="100%" height="100%" {}
        @for at in &ticks { line.grid x1="0" x2="100%" y1=(scale.down(*at)) y2=(scale.down(*at)) {} }
    }
}

/// On top of what is drawn, under their lines.
fn labels(scale: &Scale, what: &str) -> Markup {
    let (scale, ticks) = in_gib(scale);
    let step = step(&ticks);
    html! {
        @for at in ticks.iter().filter(|at| **at > 0.0) {
            text.grid x="6" y=(scale.down(*at)) dy="13" { (tick(*at, step)) " GiB" @if Some(at) == ticks.last() { " " (what) } }
        }
    }
}

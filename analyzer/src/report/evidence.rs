//! Links to events, and the events themselves, folded.

use super::figure;
use crate::render::escape;
use maud::{Markup, html};
use serde::Deserialize;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// Events of a page. A reader follows a few; a table of queries may name thousands.
const MOST: usize = 300;

/// Pid and number within one trace.
type Number = (u32, u64);

/// The events that a page has named so far, by the side that they are of; the side of a single run is empty.
#[derive(Default)]
pub struct Evidence {
    named: RefCell<BTreeMap<(&'static str, Number), Vec<String>>>,
}

impl Evidence {
    /// `A 30726:111, B 30745:111` with a link for each event; `side` is whose events they are where the text does not say.
    pub fn links(&self, text: &str, side: &'static str) -> Markup {
        let words: Vec<&str> = text.split([' ', ',']).filter(|word| !word.is_empty()).collect();
        let mut links = Vec::new();
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let of = ["A", "B"].into_iter().find(|side| *side == word);
            let (of, letter, word) = match of {
                Some(of) => (of, of, words.next().unwrap_or_default()),
                None => (side, "", word),
            };
            // The letter stays with its event.
            let letter = html! { @if !letter.is_empty() { (letter) "\u{a0}" } };
            links.push(match number(word) {
                Some(number) if self.wants(of, number) => html! { (letter) a href={ "#" (id(of, number)) } { (word) } },
                _ => html! { (letter) (figure::name(word)) },
            });
        }
        html! { @for (at, link) in links.iter().enumerate() { @if at > 0 { " " } (link) } }
    }

    fn wants(&self, side: &'static str, number: Number) -> bool {
        let mut named = self.named.borrow_mut();
        let room = named.len() < MOST;
        if room {
            named.entry((side, number)).or_default();
        }
        room || named.contains_key(&(side, number))
    }

    /// Reads the events of a side from its trace. What cannot be read is not shown: the loader has told of it.
    pub fn read(&self, side: &'static str, directory: &Path) {
        let Ok(entries) = std::fs::read_dir(directory) else { return };
        let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        files.sort();
        for path in files.iter().filter(|path| path.extension().is_some_and(|extension| extension == "jsonl")) {
            if let Ok(file) = std::fs::File::open(path) {
                self.read_file(side, BufReader::with_capacity(1 << 20, file));
            }
        }
    }

    fn read_file(&self, side: &'static str, mut file: impl BufRead) {
        let mut named = self.named.borrow_mut();
        let numbers: std::collections::HashSet<u64> =
            named.keys().filter(|(of, _)| *of == side).map(|(_, (_, n))| *n).collect();
        let mut line = Vec::new();
        while file.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            if first_number(&line).is_some_and(|n| numbers.contains(&n))
                && let Ok(event) = serde_json::from_slice::<Event>(&line)
                && let Some(lines) = named.get_mut(&(side, (event.pid, event.n)))
            {
                lines.push(String::from_utf8_lossy(line.trim_ascii()).into_owned());
            }
            line.clear();
        }
    }

    /// All of them, each folded.
    pub fn section(&self) -> Markup {
        let named = self.named.borrow();
        html! {
            @for ((side, number), lines) in named.iter() {
                @for (at, line) in lines.iter().enumerate() {
                    details.event {
                        summary {
                            @if !side.is_empty() { (side) " " }
                            (number.0) ":" (number.1)
                            span.kind { (kind(line)) }
                        }
                        // A link to what is folded unfolds it.
                        pre id=[(at == 0).then(|| id(side, *number))] tabindex="0" { (escape::terminal(line)) }
                    }
                }
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.named.borrow().is_empty()
    }
}

/// What is needed to know an event.
#[derive(Deserialize)]
struct Event {
    n: u64,
    pid: u32,
}

/// What is told of an event while it is folded.
#[derive(Deserialize)]
struct Kind {
    ev: String,
    #[serde(rename = "fn", default)]
    function: String,
}

fn kind(line: &str) -> Markup {
    let Ok(kind) = serde_json::from_str::<Kind>(line) else { return html! {} };
    html! { (figure::name(&kind.ev)) @if !kind.function.is_empty() { " " (figure::name(&kind.function)) } }
}

/// The event's number as writers put it, at the begin of the line; saves parsing of what nobody asked for.
fn first_number(line: &[u8]) -> Option<u64> {
    let head = line.get(..line.len().min(64))?;
    let at = memchr::memmem::find(head, b"\"n\":")? + 4;
    let digits = head.get(at..)?.split(|byte| !byte.is_ascii_digit()).next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn number(word: &str) -> Option<Number> {
    let (pid, n) = word.split_once(':')?;
    Some((pid.parse().ok()?, n.parse().ok()?))
}

fn id(side: &str, (pid, n): Number) -> String {
    format!("event-{}{pid}-{n}", side.to_lowercase())
}

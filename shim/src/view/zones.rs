//! The kernel's memory zones: what is free, how much of it is kept back by the watermarks, and how much of it lies in
//! blocks as large as a huge page.

use crate::buffers::Claim;
use crate::header;
use crate::lines;
use crate::missing::{self, Reason, View};
use crate::process::{self, Process};
use crate::sys;
use crate::text::{self, Text};
use crate::trace::Event;

const ZONES: &[u8] = b"/proc/zoneinfo\0";
const BLOCKS: &[u8] = b"/proc/buddyinfo\0";
/// What GPU drivers and huge pages take at once.
const BLOCK: u64 = 2 << 20;
/// Room for /proc/buddyinfo: one line of 100 bytes for each zone that has memory.
const ROOM: usize = 4096;

/// Names in /proc/zoneinfo, and in the trace.
const FIGURES: [(&[u8], &[u8]); 8] = [
    (b"free", b"free"),
    (b"min", b"min"),
    (b"low", b"low"),
    (b"high", b"high"),
    (b"boost", b"boost"),
    (b"managed", b"managed"),
    (b"present", b"present"),
    (b"nr_free_cma", b"cma_free"),
];
const PRESENT: usize = 6;

/// A zone as far as it has been read.
struct Zone {
    node: u64,
    name: Text<32>,
    /// Pages.
    figures: [Option<u64>; FIGURES.len()],
}

/// Writes a `zone` for each zone that has memory.
#[inline(never)]
pub fn tell(process: &Process, of: u64) {
    let Some(mut claim) = Claim::new(process::pid()) else { return };
    let Some((blocks, room)) = claim.get().file.split_at_mut_checked(ROOM) else { return };
    let blocks = match sys::load(sys::open(BLOCKS, libc::O_RDONLY, 0), blocks) {
        Ok(blocks) => blocks,
        Err(error) => {
            missing::view(process, View::Blocks, 0, b"zones.blocks", BLOCKS, Reason::Error(error));
            &[]
        }
    };
    let mut zone = None::<Zone>;
    let read = lines::each(ZONES, room, &mut |line| match heading(line) {
        Some((node, name)) => {
            if let Some(zone) = zone.take() {
                zone.tell(of, blocks);
            }
            let mut text = Text::new();
            text.push(name);
            zone = Some(Zone { node, name: text, figures: [None; FIGURES.len()] });
        }
        None => {
            if let Some(zone) = &mut zone {
                zone.note(line);
            }
        }
    });
    if let Some(zone) = zone {
        zone.tell(of, blocks);
    }
    if let Err(error) = read {
        missing::view(process, View::Zones, 0, b"zones", ZONES, Reason::Error(error));
    }
}

/// `Node 0, zone   Normal`, with which a zone begins here as there.
fn heading(line: &[u8]) -> Option<(u64, &[u8])> {
    let rest = line.strip_prefix(b"Node ")?;
    let node = text::number(rest)?;
    let mut words = text::words(rest);
    words.find(|word| *word == b"zone")?;
    Some((node, words.next()?))
}

impl Zone {
    /// `  pages free     3840`, `        min      12`, `      nr_free_cma  0`
    fn note(&mut self, line: &[u8]) {
        let mut words = text::words(line.strip_prefix(b"  pages").unwrap_or(line));
        let (Some(name), Some(value)) = (words.next(), words.next()) else { return };
        for ((known, _), figure) in FIGURES.iter().zip(&mut self.figures) {
            if *known == name {
                *figure = text::number(value);
            }
        }
    }

    fn tell(&self, of: u64, blocks: &[u8]) {
        if self.figures.get(PRESENT).copied().flatten().unwrap_or(0) == 0 {
            return;
        }
        let Some(mut event) = Event::begin("zone", sys::clock(libc::CLOCK_MONOTONIC)) else { return };
        let page = header::page_size();
        let figures = FIGURES
            .iter()
            .zip(&self.figures)
            .filter_map(|((_, key), pages)| pages.map(|pages| (*key, pages.saturating_mul(page))));
        let large = self.large(blocks, page).map(|bytes| (&b"blocks"[..], bytes));
        event.write(|line| {
            line.u64("of", of).u64("node", self.node).text("zone", self.name.get());
            line.numbers("figures", figures.chain(large));
        });
    }

    /// Bytes in blocks of [`BLOCK`] and larger. A line of /proc/buddyinfo has the number of free blocks of each
    /// order, from single pages on.
    fn large(&self, blocks: &[u8], page: u64) -> Option<u64> {
        let line = blocks
            .split(|byte| *byte == b'\n')
            .find(|line| heading(line).is_some_and(|(node, name)| node == self.node && name == self.name.get()))?;
        let mut size = page;
        let mut sum = 0u64;
        for count in text::words(line).skip(4) {
            if size >= BLOCK {
                sum = sum.saturating_add(text::number(count)?.saturating_mul(size));
            }
            size = size.saturating_mul(2);
        }
        Some(sum)
    }
}

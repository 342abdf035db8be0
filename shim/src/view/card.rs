//! Memory of AMD GPUs, as their kernel driver says: on an APU two pools and a limit on pages are one memory.

use crate::header;
use crate::missing::{self, Reason, View};
use crate::process::Process;
use crate::sys;
use crate::text::{self, Text};
use crate::trace::Event;
use core::sync::atomic::Ordering;

const CARDS: &[u8] = b"/sys/class/drm/card";
const FILES: [(&[u8], &[u8]); 6] = [
    (b"vram_total", b"/device/mem_info_vram_total\0"),
    (b"vram_used", b"/device/mem_info_vram_used\0"),
    (b"vis_vram_total", b"/device/mem_info_vis_vram_total\0"),
    (b"vis_vram_used", b"/device/mem_info_vis_vram_used\0"),
    (b"gtt_total", b"/device/mem_info_gtt_total\0"),
    (b"gtt_used", b"/device/mem_info_gtt_used\0"),
];
/// The kernel counts cards from 0, and had 16 of them at most for long.
const MOST_CARDS: u32 = 32;
/// Set once it was looked for cards.
const LOOKED: u64 = 1 << 63;

/// Writes a `card` for each AMD GPU. Nothing is said where there is none.
#[inline(never)]
pub fn tell(process: &Process, of: u64) {
    let known = &process.views.cards;
    let mut cards = known.load(Ordering::Relaxed);
    if cards == 0 {
        cards = look() | LOOKED;
        known.store(cards, Ordering::Relaxed);
    }
    for card in (0..MOST_CARDS).filter(|card| cards.wrapping_shr(*card) & 1 == 1) {
        write(process, of, card);
    }
}

fn look() -> u64 {
    let any = sys::open_path(b"/sys/class/drm\0");
    if any < 0 {
        return 0;
    }
    sys::close(any);
    let [(_, first), ..] = FILES;
    let mut cards = 0u64;
    for card in 0..MOST_CARDS {
        let fd = sys::open_path(path(card, first).get());
        if fd >= 0 {
            sys::close(fd);
            cards |= 1u64.wrapping_shl(card);
        }
    }
    cards
}

fn path(card: u32, file: &[u8]) -> Text<96> {
    let mut path = Text::new();
    path.push(CARDS);
    path.push_number(card.into());
    path.push(file);
    path
}

fn read(path: &[u8]) -> Result<u64, i32> {
    let mut value = [0u8; 32];
    let value = sys::load_once(sys::open(path, libc::O_RDONLY, 0), &mut value)?;
    text::number(value).ok_or(libc::EINVAL)
}

fn write(process: &Process, of: u64, card: u32) {
    let mut figures = [None::<u64>; FILES.len() + 1];
    for (number, figure) in figures.iter_mut().enumerate() {
        let (path, unit) = match FILES.get(number) {
            Some((_, file)) => (path(card, file), 1),
            None => (ttm(), header::page_size()),
        };
        match read(path.get()) {
            Ok(value) => *figure = Some(value.saturating_mul(unit)),
            Err(error) => missing::view(process, View::Card, number as u32, b"card", path.get(), Reason::Error(error)),
        }
    }
    let Some(mut event) = Event::begin("card", sys::clock(libc::CLOCK_MONOTONIC)) else { return };
    let keys = FILES.iter().map(|(key, _)| *key).chain([&b"ttm_pages_limit"[..]]);
    let mut name = Text::<16>::new();
    name.push(b"card");
    name.push_number(card.into());
    event.write(|line| {
        let figures = keys.zip(&figures).filter_map(|(key, figure)| figure.map(|figure| (key, figure)));
        line.u64("of", of).text("card", name.get()).numbers("figures", figures);
    });
}

/// In pages.
fn ttm() -> Text<96> {
    let mut path = Text::new();
    path.push(b"/sys/module/ttm/parameters/pages_limit\0");
    path
}

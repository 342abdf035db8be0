//! The table as data: what the documentation and the tests read out of the built library.

use super::{Effect, Hook, Layer, host, seen};

/// One hooked function. Texts are not terminated.
#[repr(C)]
pub struct Row {
    symbol: Text,
    /// The name without the suffix of its ABI.
    name: Text,
    layer: Text,
    effect: Text,
    /// `name: type` of each, in the types of this library.
    arguments: Text,
    /// Of the runtime, its major version; else 0.
    major: u32,
    /// CUDA versions in which the name means this ABI: from the first, below the second; 0 where there is one only.
    since: u32,
    until: u32,
    /// 1 for the variant with a default stream per thread.
    per_thread: u32,
}

#[repr(C)]
struct Text {
    at: *const u8,
    len: usize,
}

fn text(text: &'static str) -> Text {
    Text { at: text.as_ptr(), len: text.len() }
}

/// Describes the hook at position `at`; 0 behind the last one.
///
/// # Safety
/// `row` is NULL or points to room for a [`Row`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kvtrace_hook(at: usize, row: *mut Row) -> i32 {
    let looked_up = super::all().chain(host::TABLES.iter().flat_map(|table| table.iter()).copied());
    let described = match looked_up.clone().nth(at) {
        Some(hook) => of(hook),
        None => match seen::NAMES.get(at.wrapping_sub(looked_up.count())) {
            Some((symbol, effect)) => Row {
                symbol: text(symbol),
                name: text(symbol),
                layer: text(Layer::Libc.name()),
                effect: text(effect.name()),
                arguments: text(""),
                major: 0,
                since: 0,
                until: 0,
                per_thread: 0,
            },
            None => return 0,
        },
    };
    if !row.is_null() {
        // SAFETY: the caller's promise.
        unsafe { row.write(described) };
    }
    1
}

fn of(hook: &'static Hook) -> Row {
    Row {
        symbol: text(hook.symbol),
        name: text(hook.name),
        layer: text(hook.layer.name()),
        effect: text(hook.effect.name()),
        arguments: text(hook.arguments),
        major: if let Layer::Runtime(major) = hook.layer { major.into() } else { 0 },
        since: hook.versions.0,
        until: hook.versions.1,
        per_thread: hook.per_thread.into(),
    }
}

/// What a row's expression does, by the function of `effect` that it calls.
pub const fn effect(expression: &str) -> Effect {
    const CALLS: [(&[u8], Effect); 14] = [
        (b"looked_up", Effect::LooksUp),
        (b"graph_", Effect::Graph),
        (b"alloc", Effect::Takes),
        (b"free(", Effect::GivesBack),
        (b"query", Effect::Asks),
        (b"unmap(", Effect::Unmaps),
        (b"map(", Effect::Maps),
        (b"retain(", Effect::Retains),
        (b"prefetch(", Effect::Moves),
        (b"pool_", Effect::Pool),
        (b"fork(", Effect::Forks),
        (b"listed", Effect::Asks),
        (b"note(", Effect::Noted),
        (b"note_", Effect::Noted),
    ];
    let mut call = 0;
    while call < CALLS.len() {
        if has(expression.as_bytes(), CALLS[call].0) {
            return CALLS[call].1;
        }
        call += 1;
    }
    Effect::Noted
}

const fn has(text: &[u8], wanted: &[u8]) -> bool {
    let mut from = 0;
    while from + wanted.len() <= text.len() {
        let mut at = 0;
        while at < wanted.len() && text[from + at] == wanted[at] {
            at += 1;
        }
        if at == wanted.len() {
            return true;
        }
        from += 1;
    }
    false
}

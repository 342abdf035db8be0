//! Files about memory, opened for the program with other figures in them: a file in memory, as the kernel's was at that
//! instant. What is read again from its begin is the same again, where the kernel's would be new.

use super::{Asker, Changed, change, rule_for, rules};
use crate::buffers::Claim;
use crate::{host, process, sys};
use kvtrace_patch::{MOST, Target, meminfo as text};

/// No limit, as a number.
const UNLIMITED: u64 = u64::MAX;

/// Opens what the program shall read in place of /proc/meminfo: a descriptor of ours, or `None` if that is the kernel's
/// own file. `of`: number of the event that tells of the opening.
#[inline(never)]
pub fn meminfo(asker: &Asker, of: u64) -> Option<i32> {
    if of == 0 || !asker.is_outermost() || asker.is_library() || rules().is_none() && !host::is_simulated() {
        return None;
    }
    let mut claim = Claim::new(process::pid())?;
    let (first, second) = claim.get().file.split_at_mut_checked(4096)?;
    let length = host::meminfo(first, second).ok()?.len();
    let real = first.get(..length)?;
    let available = text::available(real);
    let mut changes: [Option<Changed>; MOST] = [None; MOST];
    let mut free = changes.iter_mut();
    let length = text::rewrite(real, second, |line| {
        let rule = rule_for(Target::Meminfo(line.key), asker)?;
        // What is free may be what is available; no other line may say more than there is.
        let is_free = matches!(line.key, b"MemFree" | b"MemAvailable");
        let most = available.filter(|_| is_free).map_or(line.value, |available| available.memory);
        let changed = change(rule, line.value, available, most)?;
        *free.next()? = Some(changed);
        Some(changed.told)
    })?;
    let told = second.get(..length)?;
    if changes.iter().all(Option::is_none) && !host::is_simulated() {
        return None;
    }
    let fd = in_memory(told)?;
    for changed in changes.iter().flatten() {
        if let Target::Meminfo(key) = changed.rule.target {
            changed.tell(of, key);
        }
    }
    Some(fd)
}

/// As [`meminfo`], for a file of a control group.
#[inline(never)]
pub fn cgroup(asker: &Asker, path: &[u8], name: &[u8], of: u64) -> Option<i32> {
    if of == 0 || !asker.is_outermost() || asker.is_library() {
        return None;
    }
    let rule = rule_for(Target::Cgroup(name), asker)?;
    let mut buf = [0u8; 64];
    let content = sys::read_file(path, &mut buf).trim_ascii();
    let real = if content == b"max" { UNLIMITED } else { crate::text::number(content)? };
    let changed = match rule.change.apply(real, None) {
        Some(told) if real != UNLIMITED || matches!(rule.change, kvtrace_patch::Change::Set(_)) => {
            Changed { real, told, wanted: None, rule }
        }
        // There is no more than no limit, and no part of it.
        Some(_) => return None,
        None => Changed { real, told: UNLIMITED, wanted: None, rule },
    };
    let mut content = crate::text::Text::<24>::new();
    let _ = if changed.told == UNLIMITED { content.push(b"max") } else { content.push_number(changed.told) };
    content.push(b"\n");
    let fd = in_memory(content.get())?;
    changed.tell(of, name);
    Some(fd)
}

/// A file in memory that can be read only, out of the way of the program's descriptors.
fn in_memory(content: &[u8]) -> Option<i32> {
    let low = sys::memory_file(c"kvtrace");
    if low < 0 {
        return None;
    }
    let high = sys::dup_from(low, 512);
    let fd = if high < 0 { low } else { high };
    if fd != low {
        sys::close(low);
    }
    if usize::try_from(sys::write(fd, content)) != Ok(content.len()) {
        sys::close(fd);
        return None;
    }
    sys::seal(fd);
    Some(fd)
}

//! The traced program and its children.

use super::{Figures, SHARE};
use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

/// A fork bomb must not take the launcher along.
const MOST: usize = 4096;
const RESIDENT: [(&str, &str); 3] = [("RssAnon", "rss_anon"), ("RssFile", "rss_file"), ("RssShmem", "rss_shmem")];

/// New processes are found within this time, whatever it takes.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub struct Tree {
    /// Pid -> start time, which tells it from a later process of that number.
    members: BTreeMap<u32, u64>,
    /// When it may be looked for again.
    again: Instant,
}

impl Tree {
    pub fn of(root: u32) -> Self {
        let members = BTreeMap::from([(root, stat(root).map(|stat| stat.start).unwrap_or(0))]);
        Tree { members, again: Instant::now() }
    }

    /// Looks for new processes and forgets those that have ended. A process whose parent has ended becomes the child of
    /// another; it stays a member while it lives.
    pub fn refresh(&mut self) {
        if Instant::now() < self.again {
            return;
        }
        let begin = super::worked();
        self.members.retain(|pid, start| stat(*pid).is_some_and(|stat| stat.start == *start));
        let mut waiting: Vec<u32> = self.members.keys().copied().collect();
        // Kernels may be built without lists of children.
        let mut all = None;
        while let Some(parent) = waiting.pop() {
            let children = match listed(parent) {
                Some(children) => children,
                None => {
                    let all: &Vec<(u32, u32)> = all.get_or_insert_with(parents);
                    all.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid).collect()
                }
            };
            for child in children {
                if self.members.len() < MOST
                    && !self.members.contains_key(&child)
                    && let Some(stat) = stat(child)
                {
                    self.members.insert(child, stat.start);
                    waiting.push(child);
                }
            }
        }
        let cost = super::worked().saturating_sub(begin);
        self.again = Instant::now() + (cost * SHARE).min(PATIENCE);
    }

    /// How many of them live, and their resident memory, summed. Shared pages count once for each.
    pub fn resident(&self) -> (u32, Figures) {
        let mut sum = Figures::new();
        let mut living = 0;
        for pid in self.members.keys() {
            let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else { continue };
            // A zombie holds no memory and has no such line.
            if !status.contains("\nRssAnon:") {
                continue;
            }
            living += 1;
            let figures = super::figures(&status);
            for (line, name) in RESIDENT {
                let bytes = sum.entry(name.to_owned()).or_insert(0);
                *bytes = bytes.saturating_add(figures.get(line).copied().unwrap_or(0));
            }
        }
        (living, sum)
    }
}

/// The children of all threads of a process; nothing if the kernel keeps no such lists. That of a process which has just
/// ended is empty.
fn listed(pid: u32) -> Option<Vec<u32>> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Some(Vec::new()) };
    let mut children = Vec::new();
    for thread in threads.flatten() {
        match fs::read_to_string(thread.path().join("children")) {
            Ok(list) => children.extend(list.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok())),
            Err(_) if thread.path().exists() => return None,
            Err(_) => {}
        }
    }
    Some(children)
}

/// `(pid, parent)` of every process that can be seen.
fn parents() -> Vec<(u32, u32)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| Some((pid, stat(pid)?.parent))).collect()
}

struct Stat {
    parent: u32,
    /// Clock ticks after boot.
    start: u64,
}

fn stat(pid: u32) -> Option<Stat> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The name before it may hold anything.
    let rest = stat.get(stat.iter().rposition(|byte| *byte == b')')?..)?;
    let rest = String::from_utf8_lossy(rest);
    let field = |at: usize| rest.split_whitespace().nth(at);
    Some(Stat { parent: field(2)?.parse().ok()?, start: field(20)?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_are_found_and_their_memory_is_summed() {
        let mut child = std::process::Command::new("sh").args(["-c", "sleep 30 & wait"]).spawn().unwrap();
        let mut tree = Tree::of(child.id());
        let mut living = 0;
        for _ in 0..200 {
            std::thread::sleep(tree.again.saturating_duration_since(Instant::now()) + Duration::from_millis(10));
            tree.refresh();
            living = tree.resident().0;
            if living == 2 {
                break;
            }
        }
        assert_eq!(living, 2);
        let grandchild = *tree.members.keys().find(|pid| **pid != child.id()).unwrap();
        assert!(tree.resident().1["rss_anon"] > 0);
        child.kill().unwrap();
        child.wait().unwrap();
        // The sleeping one lives on, as a child of another.
        std::thread::sleep(tree.again.saturating_duration_since(Instant::now()));
        tree.refresh();
        assert_eq!(tree.resident().0, 1);
        // SAFETY: a plain system call; the process is a descendant of ours that still sleeps.
        unsafe { libc::kill(grandchild as i32, libc::SIGKILL) };
    }
}

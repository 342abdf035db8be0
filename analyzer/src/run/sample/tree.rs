//! The traced program and its children.

use super::{Figures, SHARE};
use std::collections::BTreeSet;
use std::fs;
use std::time::Instant;

/// A fork bomb must not take the launcher along.
const MOST: usize = 4096;
const RESIDENT: [(&str, &str); 3] = [("RssAnon", "rss_anon"), ("RssFile", "rss_file"), ("RssShmem", "rss_shmem")];

#[derive(Debug)]
pub struct Tree {
    root: u32,
    members: BTreeSet<u32>,
    /// When it may be looked for again.
    again: Instant,
}

impl Tree {
    pub fn of(root: u32) -> Self {
        Tree { root, members: BTreeSet::from([root]), again: Instant::now() }
    }

    /// Looks for new processes and forgets those that have ended.
    pub fn refresh(&mut self) {
        let begin = Instant::now();
        if begin < self.again {
            return;
        }
        let parents = parents();
        let mut members = BTreeSet::from([self.root]);
        // A process whose parent has ended is its grandparent's or init's child: it stays a member while it lives.
        let orphans = self.members.iter().filter(|pid| parents.iter().any(|(other, _)| other == *pid));
        members.extend(orphans);
        loop {
            let before = members.len();
            for (pid, parent) in &parents {
                if members.contains(parent) && members.len() < MOST {
                    members.insert(*pid);
                }
            }
            if members.len() == before {
                break;
            }
        }
        self.members = members;
        self.again = begin + begin.elapsed() * SHARE;
    }

    /// How many of them live, and their resident memory, summed. Shared pages count once for each.
    pub fn resident(&self) -> (u32, Figures) {
        let mut sum = Figures::new();
        let mut living = 0;
        for pid in &self.members {
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

/// `(pid, parent)` of every process that can be seen.
fn parents() -> Vec<(u32, u32)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let parent = |pid: u32| {
        let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
        // The name before it may hold anything.
        let rest = &stat[stat.iter().rposition(|byte| *byte == b')')?..];
        let rest = String::from_utf8_lossy(rest);
        Some((pid, rest.split_whitespace().nth(2)?.parse().ok()?))
    };
    pids.filter_map(parent).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

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
        let grandchild = *tree.members.iter().find(|pid| **pid != child.id()).unwrap();
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

use kvtrace_tests::File;
use serde_json::Value;
use std::collections::HashMap;

/// Bytes that are held, by kind; of pools what they reserve, and what is held for graphs.
#[derive(Default)]
pub struct Books {
    live: HashMap<(&'static str, String), (String, u64)>,
    physical: Vec<Physical>,
    handles: HashMap<String, usize>,
    mapped: HashMap<String, usize>,
    reserved: HashMap<String, u64>,
}

struct Physical {
    kind: String,
    size: u64,
    holders: u32,
    mappings: u32,
}

impl Books {
    /// As they stand when event `n` is written.
    pub fn until(file: &File, n: u64) -> Books {
        let mut books = Books::default();
        for line in file.lines.iter().filter(|line| line["n"].as_u64().unwrap() < n) {
            if line["ev"] == "pool" {
                books.reserved.insert(text(&line["pool"]), line["reserved"].as_u64().unwrap());
            }
            if line["layer"] == "hip" && line["depth"] == 0 && line["rc"] == 0 {
                books.count(line);
            }
        }
        books
    }

    /// Bytes of a kind.
    pub fn held(&self, kind: &str) -> u64 {
        match kind {
            "reserved" => self.reserved.iter().filter(|(pool, _)| *pool != "0x0").map(|(_, bytes)| bytes).sum(),
            "graphs" => self.reserved.get("0x0").copied().unwrap_or(0),
            "vmm" | "vmm-host" => {
                let alive = |block: &&Physical| block.kind == kind && block.holders + block.mappings > 0;
                self.physical.iter().filter(alive).map(|block| block.size).sum()
            }
            _ => self.live.values().filter(|(other, _)| other == kind).map(|(_, size)| size).sum(),
        }
    }

    fn count(&mut self, line: &Value) {
        let (ptr, kind) = (text(&line["ptr"]), line["kind"].as_str().unwrap_or_default());
        match line["ev"].as_str().unwrap() {
            "alloc" if kind.starts_with("vmm") => {
                self.handles.insert(ptr, self.physical.len());
                let size = line["size"].as_u64().unwrap();
                self.physical.push(Physical { kind: kind.to_owned(), size, holders: 1, mappings: 0 });
            }
            "alloc" => {
                let old = self.live.insert((space(kind), ptr), (kind.to_owned(), line["size"].as_u64().unwrap()));
                assert!(old.is_none(), "given out twice: {line}");
            }
            "free" if kind == "vmm" => self.physical[self.handles[&ptr]].holders -= 1,
            "free" => {
                let held = self.live.remove(&(space(kind), ptr));
                assert!(held.is_some(), "never given out: {line}");
            }
            "retain" => self.physical[self.handles[&ptr]].holders += 1,
            "map" => {
                let handle = self.handles[&text(&line["handle"])];
                self.physical[handle].mappings += 1;
                self.mapped.insert(ptr, handle);
            }
            "unmap" => {
                let handle = self.mapped.remove(&ptr).unwrap();
                self.physical[handle].mappings -= 1;
            }
            _ => {}
        }
    }
}

/// Numbers of different spaces may coincide. Host memory is registered at addresses that nobody gave out.
fn space(kind: &str) -> &'static str {
    match kind {
        "array" => "array",
        "registered" => "registered",
        _ => "address",
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

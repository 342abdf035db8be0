//! Files of weights in golden traces: whose pages the page cache held, and which model it was.

mod support;

use kvtrace_sizing::GIB;
use kvtrace_trace::line::Line;
use kvtrace_trace::record::{self, Call, Stamp};
use serde_json::Value;
use std::io::Write as _;
use std::path::Path;
use support::{File, Scenario, kvtrace, write};

const MODULE: &[u8] = b"/usr/lib/python3/safetensors.so";
/// The sizing query of the golden trace.
const SIZING: u64 = 16;

/// Lines that go behind those of the golden trace.
struct More {
    bytes: Vec<u8>,
    pid: u32,
    n: u64,
}

impl More {
    fn new(pid: u32, n: u64) -> Self {
        More { bytes: Vec::new(), pid, n }
    }

    fn line(&mut self, at: u64, write: impl FnOnce(&mut Line, &Stamp)) -> u64 {
        self.n += 1;
        let mut buf = [0; kvtrace_trace::MAX_LINE];
        let mut line = Line::new(&mut buf);
        write(&mut line, &Stamp { n: self.n, t: 1_000_000_000 + at, pid: self.pid, tid: self.pid });
        self.bytes.extend_from_slice(line.finish());
        self.n
    }

    fn call(&mut self, at: u64, ev: &str, name: &str, fields: impl FnOnce(&mut Line)) -> u64 {
        self.line(at, |line, stamp| {
            record::begin(line, ev, stamp);
            let call = Call { name, layer: "libc", depth: 0, rc: 0, dur: 0, module: MODULE, offset: 0x77 };
            fields(record::call(line, &call));
        })
    }

    /// A file of the model, opened with `cached` of it in the page cache.
    fn weights(&mut self, id: u64, device: u64, size: u64, header: u64, cached: u64) -> u64 {
        let path = format!("/models/m/model-{id:05}-of-00002.safetensors");
        let n = self.call(2000 + id, "weights", "open", |line| {
            line.u64("id", id)
                .text("path", path.as_bytes())
                .u64("device", device)
                .u64("inode", 70 + id)
                .u64("size", size);
            line.u64("mtime", 5).hex("flags", 0x80000).text("format", b"safetensors");
            let dtypes = [(b"BF16".as_slice(), size - 100), (b"F32", 100)];
            line.numbers("dtypes", dtypes.into_iter()).u64("tensors", 100 + id).hex("header", header);
        });
        self.cached(2000 + id, n, id, size, cached);
        n
    }

    fn cached(&mut self, at: u64, of: u64, id: u64, size: u64, cached: u64) {
        self.line(at, |line, stamp| {
            record::begin(line, "cached", stamp).u64("of", of).u64("id", id).u64("files", 1).u64("size", size);
            line.u64("cached", cached).u64("dirty", 0).u64("evicted", 0).text("by", b"cachestat");
        });
    }

    fn libraries(&mut self, of: u64, cached: u64) {
        self.together(900_000_000, of, b"libraries", 412, 3 * GIB, cached);
    }

    fn together(&mut self, at: u64, of: u64, group: &[u8], files: u64, size: u64, cached: u64) {
        self.line(at, |line, stamp| {
            record::begin(line, "cached", stamp).u64("of", of).text("group", group).u64("files", files);
            line.u64("size", size).u64("cached", cached).text("by", b"cachestat");
        });
    }

    fn config(&mut self, text: &[u8], digest: u64) {
        self.line(2500, |line, stamp| {
            record::begin(line, "config", stamp).text("path", b"/models/m/config.json");
            line.u64("size", text.len() as u64).hex("digest", digest).text("text", text);
        });
    }

    fn append(&self, directory: &Path) {
        let path = directory.join(format!("spark.{}.77.jsonl", self.pid));
        std::fs::OpenOptions::new().append(true).open(path).unwrap().write_all(&self.bytes).unwrap();
    }
}

const CONFIG: &[u8] = b"{\"model_type\":\"llama\",\"architectures\":[\"LlamaForCausalLM\"],\
    \"num_hidden_layers\":30,\"hidden_size\":4096,\
    \"num_attention_heads\":32,\"num_key_value_heads\":32,\"head_dim\":128,\"torch_dtype\":\"bfloat16\",\
    \"quantization_config\":{\"quant_method\":\"fp8\"}}";

/// Two files of 2 GiB, of which 0.5 GiB were cached at the opening and 3.5 GiB are at the sizing query.
fn model(header: u64, size: u64) -> More {
    let mut more = More::new(4242, 900);
    more.weights(1, 7, size, header, GIB / 2);
    more.weights(2, 7, size, 0xbeef, 0);
    more.config(CONFIG, 0xc0ffee);
    for (id, how, advice) in [(1, "mmap", "0x2"), (1, "madvise", "sequential"), (2, "open", "0x0")] {
        more.call(3000, "use", how, |line| {
            line.u64("id", id)
                .text("how", how.as_bytes())
                .u64("at", 0)
                .u64("size", size)
                .text("advice", advice.as_bytes());
        });
    }
    // Another query before the sizing one.
    more.cached(11_000_000, 11, 1, size, GIB);
    for (id, cached) in [(1, 2 * GIB), (2, 3 * GIB / 2)] {
        more.cached(17_000_000, SIZING, id, size, cached.min(size));
    }
    more.together(17_000_000, SIZING, b"weights", 2, 2 * size, (2 * GIB).min(size) + (3 * GIB / 2).min(size));
    more
}

fn home(scenario: &Scenario, more: &More) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    write(scenario, &home.path().join("run"));
    more.append(&home.path().join("run"));
    home
}

fn text(home: &Path, arguments: &[&str]) -> String {
    let (code, out, error) = kvtrace(home, arguments);
    assert_eq!((code, error.as_str()), (0, ""));
    out
}

fn json(home: &Path, arguments: &[&str]) -> Value {
    serde_json::from_str(&text(home, &[arguments, &["--format", "json"]].concat())).unwrap()
}

#[test]
fn the_page_cache_is_taken_apart() {
    let mut more = model(0xfeed, 2 * GIB);
    more.libraries(SIZING, 3 * GIB / 2);
    let home = home(&Scenario::default(), &more);
    for format in ["table", "markdown"] {
        insta::assert_snapshot!(format!("weights_{format}"), text(home.path(), &["show", "run", "--format", format]));
    }
    let show = json(home.path(), &["show", "run"]);
    let answer = serde_json::to_string_pretty(&[&show["model"], &show["page_caches"]]).unwrap();
    insta::assert_snapshot!("weights_json", answer);
    let cache = &show["page_caches"][0];
    let part = |name: &str| cache[name].as_u64().unwrap();
    let parts = part("weights_bytes") + part("shared_bytes") + part("buffers_bytes") + part("other_bytes");
    assert_eq!(parts + 3 * GIB / 2, part("total_bytes"));
    assert_eq!(part("weights_bytes"), 7 * GIB / 2);
}

/// What has not changed has no line of its own: the sum says that it holds.
#[test]
fn a_file_that_stays_as_it_was_is_known_by_the_sum() {
    for (sum, holds) in [(GIB, true), (2 * GIB, false)] {
        let mut more = More::new(4242, 900);
        more.weights(1, 7, 2 * GIB, 0xfeed, GIB);
        more.together(17_000_000, SIZING, b"weights", 1, 2 * GIB, sum);
        let home = home(&Scenario::default(), &more);
        let cache = &json(home.path(), &["show", "run"])["page_caches"][0];
        assert_eq!((&cache["weights_bytes"], &cache["files"][0]["now"]["is_of_query"]), (&GIB.into(), &holds.into()));
        assert_eq!(cache["notes"].as_array().unwrap().is_empty(), holds, "{cache}");
    }
}

/// Readings of another moment may hold more than the page cache does now.
#[test]
fn the_parts_are_never_negative() {
    let mut more = model(0xfeed, 2 * GIB);
    more.libraries(SIZING, 3 * GIB);
    let scenario = Scenario { page_cache: 4 * GIB, ..Scenario::default() };
    let home = home(&scenario, &more);
    let show = json(home.path(), &["show", "run"]);
    let cache = &show["page_caches"][0];
    assert_eq!(cache["other_bytes"], 0);
    assert!(cache["notes"][0].as_str().unwrap().contains("more than the whole"), "{}", cache["notes"]);
}

#[test]
fn a_file_that_two_processes_opened_counts_once() {
    let home = home(&Scenario::default(), &model(0xfeed, 2 * GIB));
    let run = home.path().join("run");
    File::new(4243, 4200, "program", "spark", "host", "0::/x\n", &[b"/usr/bin/python3"]).save(&run);
    let mut other = More::new(4243, 1);
    other.weights(1, 7, 2 * GIB, 0xfeed, 2 * GIB);
    other.append(&run);
    let show = json(home.path(), &["show", "run"]);
    assert_eq!(show["page_caches"][0]["weights_bytes"], 7 * GIB / 2);
    assert_eq!(show["page_caches"][0]["files"][0]["opened_by"], serde_json::json!([4242, 4243]));
    assert_eq!(show["model"]["weight_bytes"], 4 * GIB);
    // From another container the same file has another device number: then nothing is said of its pages.
    let mut third = More::new(4243, 50);
    third.weights(1, 8, 2 * GIB, 0xfeed, 2 * GIB);
    third.append(&run);
    let show = json(home.path(), &["show", "run"]);
    assert_eq!(show["page_caches"][0]["weights_bytes"], 0);
    assert!(show["page_caches"][0]["notes"][0].as_str().unwrap().contains("several device numbers"));
    assert_eq!(show["model"]["weight_bytes"], 4 * GIB);
}

#[test]
fn what_the_kernel_does_not_tell_is_named() {
    let mut more = More::new(4242, 900);
    let n = more.weights(1, 7, 2 * GIB, 0xfeed, 0);
    more.bytes.truncate(more.bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1);
    assert_eq!(n, 901);
    more.line(2600, |line, stamp| {
        record::begin(line, "missing", stamp).text("what", b"cached").text("source", b"/models/m/a\x1b[31m");
        line.text("reason", b"EPERM");
    });
    let home = home(&Scenario::default(), &more);
    let out = text(home.path(), &["show", "run"]);
    assert!(out.contains("the kernel does not tell of /models/m/a\\u{1b}[31m (EPERM"), "{out}");
    assert!(out.contains("how much of 1 of the files was in it is not known"), "{out}");
}

/// Two runs under one label, as a harness made them.
#[test]
fn other_weights_are_named_first() {
    let same = |a: &More, b: &More| {
        let home = home(&Scenario::default(), a);
        write(&Scenario::default(), &home.path().join("other"));
        b.append(&home.path().join("other"));
        home
    };
    let (large, small) = (model(0xfeed, 2 * GIB), model(0xfeed, GIB));
    let home = same(&large, &small);
    insta::assert_snapshot!("weights_diff_other", text(home.path(), &["diff", "run", "other"]));
    assert_eq!(json(home.path(), &["diff", "run", "other"])["comparable"], false);
    let mut tuned = model(0xfeed, 2 * GIB);
    tuned.config(b"{\"model_type\":\"mistral\"}", 0xbad);
    for (other, verdict, because) in [
        (model(0xfade, 2 * GIB), "not-the-same", "their headers differ"),
        (tuned, "not-the-same", "their config.json differs"),
        (model(0xfeed, 2 * GIB), "same", "the same 2 files (4.00 GiB)"),
        (More::new(4242, 900), "not-known", "B was not seen to open"),
    ] {
        let home = same(&large, &other);
        let model = &json(home.path(), &["diff", "run", "other"])["model"];
        assert_eq!(model["verdict"], verdict);
        assert!(model["because"].as_str().unwrap().contains(because), "{model}");
    }
}

//! Golden traces, written with the trace crate's own writer: a serving process that sizes its KV cache by
//! TensorRT-LLM's order of calls, with the machine beside each query.

#![allow(dead_code, reason = "each test program uses its own part")]

use kvtrace_sizing::GIB;
use kvtrace_sizing::tensorrt_llm as rule;
use kvtrace_trace::MAX_LINE;
use kvtrace_trace::line::Line;
use kvtrace_trace::record::{self, Call, Stamp};
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

pub const TOTAL: u64 = 128_524_251_136;
pub const CUDART: &[u8] = b"/usr/lib/libcudart.so.12";
pub const RUNTIME: &[u8] = b"/opt/trtllm/libtensorrt_llm.so";

/// What distinguishes one run from another. Bytes.
#[derive(Debug, Clone)]
pub struct Scenario {
    pub label: &'static str,
    pub host: &'static str,
    pub device: &'static str,
    pub total: u64,
    pub integrated: bool,
    pub page_cache: u64,
    pub anonymous: u64,
    pub shared: u64,
    pub kernel: u64,
    pub weights: u64,
    pub temporary_tokens: u64,
    pub transient: u64,
    pub fraction: f64,
    pub bytes_per_token: u64,
    /// Page cache that grows between query B and query C.
    pub growth_before_c: u64,
    pub cgroup_path: &'static str,
    pub cgroup_max: Option<u64>,
    pub with_log: bool,
    pub user_tokens: Option<u64>,
    /// Set aside for huge pages.
    pub huge_pages: u64,
    /// Free pages for contiguous memory, part of MemFree.
    pub cma_free: u64,
    /// In use on the device, by nobody that is traced, from the start on.
    pub untraced: u64,
    pub nvml: Option<Nvml>,
    pub env: &'static [(&'static str, &'static str)],
    pub uuid: &'static str,
}

/// What NVML lists beside each query.
#[derive(Debug, Clone, Copy)]
pub struct Nvml {
    /// Of the serving process beyond what it allocated; `None` if it is not listed.
    pub context: Option<u64>,
    pub others: u64,
    pub total: Option<u64>,
}

impl Default for Scenario {
    fn default() -> Self {
        Scenario {
            label: "host",
            host: "spark",
            device: "NVIDIA GB10",
            total: TOTAL,
            integrated: true,
            page_cache: 6 * GIB,
            anonymous: 3 * GIB,
            shared: GIB / 4,
            kernel: GIB / 2,
            weights: 14 * GIB,
            temporary_tokens: 8224,
            transient: 3 * GIB / 2,
            fraction: 0.9,
            bytes_per_token: 57_344,
            growth_before_c: 0,
            cgroup_path: "/sys/fs/cgroup/user.slice",
            cgroup_max: None,
            with_log: true,
            user_tokens: None,
            huge_pages: 0,
            cma_free: 0,
            untraced: 0,
            nvml: None,
            env: &[],
            uuid: "",
        }
    }
}

/// One trace file under construction.
pub struct File {
    bytes: Vec<u8>,
    pid: u32,
    n: u64,
    now: u64,
    /// On the device.
    live: BTreeMap<u64, u64>,
}

impl File {
    pub fn new(pid: u32, ppid: u32, role: &str, host: &str, label: &str, cgroup: &str, argv: &[&[u8]]) -> Self {
        File::with_env(pid, ppid, role, host, label, cgroup, argv, &[])
    }

    #[expect(clippy::too_many_arguments, reason = "what a header holds")]
    pub fn with_env(
        pid: u32,
        ppid: u32,
        role: &str,
        host: &str,
        label: &str,
        cgroup: &str,
        argv: &[&[u8]],
        env: &[(&str, &str)],
    ) -> Self {
        let mut file = File { bytes: Vec::new(), pid, n: 0, now: 1_000_000_000, live: BTreeMap::new() };
        let header = record::Process {
            shim: "0.1.0",
            role,
            host: host.as_bytes(),
            start: 77,
            ppid,
            forked_from: 0,
            wall: 1_790_000_000_000_000_000,
            page: 4096,
            exe: argv[0],
            cgroup: cgroup.as_bytes(),
            label: label.as_bytes(),
            argv: argv.iter().copied(),
            env: env.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())),
        };
        file.line(|line, stamp| header.write(line, stamp));
        file
    }

    pub fn line(&mut self, write: impl FnOnce(&mut Line, &Stamp)) -> u64 {
        self.n += 1;
        self.now += 1_000_000;
        let mut buf = [0; MAX_LINE];
        let mut line = Line::new(&mut buf);
        write(&mut line, &Stamp { n: self.n, t: self.now, pid: self.pid, tid: self.pid });
        self.bytes.extend_from_slice(line.finish());
        self.n
    }

    pub fn call(&mut self, ev: &str, name: &str, layer: &str, module: &[u8], fields: impl FnOnce(&mut Line)) -> u64 {
        self.line(|line, stamp| {
            record::begin(line, ev, stamp);
            let depth = u32::from(layer == "driver");
            record::call(line, &Call { name, layer, depth, rc: 0, dur: 1500, module, offset: 0x1f40 });
            fields(line);
        })
    }

    pub fn alloc(&mut self, kind: &str, module: &[u8], ptr: u64, size: u64) -> u64 {
        self.live.insert(ptr, size);
        self.call("alloc", "cuMemAlloc", "driver", module, |line| {
            line.text("kind", kind.as_bytes()).i64("dev", 0).u64("size", size).hex("ptr", ptr);
        })
    }

    pub fn free(&mut self, kind: &str, module: &[u8], ptr: u64) -> u64 {
        self.live.remove(&ptr);
        self.call("free", "cuMemFree", "driver", module, |line| {
            line.text("kind", kind.as_bytes()).hex("ptr", ptr);
        })
    }

    /// A runtime question with the driver question inside it, and the view beside it.
    pub fn query(&mut self, scenario: &Scenario, free: u64, page_cache: u64) -> u64 {
        let outer = self.now + 900_000;
        let n = self.call("query", "cuMemGetInfo", "driver", CUDART, |line| {
            line.i64("dev", 0).u64("free", free).u64("total", scenario.total);
        });
        self.line(|line, stamp| {
            record::begin(line, "view", stamp).u64("of", n);
            let meminfo = [
                ("MemTotal", scenario.total),
                ("MemFree", free),
                ("MemAvailable", free + page_cache * 9 / 10),
                ("Buffers", page_cache / 16),
                ("Cached", page_cache - page_cache / 16 - page_cache / 32 + scenario.shared),
                ("SReclaimable", page_cache / 32),
                ("SUnreclaim", scenario.kernel),
                ("AnonPages", scenario.anonymous),
                ("Shmem", scenario.shared),
            ];
            let more = [("Hugetlb", scenario.huge_pages), ("CmaFree", scenario.cma_free)];
            let meminfo = meminfo.iter().chain(more.iter().filter(|(_, value)| *value > 0));
            line.numbers("meminfo", meminfo.map(|(name, value)| (name.as_bytes(), *value)));
            line.u64("cgroup_version", 2).text("cgroup_path", scenario.cgroup_path.as_bytes());
            let max = scenario.cgroup_max.map(|max| ("max", max));
            let cgroup = max.into_iter().chain([("current", page_cache / 2)]);
            line.numbers("cgroup", cgroup.map(|(name, value)| (name.as_bytes(), value)));
            line.numbers("self", [(b"rss_anon".as_slice(), scenario.anonymous / 2)].into_iter());
        });
        if let Some(nvml) = scenario.nvml {
            let held: u64 = self.live.values().sum();
            self.line(|line, stamp| {
                record::begin(line, "usage", stamp).u64("of", n).u64("nvml", 0).text("uuid", scenario.uuid.as_bytes());
                line.u64("count", u64::from(nvml.context.is_some()) + u64::from(nvml.others > 0));
                if let Some(context) = nvml.context {
                    line.u64("own", held + context);
                }
                line.u64("others", nvml.others);
                if let Some(total) = nvml.total {
                    line.u64("total", total);
                }
            });
        }
        self.line(|line, stamp| {
            let stamp = Stamp { t: outer, ..*stamp };
            record::begin(line, "query", &stamp);
            let dur = 3_000_000;
            record::call(
                line,
                &Call {
                    name: "cudaMemGetInfo",
                    layer: "runtime",
                    depth: 0,
                    rc: 0,
                    dur,
                    module: RUNTIME,
                    offset: 0xabc,
                },
            );
            line.i64("dev", 0).u64("free", free).u64("total", scenario.total);
        });
        n
    }

    pub fn log(&mut self, text: &str) {
        self.line(|line, stamp| {
            record::begin(line, "log", stamp).text("stream", b"stdout").text("text", text.as_bytes());
        });
    }

    pub fn save(&self, directory: &Path) {
        std::fs::create_dir_all(directory).unwrap();
        std::fs::write(directory.join(format!("spark.{}.77.jsonl", self.pid)), &self.bytes).unwrap();
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Writes the trace of one run and returns the bytes of its KV cache.
pub fn write(scenario: &Scenario, directory: &Path) -> u64 {
    let s = scenario;
    let block = 32 * s.bytes_per_token;
    let temporary = s.temporary_tokens * s.bytes_per_token;
    let host = if s.integrated { s.page_cache + s.anonymous + s.shared + s.kernel + s.huge_pages } else { 0 };
    let free = |device: u64, more: u64| s.total - host - s.untraced - device - if s.integrated { more } else { 0 };

    let argv: [&[u8]; 2] = [b"/usr/bin/python3", b"serve.py"];
    let mut program = File::with_env(4242, 4200, "program", s.host, s.label, "0::/x\n", &argv, s.env);
    program.line(|line, stamp| {
        record::begin(line, "device", stamp).i64("dev", 0).text("name", s.device.as_bytes()).u64("total", s.total);
        line.flag("integrated", s.integrated).u64("cc_major", 12).u64("cc_minor", 1).u64("driver", 13000);
        if !s.uuid.is_empty() {
            line.text("uuid", s.uuid.as_bytes());
        }
    });
    program.query(s, free(0, 0), s.page_cache);
    program.alloc("device", CUDART, 0x1000, s.weights);
    program.query(s, free(s.weights, 0), s.page_cache);
    program.alloc("device", RUNTIME, 0x2000, temporary);
    program.query(s, free(s.weights + temporary, 0), s.page_cache); // A
    program.alloc("device", CUDART, 0x3000, s.transient);
    program.free("device", CUDART, 0x3000);
    let free_b = free(s.weights + temporary, 0);
    program.query(s, free_b, s.page_cache);
    program.free("device", RUNTIME, 0x2000);
    let free_c = free(s.weights, s.growth_before_c);
    program.query(s, free_c, s.page_cache + s.growth_before_c);
    let given = rule::Budget {
        free_after_profile: free_b,
        temporary_pool: temporary,
        transient: s.transient as i64,
        fraction: s.fraction,
    };
    let cut = rule::Blocks { bytes_per_token: s.bytes_per_token, tokens_per_block: 32, round_up: true };
    let pool = rule::final_pool(given.bytes(), s.fraction, free_c, s.user_tokens, cut).unwrap();
    assert!(pool.bytes > block);
    program.alloc("device", RUNTIME, 0x2000, pool.bytes);
    program.save(directory);

    let mut launcher = File::new(4200, 1, "launcher", s.host, s.label, "0::/x\n", &[b"/usr/bin/kvtrace", b"run"]);
    if s.with_log {
        let gib = |bytes: u64| bytes as f64 / GIB as f64;
        launcher.log(&format!(
            "[TRT-LLM] [I] Peak memory during memory usage profiling (torch + non-torch): {:.2} GiB, available KV cache memory when calculating max tokens: {:.2} GiB, fraction is set {}, kv size is {}. device total memory {:.2} GiB, , tmp kv_mem {:.2} GiB",
            gib(given.peak(s.total) as u64),
            gib(given.bytes()),
            s.fraction,
            s.bytes_per_token,
            gib(s.total),
            gib(temporary),
        ));
        if let Some(user) = s.user_tokens {
            launcher.log(&format!("[TRT-LLM] [I] max_tokens={user} is provided, max_memory is set to 1.00 GiB"));
        }
        launcher.log(&format!(
            "[TRT-LLM] [W] Both free_gpu_memory_fraction and max_tokens are set (to {} and {}, respectively). The smaller value will be used.",
            s.fraction, pool.token_target
        ));
        launcher.log("[TensorRT-LLM][INFO] Number of tokens per block: 32.");
        for (bytes, tokens) in [(temporary, s.temporary_tokens), (pool.bytes, pool.tokens)] {
            launcher.log(&format!(
                "[TensorRT-LLM][INFO] [MemUsageChange] Allocated {:.2} GiB for max tokens in paged KV cache ({tokens}).",
                gib(bytes)
            ));
        }
    }
    launcher.line(|line, stamp| {
        record::begin(line, "exit", stamp).u64("child", 4242).u64("code", 0);
    });
    launcher.save(directory);
    pool.bytes
}

/// Adds lines to a written trace.
pub struct More {
    file: std::fs::File,
    n: u64,
    t: u64,
}

impl More {
    pub fn to(run: &Path) -> More {
        let path = run.join("spark.4242.77.jsonl");
        let lines = std::fs::read_to_string(&path).unwrap().lines().count() as u64;
        More { file: OpenOptions::new().append(true).open(path).unwrap(), n: lines, t: 2_000_000_000 }
    }

    pub fn line(&mut self, ev: &str, fields: impl FnOnce(&mut Line)) {
        self.n += 1;
        self.t += 1;
        let mut buffer = [0; MAX_LINE];
        let mut line = Line::new(&mut buffer);
        record::begin(&mut line, ev, &Stamp { n: self.n, t: self.t, pid: 4242, tid: 4242 });
        fields(&mut line);
        self.file.write_all(line.finish()).unwrap();
    }

    pub fn raw(&mut self, ev: &str, fields: &str) {
        self.n += 1;
        self.t += 1;
        let head = format!("{{\"ev\":\"{ev}\",\"n\":{},\"t\":{},\"pid\":4242,\"tid\":4242,", self.n, self.t);
        writeln!(self.file, "{head}{fields}}}").unwrap();
    }

    pub fn fact(&mut self, name: &str, source: &str, text: &str) {
        self.line("fact", |line| {
            line.text("name", name.as_bytes()).text("source", source.as_bytes()).text("text", text.as_bytes());
        });
    }

    pub fn missing(&mut self, what: &str, source: &str, reason: &str) {
        self.line("missing", |line| {
            line.text("what", what.as_bytes()).text("source", source.as_bytes()).text("reason", reason.as_bytes());
        });
    }
}

/// Runs the command: exit code, stdout, stderr.
pub fn kvtrace(directory: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_kvtrace"))
        .args(arguments)
        .current_dir(directory)
        .env_remove("KVTRACE_SHIM")
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

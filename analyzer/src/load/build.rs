//! Records in, a [`Trace`] out.

use super::events::{
    Call, Device, Eviction, FileRead, Layer, LogLine, MemoryEvent, MemoryKind, ModuleIndex, Operation, Patch, Process,
    ProcessIndex, Query, Refused, Trace,
};
use super::machine::{self, Loaded, Stack};
use super::weights;
use kvtrace_trace::event::{self, Event, Record, Stamp};
use std::collections::HashMap;
use std::path::Path;

/// A runtime question and its driver question are written a few lines apart; looking further back costs time for nothing.
const MERGE_WINDOW: usize = 16;
/// As CUDA and HIP number it. A driver refuses for other reasons when a library tries out what it can do.
const OUT_OF_MEMORY: i64 = 2;
/// A program that goes on trying fails many times.
const KEPT_REFUSALS: usize = 1024;

pub struct Builder {
    trace: Trace,
    modules: HashMap<String, ModuleIndex>,
    last_module: ModuleIndex,
    process: ProcessIndex,
    /// Event number of the current file -> query or read that a view may name.
    subjects: HashMap<u64, Subject>,
    /// The last event of the current file, if that was an exec: nothing came back from it.
    exec: Option<Stamp>,
    /// Pid and time of the ends that a launcher saw.
    exits: Vec<(u32, u64, u64)>,
    weights: weights::Reader,
    machine: machine::Reader,
}

#[derive(Clone, Copy)]
enum Subject {
    Query(usize),
    Read(usize),
}

impl Builder {
    pub fn new(directory: &Path) -> Self {
        let trace = Trace { name: directory.display().to_string(), modules: vec![String::new()], ..Trace::default() };
        Builder {
            trace,
            modules: HashMap::from([(String::new(), 0)]),
            last_module: 0,
            process: 0,
            subjects: HashMap::new(),
            exec: None,
            exits: Vec::new(),
            weights: weights::Reader::default(),
            machine: machine::Reader::default(),
        }
    }

    pub fn problem(&mut self, text: String) {
        match self.trace.problems.len() < super::KEPT_PROBLEMS {
            true => self.trace.problems.push(text),
            false => self.trace.more_problems += 1,
        }
    }

    pub fn add(&mut self, record: Record) {
        let stamp = record.stamp;
        self.trace.events += 1;
        if let Some(exec) = self.exec.take()
            && matches!(record.event, Event::Process(_))
        {
            self.end(self.process, exec.t, exec.n);
        }
        match record.event {
            // After an exec the same file goes on with a second header.
            Event::Process(header) => self.process(stamp, header),
            Event::Device(device) => self.trace.devices.push(Device {
                process: self.process,
                n: stamp.n,
                dev: device.dev,
                name: device.name.into(),
                total: device.total,
                integrated: device.integrated,
                driver: device.driver,
                uuid: device.uuid.into(),
            }),
            Event::Query(query) => self.query(stamp, query),
            Event::View(view) => self.view(stamp, view),
            // Beside a sample of the launcher.
            cached @ Event::Cached(event::Cached { of: 0, id: None, .. }) => {
                self.machine.add(&mut self.trace, self.process, stamp, cached);
            }
            Event::Alloc(alloc) if counted(&alloc.layer, alloc.depth, alloc.rc) => {
                let module = self.module(&alloc.module);
                let end = stamp.t.saturating_add(alloc.dur);
                let kind = MemoryKind::of(&alloc.kind);
                let event = self.memory(stamp, end, Operation::Alloc, kind, alloc.ptr);
                self.trace.memory.push(MemoryEvent { size: alloc.size, module, handle: alloc.pool, ..event });
            }
            Event::Alloc(alloc) if alloc.rc == OUT_OF_MEMORY && is_driver(&alloc.layer, alloc.depth) => {
                if MemoryKind::of(&alloc.kind).on_device() && self.trace.refused.len() < KEPT_REFUSALS {
                    let (name, at) = (alloc.name.into(), stamp.t.saturating_add(alloc.dur));
                    let (process, n) = (self.process, stamp.n);
                    self.trace.refused.push(Refused { process, n, at, name, size: alloc.size });
                }
            }
            Event::Alloc(alloc) if alloc.layer == "runtime" && alloc.rc == 0 => {
                let module = self.module(&alloc.module);
                self.name_owner(alloc.ptr, module);
            }
            Event::Free(free) if counted(&free.layer, free.depth, free.rc) => {
                let module = self.module(&free.module);
                let event = self.memory(stamp, stamp.t, Operation::Free, MemoryKind::of(&free.kind), free.ptr);
                self.trace.memory.push(MemoryEvent { module, ..event });
            }
            Event::Map(map) if counted(&map.layer, map.depth, map.rc) => {
                let end = stamp.t.saturating_add(map.dur);
                let event = self.memory(stamp, end, Operation::Map, MemoryKind::Vmm, map.ptr);
                self.trace.memory.push(MemoryEvent { size: map.size, handle: map.handle, ..event });
            }
            Event::Unmap(map) if counted(&map.layer, map.depth, map.rc) => {
                let event = self.memory(stamp, stamp.t, Operation::Unmap, MemoryKind::Vmm, map.ptr);
                self.trace.memory.push(MemoryEvent { size: map.size, ..event });
            }
            Event::Retain(retain) if counted(&retain.layer, retain.depth, retain.rc) => {
                let end = stamp.t.saturating_add(retain.dur);
                let event = self.memory(stamp, end, Operation::Retain, MemoryKind::Vmm, retain.ptr);
                self.trace.memory.push(MemoryEvent { handle: retain.address, ..event });
            }
            Event::Prefetch(prefetch) if counted(&prefetch.layer, prefetch.depth, prefetch.rc) => {
                let end = stamp.t.saturating_add(prefetch.dur);
                let event = self.memory(stamp, end, Operation::Prefetch, MemoryKind::Prefetched, prefetch.ptr);
                let handle = prefetch.dev as u64;
                self.trace.memory.push(MemoryEvent { size: prefetch.size, handle, ..event });
            }
            Event::Exec(_) => self.exec = Some(stamp),
            Event::Pool(pool) => {
                let operation = if pool.gone { Operation::PoolGone } else { Operation::Pool };
                let event = self.memory(stamp, stamp.t, operation, MemoryKind::Reserve, pool.pool);
                self.trace.memory.push(MemoryEvent { size: pool.reserved, handle: pool.dev as u64, ..event });
            }
            Event::File(file) => self.read(stamp, file),
            Event::Log(log) => {
                let line = LogLine { process: self.process, n: stamp.n, at: stamp.t, text: log.text.into() };
                self.trace.logs.push(line);
            }
            Event::Exit(exit) => {
                let text = match (exit.code, exit.signal) {
                    (_, Some(signal)) => format!("process {} was killed by signal {signal}", exit.child),
                    (Some(code), _) => format!("process {} exited with code {code}", exit.child),
                    _ => format!("process {} ended", exit.child),
                };
                self.trace.exits.push(text);
                self.exits.push((exit.child, stamp.t, stamp.n));
            }
            Event::Patch(patch) => {
                // Of a runtime's call and the driver's inside it, which are one question.
                let of = match self.subjects.get(&patch.of) {
                    Some(Subject::Query(at)) => self.trace.queries[*at].n,
                    _ => patch.of,
                };
                let (process, field) = (self.process, patch.field.into());
                self.trace.patches.push(Patch { process, of, field, real: patch.real, reported: patch.reported });
            }
            Event::Evict(evict) => self.trace.evictions.push(Eviction {
                process: self.process,
                n: stamp.n,
                files: evict.files,
                cached: evict.cached,
                left: evict.left,
                skipped: evict.skipped,
            }),
            Event::Dropped(dropped) => self.trace.dropped = self.trace.dropped.saturating_add(dropped.count),
            Event::Warning(warning) => {
                let text = format!("{}: {}", self.trace.evidence(self.process, stamp.n), warning.text);
                self.problem(text);
            }
            Event::Module(module) => {
                let path = self.module(&module.path);
                let (file, build_id) = (module.file.into(), module.build_id.into());
                let (process, n) = (self.process, stamp.n);
                self.trace.seen.loaded.push(Loaded { process, n, module: path, file, build_id });
            }
            Event::Stack(stack) => self.stack(stamp, stack),
            Event::Weights(file) => {
                let host = self.trace.processes.get(self.process as usize).map_or("", |process| &process.host);
                self.weights.file(&mut self.trace.weights, host, self.process, stamp, &file);
            }
            Event::Use(what) => self.weights.used(&mut self.trace.weights, self.process, stamp, &what),
            Event::Cached(cached) => {
                let query = match self.subjects.get(&cached.of) {
                    Some(Subject::Query(at)) => Some(self.trace.queries[*at].n),
                    _ => None,
                };
                self.weights.cached(&mut self.trace.weights, self.process, stamp, query, &cached);
            }
            Event::Config(config) => self.trace.weights.config(self.process, stamp, config),
            other => self.machine.add(&mut self.trace, self.process, stamp, other),
        }
        if let Some(process) = self.trace.processes.get_mut(self.process as usize) {
            process.events += 1;
            process.last = process.last.max(stamp.t);
        }
    }

    /// Puts everything into time order.
    pub fn finish(mut self) -> Trace {
        if let Some(exec) = self.exec.take() {
            self.end(self.process, exec.t, exec.n);
        }
        for (child, at, n) in std::mem::take(&mut self.exits) {
            for index in 0..self.trace.processes.len() {
                let process = &self.trace.processes[index];
                // One that went on afterwards is another of the same number.
                if process.pid == child && !process.launcher && process.last <= at {
                    self.end(index as ProcessIndex, at, n);
                }
            }
        }
        self.trace.memory.sort_by_key(|event| (event.at, event.operation, event.process, event.n));
        self.trace.queries.sort_by_key(|query| (query.begin, query.process, query.n));
        self.trace.logs.sort_by_key(|line| (line.at, line.process, line.n));
        self.trace.reads.sort_by_key(|read| (read.at, read.process, read.n));
        self.trace.weights.sort();
        self.trace.seen.sort();
        self.trace
    }

    fn process(&mut self, stamp: Stamp, header: event::Process) {
        self.subjects.clear();
        self.weights.begin();
        self.machine.begin();
        self.process = self.trace.processes.len() as ProcessIndex;
        self.trace.processes.push(Process {
            pid: stamp.pid,
            ppid: header.ppid,
            forked_from: header.forked_from,
            host: header.host.into(),
            launcher: header.role == "launcher",
            exe: header.exe.into(),
            label: header.label.into(),
            cgroup: header.cgroup.into(),
            argv: header.argv,
            env: header.env,
            begin: stamp.t,
            last: stamp.t,
            wall: header.wall,
            events: 0,
        });
    }

    fn query(&mut self, stamp: Stamp, query: event::Query) {
        let module = self.module(&query.module);
        let layer = match query.layer.as_ref() {
            "driver" => Layer::Driver,
            "runtime" => Layer::Runtime,
            "hip" => Layer::Hip,
            "nvml" => Layer::Nvml,
            _ => Layer::Libc,
        };
        let asked = Call { name: query.name.into(), module, offset: query.offset };
        let end = stamp.t.saturating_add(query.dur);
        if layer == Layer::Runtime
            && let Some(at) = self.driver_query_inside(stamp, end)
        {
            let question = &mut self.trace.queries[at];
            (question.asked, question.depth) = (asked, query.depth);
            // What the program was told: it may have been changed on the way from the driver.
            (question.free, question.total) = (query.free.or(question.free), query.total.or(question.total));
            self.subjects.insert(stamp.n, Subject::Query(at));
            return;
        }
        self.subjects.insert(stamp.n, Subject::Query(self.trace.queries.len()));
        self.trace.queries.push(Query {
            process: self.process,
            n: stamp.n,
            begin: stamp.t,
            end,
            tid: stamp.tid,
            answered: asked.name.clone(),
            asked,
            layer,
            depth: query.depth,
            rc: query.rc,
            dev: query.dev,
            free: query.free,
            total: query.total,
            view: None,
            stack: None,
        });
    }

    /// What a process holds does not outlive it.
    fn end(&mut self, process: ProcessIndex, at: u64, n: u64) {
        let stamp = Stamp { n, t: at, pid: 0, tid: 0 };
        let event = self.memory(stamp, at, Operation::End, MemoryKind::Other, 0);
        self.trace.memory.push(MemoryEvent { process, ..event });
    }

    fn memory(&self, stamp: Stamp, at: u64, operation: Operation, kind: MemoryKind, ptr: u64) -> MemoryEvent {
        MemoryEvent { at, n: stamp.n, ptr, size: 0, handle: 0, process: self.process, module: 0, kind, operation }
    }

    /// The driver's caller is the runtime library; who called that owns the memory.
    fn name_owner(&mut self, ptr: u64, module: ModuleIndex) {
        let process = self.process;
        let recent = self.trace.memory.iter_mut().rev().take(MERGE_WINDOW);
        let inner = recent.take_while(|event| event.process == process).find(|event| event.ptr == ptr);
        if let Some(event) = inner.filter(|event| event.operation == Operation::Alloc) {
            event.module = module;
        }
    }

    /// The inner call ends first, so it stands before the call that encloses it.
    fn driver_query_inside(&self, outer: Stamp, end: u64) -> Option<usize> {
        let from = self.trace.queries.len().saturating_sub(MERGE_WINDOW);
        let inside = |query: &Query| {
            query.process == self.process
                && query.tid == outer.tid
                && query.layer == Layer::Driver
                && query.begin >= outer.t
                && query.end <= end
        };
        (from..self.trace.queries.len()).rev().find(|at| inside(&self.trace.queries[*at]))
    }

    fn view(&mut self, stamp: Stamp, view: event::View) {
        let at = self.trace.views.len();
        match self.subjects.get(&view.of) {
            Some(Subject::Query(query)) => {
                self.trace.queries[*query].view.get_or_insert(at);
            }
            Some(Subject::Read(read)) => {
                self.trace.reads[*read].view.get_or_insert(at);
            }
            None => {}
        }
        let view = self.machine.view(at, self.process, stamp, view);
        self.trace.views.push(view);
    }

    fn stack(&mut self, stamp: Stamp, stack: event::Stack) {
        let at = self.trace.seen.stacks.len();
        if let Some(Subject::Query(query)) = self.subjects.get(&stack.of) {
            self.trace.queries[*query].stack.get_or_insert(at);
        }
        let python = stack.python.into();
        self.trace.seen.stacks.push(Stack { process: self.process, n: stamp.n, python, frames: stack.frames });
    }

    fn read(&mut self, stamp: Stamp, file: event::File) {
        let module = self.module(&file.module);
        self.subjects.insert(stamp.n, Subject::Read(self.trace.reads.len()));
        self.trace.reads.push(FileRead {
            process: self.process,
            n: stamp.n,
            at: stamp.t,
            asked: Call { name: file.name.into(), module, offset: file.offset },
            path: file.path.into(),
            view: None,
        });
    }

    /// Neighbouring events mostly name the same module.
    fn module(&mut self, path: &str) -> ModuleIndex {
        if self.trace.modules[self.last_module as usize] != path {
            self.last_module = match self.modules.get(path) {
                Some(index) => *index,
                None => {
                    let index = self.trace.modules.len() as ModuleIndex;
                    self.trace.modules.push(path.to_owned());
                    self.modules.insert(path.to_owned(), index);
                    index
                }
            };
        }
        self.last_module
    }
}

/// Bytes move where no layer is below, and only when the call succeeded. HIP's functions may call each other, and a
/// driver of CUDA's may be made of them.
fn counted(layer: &str, depth: u32, rc: i64) -> bool {
    rc == 0 && is_driver(layer, depth)
}

fn is_driver(layer: &str, depth: u32) -> bool {
    layer == "driver" || layer == "hip" && depth == 0
}

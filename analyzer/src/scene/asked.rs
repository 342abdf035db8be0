//! Who asked: the line of Python and the native function.

use crate::load::Trace;
use crate::load::events::Query;
use crate::symbols::{Native, Symbols};
use kvtrace_trace::event::Frame;
use serde::Serialize;

/// Frames of these only pass a question on. Parts of a path.
const PASSING_ON: [&str; 12] = [
    "/torch/",
    "/cuda/bindings/",
    "/cuda/core/",
    "/cuda/cuda.",
    "/cupy/",
    "/pycuda/",
    "/numba/",
    "/pynvml",
    "/psutil/",
    "/contextlib.py",
    "/functools.py",
    "<frozen",
];

#[derive(Debug, Serialize)]
pub struct Asked {
    /// `cudaMemGetInfo -> cuMemGetInfo`.
    pub function: String,
    /// The innermost line of the application, if it runs Python.
    pub line: Option<Line>,
    /// Innermost first.
    pub stack: Vec<Line>,
    /// Event that holds the stack.
    pub stack_evidence: Option<String>,
    /// Version of CPython.
    pub python: Option<String>,
    /// Why there is no stack, where the trace says so.
    pub no_stack: Option<String>,
    pub native: Native,
}

/// One frame.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    pub file: String,
    /// 0 if it was not to be found out.
    pub line: u32,
    pub function: String,
    /// Whether it only passes the question on.
    pub passes_on: bool,
}

/// `cudaMemGetInfo -> cuMemGetInfo`
pub fn function(query: &Query) -> String {
    match query.asked.name == query.answered {
        true => query.answered.clone(),
        false => format!("{} -> {}", query.asked.name, query.answered),
    }
}

pub fn of(trace: &Trace, symbols: &Symbols, query: &Query) -> Asked {
    let written = query.stack.and_then(|at| trace.seen.stacks.get(at));
    let stack = stack(trace, query);
    let no_stack = match stack.is_empty() {
        true => trace.seen.reason(query.process, "stack").map(super::reason),
        false => None,
    };
    Asked {
        function: function(query),
        line: headline(&stack).cloned(),
        stack_evidence: written.map(|stack| trace.evidence(stack.process, stack.n)),
        python: written.map(|stack| stack.python.clone()),
        stack,
        no_stack,
        native: symbols.native(trace, query.process, &query.asked),
    }
}

/// The frames of the query's stack.
pub fn stack(trace: &Trace, query: &Query) -> Vec<Line> {
    let stack = query.stack.and_then(|at| trace.seen.stacks.get(at));
    stack.map(|stack| stack.frames.iter().map(line).collect()).unwrap_or_default()
}

/// The innermost frame that does not only pass the question on; if all do, the innermost.
pub fn headline(stack: &[Line]) -> Option<&Line> {
    stack.iter().find(|line| !line.passes_on).or(stack.first())
}

fn line(frame: &Frame) -> Line {
    let passes_on = PASSING_ON.iter().any(|part| frame.file.contains(part)) || frame.file == "<string>";
    Line { file: frame.file.clone(), line: frame.line, function: frame.func.clone(), passes_on }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(file: &str) -> Line {
        line(&Frame { file: file.into(), line: 7, func: "f".into() })
    }

    #[test]
    fn the_application_is_named_not_the_binding() {
        let site = "/usr/lib/python3.12/site-packages";
        let stack = [
            frame(&format!("{site}/torch/cuda/memory.py")),
            frame(&format!("{site}/tensorrt_llm/_torch/pyexecutor/_util.py")),
            frame("/app/serve.py"),
        ];
        assert!(headline(&stack).unwrap().file.ends_with("pyexecutor/_util.py"));
        assert!(headline(&stack[..1]).unwrap().file.ends_with("torch/cuda/memory.py"));
        assert!(headline(&[]).is_none());
    }
}

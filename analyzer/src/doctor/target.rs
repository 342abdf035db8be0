//! Whether the preload can get into a program. Its file is read; it is never started.

use super::elf::{self, Program};
use super::finding::Finding;
use super::machine::shown;
use crate::run::preload;
use std::ffi::{CString, OsStr};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A script may name a script; the kernel itself gives up after four.
const MOST_SCRIPTS: usize = 5;
/// They hand the work to a service, which starts programs in an environment of its own.
const CLIENTS: [&str; 12] = [
    "docker",
    "podman",
    "nerdctl",
    "kubectl",
    "ssh",
    "systemd-run",
    "flatpak",
    "snap",
    "srun",
    "sbatch",
    "machinectl",
    "incus",
];
const SHELLS: [&str; 6] = ["sh", "bash", "dash", "zsh", "ksh", "fish"];
const UNTRACED: &str = "The loader preloads nothing into it, so the program would run untraced.";

/// Every finding about the program that `command` starts. `needs` is the glibc that the preload needs.
pub fn findings(command: &OsStr, needs: Option<&str>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let Some(mut path) = preload::on_path(command) else {
        let found = format!("{}: no such program", command.display());
        let why = "There is nothing to trace.";
        return vec![Finding::problem("target.program", found, why, "check the name, PATH and the file's mode")];
    };
    for _ in 0..MOST_SCRIPTS {
        findings.extend(client(&path));
        let Some(interpreter) = script(&path) else { break };
        let Some(next) = preload::on_path(&interpreter) else {
            let found = format!("{}: a script for {}, which is not there", shown(&path), interpreter.display());
            let why = "The kernel does not start a script without its interpreter.";
            findings.push(Finding::problem(
                "target.script",
                found,
                why,
                "install it, or correct the script's first line",
            ));
            return findings;
        };
        findings.push(handed_on(&path, &next));
        path = next;
    }
    findings.push(privileges(&path));
    match elf::read(&path) {
        Err(reason) => {
            findings.push(Finding::unknown("target.program", format!("{}: {reason}", shown(&path)), UNTRACED));
        }
        Ok(program) => findings.extend(loadable(&path, &program, needs)),
    }
    findings
}

fn handed_on(script: &Path, interpreter: &Path) -> Finding {
    let found = format!("{}: a script for {}, which hands the preload on", shown(script), shown(interpreter));
    let name = interpreter.file_name().unwrap_or_default().to_string_lossy().into_owned();
    match SHELLS.contains(&name.as_str()) {
        true => Finding::note(
            "target.script",
            found,
            "Which programs a shell script starts cannot be told from its file: each may or may not load a preload.",
            "look at the program that it starts: kvtrace doctor -- PROGRAM",
        ),
        false => Finding::ok("target.script", found),
    }
}

/// The interpreter of a script: what its first line names, or what `env` there would look for.
fn script(path: &Path) -> Option<std::ffi::OsString> {
    let mut head = [0; 256];
    let length = std::fs::File::open(path).and_then(|mut file| file.read(&mut head)).ok()?;
    let line = head.get(..length)?.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let mut words = line.split(|byte| byte.is_ascii_whitespace()).filter(|word| !word.is_empty());
    let interpreter = words.next()?;
    if Path::new(OsStr::from_bytes(interpreter)).file_name() != Some(OsStr::new("env")) {
        return Some(OsStr::from_bytes(interpreter).to_owned());
    }
    let named = words.find(|word| !word.starts_with(b"-") && !word.contains(&b'='));
    Some(OsStr::from_bytes(named.unwrap_or(interpreter)).to_owned())
}

fn client(path: &Path) -> Option<Finding> {
    let name = path.file_name()?.to_str()?;
    CLIENTS.contains(&name).then(|| {
        Finding::note(
            "target.client",
            format!("{name} asks a service to start the program"),
            "What the service starts does not get this environment, and so not the preload.",
            match name {
                "docker" | "podman" | "nerdctl" => "scripts/capture-docker, or the recipes of docs/install.md",
                _ => "set LD_PRELOAD and KVTRACE_OUT where the program runs: kvtrace env",
            },
        )
    })
}

fn privileges(path: &Path) -> Finding {
    let check = "target.privileges";
    let mode = std::fs::metadata(path).map(|metadata| metadata.mode()).unwrap_or(0);
    if mode & (libc::S_ISUID | libc::S_ISGID) != 0 {
        return Finding::problem(
            check,
            format!("{} changes its user or group when it starts", shown(path)),
            "The loader ignores LD_PRELOAD where a program gains rights.",
            "trace the server itself: sudo kvtrace run ..., not kvtrace run -- sudo ...",
        );
    }
    match (has_capabilities(path), is_root()) {
        (false, _) => Finding::ok(check, "the program gains no rights when it starts"),
        (true, true) => Finding::note(
            check,
            format!("{} has capabilities, which root has anyway", shown(path)),
            "For any other user the loader ignores LD_PRELOAD.",
            "run it as root, or remove them",
        ),
        (true, false) => Finding::problem(
            check,
            format!("{} has capabilities", shown(path)),
            "The loader ignores LD_PRELOAD where a program gains rights.",
            format!("trace a copy without them: cp {} /tmp/", shown(path)),
        ),
    }
}

fn has_capabilities(path: &Path) -> bool {
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else { return false };
    // SAFETY: C strings; with no room given, the kernel only says how long the value is.
    unsafe { libc::getxattr(path.as_ptr(), c"security.capability".as_ptr(), std::ptr::null_mut(), 0) > 0 }
}

fn is_root() -> bool {
    // SAFETY: has no preconditions.
    unsafe { libc::geteuid() == 0 }
}

fn loadable(path: &Path, program: &Program, needs: Option<&str>) -> Vec<Finding> {
    let check = "target.program";
    let shown = shown(path);
    let problem = |found: String, why: &str, remedy: &str| vec![Finding::problem(check, found, why, remedy)];
    if program.machine != elf::OURS {
        let found = format!("{shown} is for {}, the preload for {}", program.machine, elf::OURS);
        return problem(found, UNTRACED, "use the kvtrace of that machine");
    }
    let Some(interpreter) = &program.interpreter else {
        let found = match program.go {
            true => format!("{shown} is a Go program, statically linked"),
            false => format!("{shown} is statically linked"),
        };
        let remedy = match program.go {
            true => "trace the runner that it starts, or build it with CGO_ENABLED=1",
            false => "trace a dynamically linked program",
        };
        return problem(found, UNTRACED, remedy);
    };
    if interpreter.to_string_lossy().contains("ld-musl") {
        let found = format!("{shown} is linked with musl");
        let why = "The preload needs glibc: the program would not start with it.";
        return problem(found, why, "use an image with glibc, such as Debian's or Ubuntu's");
    }
    let mut findings = vec![Finding::ok(check, format!("{shown}: {}, dynamically linked", program.machine))];
    if program.go {
        let why =
            "Go reads files by system calls of its own, so what it reads of memory figures does not show; CUDA's do.";
        findings.push(Finding::note("target.go", format!("{shown} is a Go program"), why, ""));
    }
    findings.push(libc_version(interpreter, needs));
    findings
}

/// The glibc that the program's own loader will load: it lies beside it.
fn libc_version(interpreter: &Path, needs: Option<&str>) -> Finding {
    let check = "target.libc";
    let why = "A preload that needs a newer glibc is not skipped: the program does not start.";
    let Ok(loader) = interpreter.canonicalize() else {
        let found = format!("its loader {} is not there", shown(interpreter));
        return Finding::problem(check, found, "Without its loader the program does not start.", "install its libc");
    };
    let folder = loader.parent().unwrap_or(Path::new("/")).to_owned();
    let multiarch = format!("/lib/{}-linux-gnu", std::env::consts::ARCH);
    let places = [folder, PathBuf::from(multiarch), PathBuf::from("/lib64")];
    let version = places.iter().find_map(|folder| elf::provides(&folder.join("libc.so.6")));
    match (version, needs) {
        (Some(version), Some(needs)) if elf::older(&version, needs) => {
            let found = format!("glibc {version}; the preload needs {needs}");
            Finding::problem(check, found, why, "use the released preload, or build it with scripts/build")
                .with("glibc", version)
        }
        (Some(version), Some(needs)) => {
            Finding::ok(check, format!("glibc {version}; the preload needs {needs}")).with("glibc", version)
        }
        (Some(version), None) => Finding::ok(check, format!("glibc {version}")).with("glibc", version),
        (None, _) => Finding::unknown(check, format!("no libc.so.6 beside {} tells its version", shown(&loader)), why),
    }
}

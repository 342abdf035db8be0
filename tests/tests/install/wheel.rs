use crate::{answer, finding};
use kvtrace_tests::{Bench, have, kit, run, skip};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What `scripts/package` made; skipped aloud if it did not, or before the last build.
pub fn package(ending: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/package");
    let found = std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let found = found.into_iter().find(|path| path.to_string_lossy().ends_with(ending));
    let Some(found) = found else {
        skip(&format!("the installed {ending}: run scripts/package (it needs maturin and zig from PyPI)"));
        return None;
    };
    let preload = std::fs::read(folder.join("wheel.data/data/lib/kvtrace/libkvtrace.so")).unwrap_or_default();
    if preload != std::fs::read(kit("lib/libkvtrace.so")).unwrap() {
        skip(&format!("the installed {ending}: it is older than the build: run scripts/package"));
        return None;
    }
    Some(found)
}

/// The demo from an unrelated directory, and `doctor`.
fn works(bench: &Bench, bin: &Path) {
    let kvtrace = bin.join("kvtrace");
    let plain = |program: &Path| {
        let mut command = Command::new(program);
        command.current_dir("/").env_remove("LD_LIBRARY_PATH").env_remove("PYTHONPATH");
        command
    };
    let output = run(plain(&kvtrace).args(["demo", "--fill", "0.125"]));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("The KV cache of B is"), "{text}");
    let (code, report) =
        answer(plain(&kvtrace).args(["doctor", "--json", "-o"]).arg(bench.path("trace")).args(["--", "cat"]));
    assert_eq!(code, Some(0), "{report:#}");
    let shim = String::from_utf8(run(plain(&kvtrace).arg("shim-path")).stdout).unwrap();
    assert!(finding(&report, "preload.file")["found"].as_str().unwrap().contains(shim.trim()), "{report:#}");
    let prefix = bin.parent().unwrap().canonicalize().unwrap();
    assert!(shim.starts_with(prefix.to_str().unwrap()), "{shim}");
}

/// Every file and folder below one, Python's own caches left out.
fn listing(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut todo = vec![folder.to_owned()];
    while let Some(folder) = todo.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_name() == "__pycache__" {
                continue;
            }
            if entry.file_type().unwrap().is_dir() {
                todo.push(entry.path());
            }
            found.push(entry.path());
        }
    }
    found.sort();
    found
}

#[test]
fn the_wheel_works_in_a_fresh_environment_and_leaves_nothing() {
    let Some(wheel) = package(".whl") else { return };
    if !have("python3", "the installed wheel") {
        return;
    }
    let bench = Bench::new_in("/var/tmp");
    let venv = bench.path("venv");
    run(Command::new("python3").args(["-m", "venv"]).arg(&venv));
    let before = listing(&venv);
    let pip = |arguments: &[&str]| {
        let mut command = Command::new(venv.join("bin/pip"));
        command.args(arguments).env("PIP_DISABLE_PIP_VERSION_CHECK", "1");
        command
    };
    run(pip(&["install", "-q", "--no-index", "--no-deps"]).arg(&wheel));
    works(&bench, &venv.join("bin"));
    run(&mut pip(&["uninstall", "-q", "-y", "kvtrace"]));
    assert_eq!(listing(&venv), before);
}

#[test]
fn the_tarball_works_where_it_is_unpacked() {
    let Some(tarball) = package(".tar.gz") else { return };
    let bench = Bench::new_in("/var/tmp");
    run(Command::new("tar").arg("-C").arg(bench.path("")).arg("-xzf").arg(&tarball));
    let folder = std::fs::read_dir(bench.path("")).unwrap().next().unwrap().unwrap().path();
    works(&bench, &folder.join("bin"));
    let doc = folder.join("share/doc/kvtrace");
    for file in ["LICENSE-MIT", "LICENSE-APACHE", "THIRD-PARTY.txt", "README.md", "install.md"] {
        assert!(doc.join(file).metadata().is_ok_and(|file| file.len() > 100), "{file}");
    }
    assert!(folder.join("share/man/man1/kvtrace-doctor.1").exists());
    let sums = tarball.parent().unwrap();
    run(Command::new("sha256sum").args(["--quiet", "-c", "SHA256SUMS"]).current_dir(sums));
}

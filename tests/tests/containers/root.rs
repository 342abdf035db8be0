use kvtrace_tests::kit;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the scripts inside call.
const APPLETS: [&str; 8] = ["sh", "env", "true", "sleep", "mount", "umount", "mkdir", "poweroff"];

/// Makes a root file system at `root`: busybox, the workload and the simulated GPU below `/kit`, and the libraries of
/// this machine that they need. Weights are mounted at `/weights`.
pub fn make(root: &Path) {
    for folder in ["bin", "kit/sim", "proc", "sys", "dev", "weights", "out", "etc", "tmp"] {
        std::fs::create_dir_all(root.join(folder)).unwrap();
    }
    std::fs::set_permissions(root.join("tmp"), PermissionsExt::from_mode(0o1777)).unwrap();
    put(&kit("bin/kvtrace-workload"), &root.join("kit/kvtrace-workload"), root);
    put(&kit("lib/libkvtrace.so"), &root.join("kit/libkvtrace.so"), root);
    for library in std::fs::read_dir(kit("lib/sim")).unwrap() {
        let library = library.unwrap().path();
        put(&library, &root.join("kit/sim").join(library.file_name().unwrap()), root);
    }
    if let Some(busybox) = program("busybox") {
        put(&busybox, &root.join("bin/busybox"), root);
        for applet in APPLETS {
            symlink("busybox", root.join("bin").join(applet)).unwrap();
        }
    }
    // busybox has its own, which knows no control group namespaces: call this one by its path.
    if let Some(unshare) = program("unshare") {
        put(&unshare, &root.join("bin/unshare"), root);
    }
}

/// A program of PATH.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.is_file())
}

/// Copies a file, and the libraries that the loader finds for it to where it finds them.
fn put(file: &Path, to: &Path, root: &Path) {
    std::fs::copy(file, to).unwrap();
    // Fails for what is statically linked.
    let output = Command::new("ldd").arg(file).output().expect("ldd runs");
    let text = String::from_utf8(output.stdout).unwrap();
    for library in text.split_whitespace().filter(|word| word.starts_with('/')) {
        let copy = root.join(library.trim_start_matches('/'));
        std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
        std::fs::copy(library, copy).unwrap();
    }
}

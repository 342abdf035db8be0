use crate::{Leaves, Row, check};
use kvtrace_tests::skip;
use std::process::Command;

/// What a run of Python's tests says that has no time, no address and no process in it.
fn summary(line: &str) -> bool {
    ["Total tests:", "Result:", "FAIL:", "ERROR:", "OK", "FAILED"].iter().any(|start| line.starts_with(start))
}

const fn tests(name: &'static str, script: &'static str) -> Row {
    // They ask for the machine's memory, and some of them measure time.
    Row { name, needs: &["python3"], script, leaves: Leaves::Answers, keep: summary, attempts: 3 }
}

const ROWS: &[Row] = &[
    tests("test_os", "python3 -m test test_os"),
    tests("test_ctypes", "python3 -m test test_ctypes"),
    tests("test_threading", "python3 -m test test_threading -m ThreadTests"),
    tests(
        "test_subprocess",
        "python3 -m test test_subprocess -m RunFuncTestCase -m 'test_*fd*' -m 'test_*std*' -m 'test_*env*' -m 'test_*preexec*'",
    ),
    // The files that run these under each way to start workers are not part of every installation.
    tests(
        "test_multiprocessing",
        r#"for way in fork spawn; do cat >t_$way.py <<P
import sys, test._test_multiprocessing as t
t.install_tests_in_module_dict(globals(), '$way')
if __name__ == '__main__': import unittest; unittest.main()
P
python3 t_$way.py WithProcessesTestProcess.test_process WithProcessesTestQueue.test_fork WithProcessesTestPool.test_map WithProcessesTestConnection.test_fd_transfer WithProcessesTestSharedMemory
done"#,
    ),
];

/// Protects: what Python promises about processes, descriptors, threads and foreign functions.
#[test]
fn python_s_own_tests_do_the_same() {
    let installed = Command::new("python3").args(["-c", "import test.test_os, test._test_multiprocessing"]).output();
    if !installed.is_ok_and(|output| output.status.success()) {
        skip("CPython's own tests: this python3 comes without them");
        return;
    }
    check(ROWS);
}

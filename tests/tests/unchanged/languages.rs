use crate::Leaves::{Answers, Nothing};
use crate::{Row, check, row};

const ROWS: &[Row] = &[
    row(
        "perl",
        &["perl"],
        Nothing,
        r#"perl -e 'my $p = fork; if (!$p) { print "child\n"; exit 3 } waitpid $p, 0; print $? >> 8, "\n"; print `fds`; open my $f, "<", "/no" or print "$!\n"; local $SIG{ALRM} = sub { die "alarm\n" }; eval { alarm 1; select undef, undef, undef, 5 }; print $@; print join(",", sort map { $_ * 2 } 1..9), "\n"; exec "sh", "-c", "exit 4"'; echo $?"#,
    ),
    row(
        "python",
        &["python3"],
        Nothing,
        r#"python3 - <<'P'
import os, socket, subprocess, sys, tempfile, threading, ctypes
print(sorted(os.listdir('/proc/self/fd'))[:3], os.path.exists('/proc/self/fd/512'))
print(subprocess.run(['fds'], capture_output=True, text=True).stdout)
print(subprocess.run(['fds'], close_fds=False, capture_output=True, text=True).stdout)
a, b = socket.socketpair(); a.send(b'x'); print(b.recv(1), a.fileno(), b.fileno())
with tempfile.TemporaryFile() as f: print(f.fileno())
out = []; ts = [threading.Thread(target=out.append, args=(n,)) for n in range(50)]
[t.start() for t in ts]; [t.join() for t in ts]; print(sorted(out))
libc = ctypes.CDLL(None, use_errno=True); print(libc.open(b'/no', 0), ctypes.get_errno(), hasattr(libc, 'cuInit'))
try: libc.cudaMalloc
except AttributeError as e: print(str(e).split(':')[-1])
pid = os.fork()
if not pid: os._exit(7)
print(os.waitpid(pid, 0)[1] >> 8); sys.exit(5)
P
echo $?; { python3 -c 'import os; os.closerange(3, 2000); os.abort()'; } 2>/dev/null; echo $?"#,
    ),
    row(
        "python sqlite3",
        &["python3"],
        Nothing,
        r#"python3 -c 'import sqlite3; c = sqlite3.connect("d.db"); c.execute("create table t (a, b)"); c.executemany("insert into t values (?, ?)", [(n, n * n) for n in range(999)]); c.commit(); print(c.execute("select sum(a), max(b) from t").fetchall())'; md5sum <d.db"#,
    ),
    row(
        "sqlite3",
        &["sqlite3"],
        Nothing,
        r#"sqlite3 d.db "create table t (a); insert into t values (1), (2); select sum(a) from t; pragma integrity_check;" '.shell fds' 'select nope'; echo $?; md5sum <d.db"#,
    ),
    row(
        "node",
        &["node"],
        Answers,
        r#"node -e 'const fs = require("fs"), c = require("child_process"), z = require("zlib"), h = require("crypto");
        console.log(c.execFileSync("fds").toString()); console.log(h.createHash("sha256").update(z.deflateSync("x".repeat(99999))).digest("hex"));
        fs.writeFileSync("f", "text"); try { fs.readFileSync("/no") } catch (e) { console.log(e.code) }
        fs.promises.readFile("f", "utf8").then(t => { console.log(t); c.exec("kill -9 $$", e => { console.log(e.signal); process.exit(6) }) })'; echo $?; node -e 'throw 1' 2>/dev/null; echo $?"#,
    ),
    row(
        "npm",
        &["npm"],
        Answers,
        "npm --version; npm --offline config get prefix; npm no-such-command >/dev/null 2>&1; echo $?",
    ),
    row(
        "java",
        &["java", "javac"],
        Answers,
        r#"cat >A.java <<'J'
import java.nio.file.*;
public class A { public static void main(String[] a) throws Exception {
  System.out.println(new String(new ProcessBuilder("fds").start().getInputStream().readAllBytes()));
  Files.writeString(Path.of("f"), "text"); System.out.println(Files.readString(Path.of("f")));
  int[] n = {0}; Thread[] t = new Thread[20]; for (int i = 0; i < 20; i++) { t[i] = new Thread(() -> { synchronized (n) { n[0]++; } }); t[i].start(); } for (Thread x : t) x.join();
  System.out.println(n[0]); Runtime.getRuntime().addShutdownHook(new Thread(() -> System.out.println("hook"))); System.exit(7); } }
J
javac A.java && java -Xmx64m A; echo $?; java -version 2>&1 | head -n 1; java NoSuch; echo $?"#,
    ),
];

/// Protects: interpreters and virtual machines, with their own signals, threads, forks and descriptors.
#[test]
fn languages_do_the_same() {
    check(ROWS);
}

use crate::Leaves::{Answers, Nothing};
use crate::{Row, check, row};

const ROWS: &[Row] = &[
    row(
        "git",
        &["git"],
        Nothing,
        r#"export GIT_AUTHOR_DATE=@1700000000+0000 GIT_COMMITTER_DATE=@1700000000+0000 GIT_CONFIG_NOSYSTEM=1
        export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=c GIT_COMMITTER_EMAIL=c@d
        git init -q -b main r && cd r && seq 1 500 >f && git add f && git commit -qm one && seq 2 501 >f
        git commit -qam two && git log --stat --format=%H%n%B && git diff HEAD~ | md5sum && git fsck --full && git gc -q
        git -c alias.d='!fds' d; git checkout -q nothing; echo $?; git blame f | tail -n 1; git status --short"#,
    ),
    row(
        "gcc",
        &["gcc"],
        Answers,
        r#"printf '#include <stdio.h>\nint main(void) { printf("%%d\\n", 6 * 7); return 3; }\n' >a.c
        gcc -O2 -Wall -o a a.c && ./a; echo $?; gcc -O2 -S -o - a.c | md5sum; echo 'int x = ;' >b.c; gcc -c b.c; echo $?"#,
    ),
    row(
        "g++",
        &["g++"],
        Answers,
        r#"printf '#include <iostream>\n#include <stdexcept>\n#include <thread>\nint main() { try { throw std::runtime_error("thrown"); } catch (std::exception &e) { std::cout << e.what() << "\\n"; } int n = 0; std::thread t([&] { n = 5; }); t.join(); return n; }\n' >a.cc
        g++ -O1 -pthread -o a a.cc && ./a; echo $?; printf 'int main() { throw 1; }' >b.cc; g++ -o b b.cc; { ./b; } 2>/dev/null; echo $?"#,
    ),
    row(
        "make",
        &["make"],
        Nothing,
        "printf 'all: a b\\n\\techo all; fds\\na b:\\n\\t@touch $@\\nbad:\\n\\texit 4\\n.PHONY: all\\n' >Makefile; make -j2 --no-print-directory; make -k bad; echo $?",
    ),
    row(
        "ld and objdump",
        &["as", "ld", "objdump", "ar", "nm"],
        Nothing,
        r#"printf '.globl _start\n_start: mov $60, %%eax\nmov $7, %%edi\nsyscall\n' >a.s; as -o a.o a.s && ld -o a a.o && ./a; echo $?
        objdump -d a | tail -n 4; ar rcD a.a a.o; nm a.a; readelf -h a | md5sum; ld -o b /no.o; echo $?"#,
    ),
    row(
        "cargo build",
        &["cargo", "cc"],
        Answers,
        r#"mkdir -p c/src && cd c && printf '[package]\nname = "c"\nversion = "0.1.0"\nedition = "2021"\n[workspace]\n' >Cargo.toml
        printf 'fn main() { let h: Vec<_> = (0..4).map(|n| std::thread::spawn(move || n * n)).collect(); for h in h { println!("{}", h.join().unwrap()); } let end = std::process::Command::new("fds").status(); std::process::exit(end.unwrap().code().unwrap() + 8) }' >src/main.rs
        cargo build -q --offline && target/debug/c; echo $?; echo 'fn main() { 1 }' >src/main.rs; cargo build -q --offline; echo $?; rm -rf target"#,
    ),
];

/// Protects: what compiles and links while it serves: extensions, kernels, and just-in-time builds.
#[test]
fn compilers_do_the_same() {
    check(ROWS);
}

use crate::Leaves::{Answers, Nothing};
use crate::{Row, check, row};

/// Many lines that are the same each time.
macro_rules! with_lines {
    ($script:literal) => {
        concat!("seq 1 20000 | awk '{ print ($1 * 7919) % 20011, \"line\", $1 }' >lines\n", $script)
    };
}

const ROWS: &[Row] = &[
    row(
        "bash",
        &["bash"],
        Nothing,
        r#"f() { local -a a=(1 2 3); echo "${a[@]/2/two}"; return 4; }; f; echo $?
        trap 'echo trapped' USR1; kill -USR1 $$; exec 7<>pipe-file; fds; exec 7>&-
        cat <(echo one) <(echo two) | while read -r x; do echo "got $x"; done
        (exit 9) || echo "left $?"; ls /proc/self/fd | wc -l; timeout 0.2 sleep 9; echo $?
        sleep 9 & kill -TERM $!; wait $!; echo $?; no-such-program; echo $?; coproc cat; echo co >&"${COPROC[1]}"
        read -r x <&"${COPROC[0]}"; echo "$x"; ulimit -n 64; fds; exit 3"#,
    ),
    row("sh", &["sh"], Nothing, "sh -c 'fds; echo $((6*7)) | cat; exit 5'; echo $?; { sh -c 'kill -9 $$'; } 2>/dev/null; echo $?"),
    row(
        "find and xargs",
        &["find", "xargs"],
        // Of sort.
        Answers,
        "mkdir -p a/b/c; touch a/1 a/b/2 'a/b/c/3 4'; find a -type f -print0 | sort -z | xargs -0 -n1 -P1 ls -1
        find a -name 1 -exec fds \\; ; echo x | xargs fds; find a/no; echo $?",
    ),
    row("sort", &["sort"], Answers, with_lines!("sort -n lines | md5sum; sort -u -S 1M --parallel=2 lines | md5sum; sort /no")),
    row(
        "awk and sed",
        &["awk", "sed"],
        Nothing,
        with_lines!(
            "awk '{ s[$1 % 7] += $3 } END { for (i = 0; i < 7; i++) print i, s[i]; system(\"fds\"); exit 6 }' lines; echo $?
            sed -n -e 's/line/LINE/;10,12p' lines; sed --in-place s/line/x/ lines; md5sum <lines; sed k/; echo $?"
        ),
    ),
    row("tar", &["tar"], Nothing, with_lines!(
        "mkdir d; cp lines d; ln -s lines d/link; tar --mtime=@0 --sort=name --owner=0 --group=0 -cf a.tar d; md5sum <a.tar
        tar --to-command=fds -xf a.tar d/lines; mkdir e; tar -C e -xf a.tar; diff -r d e; tar xf /no; echo $?"
    )),
    row("gzip", &["gzip"], Nothing, with_lines!("gzip -nk lines; md5sum <lines.gz; gzip -t lines.gz; zcat lines.gz | cmp - lines; gzip -d </dev/null; echo $?")),
    row("xz", &["xz"], Answers, with_lines!("xz -T2 -k lines; md5sum <lines.xz; xz -dc lines.xz | cmp - lines; xz -t /no; echo $?")),
    row("openssl", &["openssl"], Nothing, with_lines!(
        "openssl dgst -sha256 lines; openssl enc -aes-256-cbc -K 00 -iv 00 -in lines 2>&1 | md5sum; openssl dgst -no 2>/dev/null; echo $?"
    )),
    row("curl", &["curl"], Nothing, with_lines!("curl -s \"file://$PWD/lines\" | md5sum; curl -sS file:///no/such; echo $?")),
    row("coreutils", &["dd", "stat", "split"], Nothing, with_lines!(
        "dd if=lines of=copy bs=999 status=none; cmp lines copy; split -n 3 lines part; md5sum part*; stat -c '%s %a' lines
        tail -n 2 lines; paste lines lines | head -n 2; join /no /no; echo $?; env -u HOME fds; nice -n 1 fds; tee t <lines | md5sum"
    )),
    row("diff and patch", &["diff", "patch"], Nothing, with_lines!("sed s/11/eleven/ lines >new; diff -u0 --label a --label b lines new >p; wc -l <p; patch -s lines p; cmp lines new; echo $?")),
];

/// Protects: everything around a serving runtime that its launchers are made of.
#[test]
fn shells_and_their_tools_do_the_same() {
    check(ROWS);
}

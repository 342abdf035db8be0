//! `kvtrace report` in a browser: what it asks for, whether everybody can read it, and whether what is drawn is what is
//! written.

mod checks;

use kvtrace_tests::browser::Browser;
use kvtrace_tests::{Bench, kit, run};
use std::path::PathBuf;

/// Script, markup, terminal control, a mark that turns the order of letters round.
const HOSTILE: &str = "</title><script>window.hacked=1</script><img src=x onerror=window.hacked=1>\u{1b}[31m\u{202e}";

/// Two runs of the workload, the second with more in the page cache, and one page for each way to report on them.
struct Pages {
    bench: Bench,
}

impl Pages {
    fn make() -> Pages {
        // Files in a tmpfs are no page cache.
        let pages = Pages { bench: Bench::new_in("/var/tmp") };
        for (side, fill) in [("native", "64MiB"), ("container", "512MiB")] {
            for at in 0..3 {
                pages.workload(&["fill-page-cache", "fill.bin", "--bytes", fill]);
                pages.serve(&format!("{side}/{at}"), side, &[]);
                pages.workload(&["drop-page-cache", "fill.bin"]);
                std::fs::remove_file(pages.bench.path("fill.bin")).unwrap();
            }
        }
        let workload = kit("bin/kvtrace-workload").display().to_string();
        let arms = [
            "--arm",
            "baseline",
            "--arm",
            "less: patch=free=-5GiB",
            "--arm",
            "vague: argument=--fraction argument=0.8",
        ];
        let mut experiment = pages.bench.plain(kit("bin/kvtrace"));
        run(experiment
            .args(["experiment", "-o", "answer", "--repetitions", "3"])
            .args(arms)
            .args(["--", &workload, "serve"]));
        pages
    }

    fn workload(&self, arguments: &[&str]) {
        run(self.bench.plain(kit("bin/kvtrace-workload")).args(arguments));
    }

    fn serve(&self, out: &str, label: &str, more: &[&str]) {
        let workload = kit("bin/kvtrace-workload");
        std::fs::create_dir_all(self.bench.path(out)).unwrap();
        let mut command = self.bench.plain(kit("bin/kvtrace"));
        command.args(["run", "--quiet", "-o", out, "--label", label, "--sample", "10ms", "--", "sh", "-c"]);
        command.arg(format!("exec {} serve --model deepseek-7b", workload.display())).args(more);
        run(&mut command);
    }

    fn report(&self, name: &str, inputs: &[&str]) -> PathBuf {
        let page = self.bench.path(name).with_extension("html");
        run(self.bench.plain(kit("bin/kvtrace")).arg("report").args(inputs).arg("-o").arg(&page));
        page
    }

    fn all(&self) -> Vec<PathBuf> {
        vec![
            self.report("one", &["native/0"]),
            self.report("two", &["native/0", "container/0"]),
            self.report("groups", &["native", "container"]),
            self.report("fleet", &["--fleet", "."]),
            self.report("many", &["native/0", "native/1", "container/0"]),
            self.report("answer-page", &["answer"]),
        ]
    }
}

#[test]
fn every_page_asks_for_nothing_and_can_be_read() {
    let Some(mut browser) = Browser::start("the report in a browser") else { return };
    let pages = Pages::make();
    for page in pages.all() {
        for (width, scheme, media) in
            [(1200, "light", "screen"), (800, "dark", "screen"), (390, "light", "screen"), (700, "light", "print")]
        {
            browser.show_as(width, scheme, media);
            browser.open(&page);
            let view = format!("{} at {width} px, {scheme}, {media}", page.display());
            assert_eq!(browser.complaints(), [""; 0], "{view}");
            checks::is_sound(&mut browser, &view);
            checks::fits(&mut browser, &view);
            checks::has_contrast(&mut browser, &view);
        }
    }
}

#[test]
fn what_is_drawn_is_what_is_written() {
    let Some(mut browser) = Browser::start("the report's charts") else { return };
    let pages = Pages::make();
    browser.show_as(1200, "light", "screen");
    browser.open(&pages.report("two", &["native/0", "container/0"]));
    checks::waterfall(&mut browser);
    browser.open(&pages.report("groups", &["native", "container"]));
    checks::waterfall(&mut browser);
    checks::scatter(&mut browser);
}

#[test]
fn a_link_unfolds_its_event() {
    let Some(mut browser) = Browser::start("the report's evidence") else { return };
    let pages = Pages::make();
    browser.open(&pages.report("two", &["native/0", "container/0"]));
    let shown = browser.evaluate(
        "(() => { const link = document.querySelector('.waterfall .evidence a'); const target = \
         document.querySelector(link.hash); const before = target.checkVisibility(); location.hash = link.hash; \
         return [before, target.textContent.includes('\"n\":' + link.textContent.split(':')[1] + ',')]; })()",
    );
    assert_eq!(shown, serde_json::json!([false, true]));
    assert_eq!(browser.evaluate("document.querySelector(location.hash).closest('details').open"), true);
}

#[test]
fn hostile_strings_are_inert() {
    let Some(mut browser) = Browser::start("hostile strings in the report") else { return };
    let pages = Pages { bench: Bench::new_in("/var/tmp") };
    pages.serve("hostile", HOSTILE, &[HOSTILE]);
    pages.serve("plain", "plain", &[]);
    for (name, inputs) in [("one-page", &["hostile"][..]), ("two-page", &["plain", "hostile"])] {
        browser.open(&pages.report(name, inputs));
        assert_eq!(browser.complaints(), [""; 0]);
        let found = browser.evaluate(
            "[typeof window.hacked, document.scripts.length, document.images.length, \
             document.documentElement.textContent.includes('<script>window.hacked=1</script>'), \
             /[\\u0000-\\u0008\\u001b\\u202a-\\u202e]/.test(document.documentElement.textContent)]",
        );
        assert_eq!(found, serde_json::json!(["undefined", 0, 0, true, false]), "{name}");
    }
}

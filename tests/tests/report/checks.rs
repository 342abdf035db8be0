//! What holds for every page.

use kvtrace_tests::browser::Browser;
use serde_json::{Value, json};

/// Landmarks, headings in order, tables with headers, charts with a name, ids that are unique, links that lead
/// somewhere, and a page that is there within a second.
pub fn is_sound(browser: &mut Browser, view: &str) {
    let found = browser.evaluate(
        r##"(() => {
            const all = (what) => [...document.querySelectorAll(what)];
            const ids = all('[id]').map((it) => it.id);
            const levels = all('h1,h2,h3').map((it) => +it.tagName[1]);
            const named = (it) => (it.getAttribute('aria-labelledby') || '').split(' ')
                .every((id) => document.getElementById(id)?.textContent.trim());
            return {
                landmarks: ['header', 'nav', 'main', 'footer'].map((it) => all(it).length),
                language: document.documentElement.lang,
                title: /^(patched: )?simulated: /.test(document.title),
                first: /^(Patched run: [^.]*\.)?Simulated\./.test(document.querySelector('header').textContent.trim()),
                headings: levels[0] === 1 && levels.filter((it) => it === 1).length === 1
                    && levels.every((it, at) => at === 0 || it - levels[at - 1] <= 1),
                bare: all('table').filter((it) => !it.caption || !it.querySelector('thead th[scope=col]')
                    || !it.querySelector('tbody th[scope=row]')).length,
                unnamed: all('svg[role=img], section').filter((it) => !named(it)).length,
                silent: all('svg:not([role=img])').filter((it) => !it.closest('[role=img],[aria-hidden=true]')).length,
                doubled: ids.length - new Set(ids).size,
                astray: all('a').filter((it) => it.getAttribute('href').startsWith('#')).filter((it) => !document.getElementById(it.hash.slice(1))).length,
                leading_away: all('a').filter((it) => !it.getAttribute('href').startsWith('#')).length,
                scripts: document.scripts.length,
                styled: getComputedStyle(document.querySelector('h1')).fontWeight > 500,
                late: performance.getEntriesByType('navigation')[0].domInteractive > 1000,
            };
        })()"##,
    );
    let wanted = json!({
        "landmarks": [1, 1, 1, 1], "language": "en", "title": true, "first": true, "headings": true, "bare": 0,
        "unnamed": 0, "silent": 0, "doubled": 0, "astray": 0, "leading_away": 0, "scripts": 0, "styled": true, "late": false,
    });
    assert_eq!(found, wanted, "{view}");
}

/// Nothing makes the page wider than the window: what is wide scrolls by itself, and the keyboard gets there.
pub fn fits(browser: &mut Browser, view: &str) {
    let found = browser.evaluate(
        "[document.documentElement.scrollWidth <= innerWidth, [...document.querySelectorAll('.scroll')].every((it) => \
         it.tabIndex === 0 && it.getAttribute('aria-label'))]",
    );
    assert_eq!(found, json!([true, true]), "{view}");
}

/// Text against what is behind it: 4.5 to 1 at least, in either scheme.
pub fn has_contrast(browser: &mut Browser, view: &str) {
    let found = browser.evaluate(
        r##"(() => {
            const parts = (text) => (text.match(/[\d.]+/g) || []).map(Number);
            const clear = (parts) => parts.length < 3 || parts[3] === 0;
            const light = (parts) => parts.slice(0, 3).map((it) => it / 255)
                .map((it) => it <= 0.03928 ? it / 12.92 : ((it + 0.055) / 1.055) ** 2.4)
                .reduce((sum, it, at) => sum + it * [0.2126, 0.7152, 0.0722][at], 0);
            const paper = (it) => {
                for (; it; it = it.parentElement) {
                    const back = parts(getComputedStyle(it).backgroundColor);
                    if (!clear(back)) return back;
                }
                return [255, 255, 255];
            };
            const behind = (text) => {
                const style = getComputedStyle(text);
                if (!clear(parts(style.stroke))) return parts(style.stroke);
                text.scrollIntoView({ block: 'center' });
                const box = text.getBoundingClientRect();
                const under = document.elementsFromPoint(box.x + box.width / 2, box.y + box.height / 2)
                    .filter((it) => ['rect', 'path'].includes(it.tagName)).map((it) => parts(getComputedStyle(it).fill));
                return under.find((it) => !clear(it)) || paper(text);
            };
            const poor = [];
            const own = (it) => [...it.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
            for (const it of document.querySelectorAll('body *')) {
                if (['title', 'desc'].includes(it.tagName) || !own(it) || !it.checkVisibility()) continue;
                const drawn = it.tagName === 'text';
                const style = getComputedStyle(it);
                const [a, b] = [light(parts(drawn ? style.fill : style.color)), light(drawn ? behind(it) : paper(it))];
                const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
                if (ratio < 4.5) poor.push(`${it.tagName}.${it.getAttribute('class')} ${ratio.toFixed(2)} ${it.textContent.slice(0, 40)}`);
            }
            return poor;
        })()"##,
    );
    assert_eq!(found, json!([]), "{view}");
}

/// Each bar is as long as its figure, begins where the one above ends, and the last step ends at B.
pub fn waterfall(browser: &mut Browser) {
    let rows = browser.evaluate(
        r##"[...document.querySelectorAll('.waterfall tbody tr')].map((row) => {
            const bar = row.querySelector('.step rect').getBoundingClientRect();
            const kind = row.querySelector('.step rect').getAttribute('class');
            return { kind, left: bar.left, right: bar.right, bytes: +row.querySelector('td.num data').value };
        })"##,
    );
    let rows = rows.as_array().unwrap();
    let number = |row: &Value, field: &str| row[field].as_f64().unwrap();
    let changes = &rows[1..rows.len() - 1];
    let largest = changes.iter().max_by(|a, b| number(a, "bytes").abs().total_cmp(&number(b, "bytes").abs())).unwrap();
    let pixels = (number(largest, "right") - number(largest, "left")) / number(largest, "bytes").abs();
    assert!(number(largest, "bytes") < 0.0 && pixels > 0.0, "page cache cost something: {largest}");
    let mut at = number(&rows[0], "right");
    for row in changes {
        let (left, right, bytes) = (number(row, "left"), number(row, "right"), number(row, "bytes"));
        let (from, to) = if bytes < 0.0 { (right, left) } else { (left, right) };
        assert!((from - at).abs() < 2.5, "{row} goes on from {at}");
        assert!(((to - from).abs() - bytes.abs() * pixels).abs() < 2.5, "{row}");
        let kind = if bytes < 0.0 { "loss" } else { "gain" };
        assert!([kind, "rest"].contains(&row["kind"].as_str().unwrap()), "{row}");
        at += bytes * pixels;
    }
    assert!((at - number(&rows[rows.len() - 1], "right")).abs() < 2.5, "{at} {}", rows[rows.len() - 1]);
}

/// Points lie where the table of runs says: their places are one linear map of the figures.
pub fn scatter(browser: &mut Browser) {
    let found = browser.evaluate(
        r##"(() => {
            const centre = (it) => { const box = it.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; };
            const points = [...document.querySelectorAll('.point path')].map(centre);
            const rows = [...document.querySelectorAll('data[data-json^="fit/runs/"]')];
            const of = (field) => rows.filter((it) => it.dataset.json.endsWith(field)).map((it) => +it.value);
            return points.map((point, at) => [...point, of('peak_gib')[at], of('kv_gib')[at]]);
        })()"##,
    );
    let runs: Vec<[f64; 4]> = serde_json::from_value(found).unwrap();
    assert_eq!(runs.len(), 6);
    for (place, figure, up) in [(0, 2, 1.0), (1, 3, -1.0)] {
        let by = |run: &&[f64; 4]| (run[figure] * 1e9) as i64;
        let (low, high) = (runs.iter().min_by_key(by).unwrap(), runs.iter().max_by_key(by).unwrap());
        let scale = (high[place] - low[place]) / (high[figure] - low[figure]);
        assert!(scale * up > 0.0);
        for run in &runs {
            let wanted = low[place] + (run[figure] - low[figure]) * scale;
            assert!((run[place] - wanted).abs() < 1.5, "{run:?}: {wanted}");
        }
    }
}

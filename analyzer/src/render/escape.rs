//! Strings of the traced program are hostile: they may hold terminal controls or table markup.

/// For a terminal: control and direction characters become `\u{..}`.
pub fn terminal(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match hostile(c) {
            true => out.extend(c.escape_unicode()),
            false => out.push(c),
        }
    }
    out
}

/// For a Markdown table: no markup, no HTML, no new cell.
pub fn markdown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in terminal(text).chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '|' | '`' | '*' | '_' | '[' | ']' | '\\' | '~' | '#' | '!' => {
                out.push('\\');
                out.push(c);
            }
            _ => out.push(c),
        }
    }
    out
}

/// For a CSV cell of text: a spreadsheet must not take it for a formula.
pub fn csv(text: &str) -> String {
    let text = terminal(text);
    match text.starts_with(['=', '+', '-', '@']) {
        true => format!("'{text}"),
        false => text,
    }
}

fn hostile(c: char) -> bool {
    let direction =
        matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    c.is_control() || direction || matches!(c, '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_the_terminal_the_table_or_the_spreadsheet() {
        assert_eq!(terminal("a\x1b[31m\n\u{202e}é"), "a\\u{1b}[31m\\u{a}\\u{202e}é");
        assert_eq!(markdown("a|b<img>`*_[x](y)"), "a\\|b&lt;img&gt;\\`\\*\\_\\[x\\](y)");
        assert_eq!(csv("=1+1"), "'=1+1");
        assert_eq!(csv("/lib/x.so"), "/lib/x.so");
    }
}

//! A part within a whole, for the row of a table.

use super::percent;
use maud::{Markup, html};

/// Shares of the longest bar, 0 to 1. The table has the figures.
pub fn bar(whole: f64, part: f64) -> Markup {
    html! {
        svg.bar width="100%" height="14" aria-hidden="true" focusable="false" {
            rect.whole x="0" y="1" width=(percent(whole.clamp(0.0, 1.0))) height="12" rx="2" {}
            rect.part x="0" y="1" width=(percent(part.clamp(0.0, 1.0))) height="12" rx="2" {}
        }
    }
}

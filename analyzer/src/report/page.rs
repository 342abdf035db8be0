//! The frame of every page: one file that asks for nothing else.

use super::figure;
use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = include_str!("style.css");
/// Of [`STYLE`], SHA-256 in Base64: no other style, no script and no address is let in.
const STYLE_HASH: &str = "Dp66Zv/X6X5bX4q3Ze7Jf9q5ECxBROYMGXqmXznvDvM=";

/// What a page says, from the top.
pub struct Page {
    /// For the tab of the browser.
    pub title: String,
    /// What stands before everything else where a simulated GPU answered.
    pub simulated: Option<String>,
    /// The rules by which programs were told other figures than the real ones.
    pub patched: Vec<String>,
    /// What makes the answer doubtful.
    pub doubts: Vec<String>,
    /// One sentence.
    pub answer: String,
    /// What else the command says.
    pub notes: Vec<String>,
    pub cards: Vec<Card>,
    /// Empty ones are left out.
    pub parts: Vec<Part>,
    /// The commands that have the same figures as JSON, by the first word of `data-json`.
    pub sources: Vec<(String, String)>,
}

/// One figure that is seen from afar.
pub struct Card {
    pub label: String,
    pub figure: Markup,
    pub note: Markup,
}

/// One section.
pub struct Part {
    pub id: &'static str,
    pub title: String,
    pub body: Markup,
}

impl Part {
    pub fn new(id: &'static str, title: impl Into<String>, body: Markup) -> Self {
        Part { id, title: title.into(), body }
    }
}

impl Page {
    pub fn html(&self) -> String {
        let parts: Vec<&Part> = self.parts.iter().filter(|part| !part.body.0.is_empty()).collect();
        let mut title = self.title.clone();
        if self.simulated.is_some() {
            title.insert_str(0, "simulated: ");
        }
        if !self.patched.is_empty() {
            title.insert_str(0, "patched: ");
        }
        let policy =
            format!("default-src 'none'; style-src 'sha256-{STYLE_HASH}'; base-uri 'none'; form-action 'none'");
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta http-equiv="Content-Security-Policy" content=(policy);
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    meta name="referrer" content="no-referrer";
                    meta name="generator" content={ "kvtrace " (env!("CARGO_PKG_VERSION")) };
                    title { (crate::render::escape::terminal(&title)) }
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    a.skip href="#main" { "Skip to the figures" }
                    (super::svg::patterns())
                    header { (self.header()) }
                    nav aria-label="Sections" { ul {
                        @for part in &parts { li { a href={ "#" (part.id) } { (part.title) } } }
                    } }
                    main id="main" {
                        @for part in &parts {
                            section id=(part.id) aria-labelledby={ (part.id) "-title" } {
                                h2 id={ (part.id) "-title" } { (part.title) }
                                (part.body)
                            }
                        }
                    }
                    footer { (self.footer()) }
                }
            }
        };
        page.into_string()
    }

    fn header(&self) -> Markup {
        html! {
            @if let Some(text) = crate::render::patched(&self.patched) { p.doubt { (figure::name(&text)) } }
            @if let Some(text) = &self.simulated { p.simulated { strong { "Simulated. " } (figure::name(text)) } }
            p.kicker { "kvtrace report" }
            @for doubt in &self.doubts { p.doubt { (figure::name(doubt)) } }
            h1 { (figure::name(&self.answer.replace(" -> ", " \u{2192} "))) }
            @if !self.cards.is_empty() {
                dl.cards {
                    @for card in &self.cards {
                        div { dt { (figure::name(&card.label)) } dd { (card.figure) } dd.note { (card.note) } }
                    }
                }
            }
            @if !self.notes.is_empty() {
                ul.notes { @for note in &self.notes { li { (figure::name(note)) } } }
            }
        }
    }

    fn footer(&self) -> Markup {
        html! {
            p {
                "Written by kvtrace " (env!("CARGO_PKG_VERSION")) ". GiB are 2" sup { "30" } " bytes. Every figure of this \
                page carries its exact value; in JSON they are in the answer of"
                @for (at, (name, command)) in self.sources.iter().enumerate() {
                    @if at > 0 { "," }
                    " " code { (figure::name(command)) } " (" (name) ")"
                }
                "."
            }
        }
    }
}

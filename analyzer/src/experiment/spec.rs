//! What an experiment is: a file in TOML, checked before anything is run.

use crate::failure::Failure;
use crate::render::escape::terminal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// More arms or repetitions are a slip of the hand.
const MOST: usize = 1000;

/// An experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// The server and its arguments, the same in every arm.
    pub command: Vec<String>,
    /// Runs of each arm.
    #[serde(default = "five")]
    pub repetitions: usize,
    /// The order of the runs.
    #[serde(default)]
    pub order: Order,
    /// Where the mixed order comes from.
    #[serde(default = "one")]
    pub seed: u64,
    /// The run has what it came for when its output has this text: the server is ended then.
    #[serde(default)]
    pub stop_when: Option<String>,
    /// Seconds after which a run is ended, and counts as failed.
    #[serde(default = "hour")]
    pub timeout_s: u64,
    /// Seconds to wait before each run: what the one before held is given back late.
    #[serde(default)]
    pub pause_s: u64,
    /// The page cache before each run.
    #[serde(default)]
    pub page_cache: PageCache,
    /// Variables of every arm.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// The first is the baseline.
    #[serde(rename = "arm")]
    pub arms: Vec<Arm>,
}

/// In which order the runs are made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// In rounds: each has every arm once, in an order drawn by the seed. What drifts then meets all arms alike.
    #[default]
    Mixed,
    /// All runs of the first arm, then of the second.
    ByArm,
}

/// What is done to files in the page cache before each run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PageCache {
    /// Files, or folders with files, whose clean pages are given back.
    #[serde(default)]
    pub drop: Vec<PathBuf>,
    /// Files, or folders with files, that are read to their ends.
    #[serde(default)]
    pub read: Vec<PathBuf>,
}

/// One way to run the server.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arm {
    /// Name of its folder and in the report.
    pub name: String,
    /// As `--patch`.
    #[serde(default)]
    pub patch: Vec<String>,
    /// As `--i-know`.
    #[serde(default)]
    pub i_know: bool,
    /// As `--evict-weights`.
    #[serde(default)]
    pub evict_weights: bool,
    /// Appended to the command.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// Variables of this arm.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// What to run instead of `kvtrace run`, such as scripts/capture-docker: `{trace}` stands for the trace directory,
    /// `{arm}` for the arm's name, and the command follows.
    #[serde(default)]
    pub launcher: Vec<String>,
    /// The fraction that the arguments set, for the prediction.
    #[serde(default)]
    pub fraction: Option<f64>,
}

fn five() -> usize {
    5
}

fn one() -> u64 {
    1
}

fn hour() -> u64 {
    3600
}

/// Reads an experiment from a file.
///
/// # Errors
/// Bad input: the place and what should stand there.
pub fn read(path: &Path) -> Result<Spec, Failure> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::input(format!("{shown}: {error}"), "name a file that describes an experiment"))?;
    let spec: Spec = toml::from_str(&text).map_err(|error| {
        let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        let message = error.message().replace('\n', " ");
        Failure::input(format!("{shown}, line {line}: {message}"), "docs/experiments.md has an example")
    })?;
    spec.check().map_err(|why| Failure::input(format!("{shown}: {why}"), "docs/experiments.md has an example"))?;
    Ok(spec)
}

/// An experiment from options: `NAME`, or `NAME:SETTING ...`.
///
/// # Errors
/// Bad input: the arm that cannot be read.
pub fn from_options(arms: &[String], repetitions: usize, seed: u64, command: &[String]) -> Result<Spec, Failure> {
    let arms = arms.iter().map(|text| arm(text)).collect::<Result<Vec<_>, _>>();
    let hint = "write for example --arm baseline --arm 'patched: patch=free=available' --arm 'evicted: evict-weights'";
    let spec = arms.and_then(|arms| {
        let spec = Spec {
            command: command.to_vec(),
            repetitions,
            order: Order::Mixed,
            seed,
            stop_when: None,
            timeout_s: hour(),
            pause_s: 0,
            page_cache: PageCache::default(),
            env: BTreeMap::new(),
            arms,
        };
        spec.check().map(|()| spec)
    });
    spec.map_err(|why| Failure::input(why, hint))
}

fn arm(text: &str) -> Result<Arm, String> {
    let (name, settings) = text.split_once(':').unwrap_or((text, ""));
    let mut arm = Arm { name: name.trim().to_owned(), ..Arm::default() };
    for setting in settings.split_whitespace() {
        match setting.split_once('=').unwrap_or((setting, "")) {
            ("patch", rule) => arm.patch.push(rule.to_owned()),
            ("i-know", "") => arm.i_know = true,
            ("evict-weights", "") => arm.evict_weights = true,
            ("argument", argument) => arm.arguments.push(argument.to_owned()),
            ("env", pair) if pair.contains('=') => {
                arm.env.extend(pair.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())));
            }
            ("fraction", value) => {
                arm.fraction = Some(value.parse().map_err(|_| format!("--arm {name}: {value:?} is no fraction"))?);
            }
            _ => {
                let known = "patch=RULE, i-know, evict-weights, argument=TEXT, env=NAME=VALUE or fraction=F";
                return Err(format!("--arm {name}: {setting:?} is none of {known}"));
            }
        }
    }
    Ok(arm)
}

impl Spec {
    fn check(&self) -> Result<(), String> {
        if self.command.is_empty() {
            return Err("no command: what is to be run?".into());
        }
        if self.arms.is_empty() {
            return Err("no arm: an experiment compares ways to run the command".into());
        }
        if !(1..=MOST).contains(&self.repetitions) || self.arms.len() > MOST {
            return Err(format!("repetitions and arms are between 1 and {MOST}"));
        }
        for (at, arm) in self.arms.iter().enumerate() {
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            let name = terminal(&arm.name);
            if arm.name.is_empty() || arm.name.starts_with('.') || !arm.name.chars().all(plain) {
                return Err(format!(
                    "arm {name:?}: a name has letters, digits, '-', '_' and '.' only, and becomes a folder"
                ));
            }
            if self.arms[..at].iter().any(|other| other.name == arm.name) {
                return Err(format!("arm {name:?} is there twice"));
            }
            arm.rules().map_err(|failure| format!("arm {name:?}: {}; {}", failure.message, failure.hint))?;
            if arm.fraction.is_some_and(|fraction| !(0.0..=1.0).contains(&fraction)) {
                return Err(format!("arm {name:?}: a fraction is between 0 and 1"));
            }
            if !arm.launcher.is_empty() && !arm.launcher.iter().any(|word| word.contains("{trace}")) {
                return Err(format!("arm {name:?}: its launcher does not say where the trace goes: {{trace}}"));
            }
        }
        Ok(())
    }
}

impl Arm {
    /// Its rules as the preload reads them.
    ///
    /// # Errors
    /// Bad input: a rule that cannot be used.
    pub fn rules(&self) -> Result<String, Failure> {
        crate::run::patch::Options { rules: self.patch.clone(), i_know: self.i_know }.setting()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Spec, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("e.toml");
        std::fs::write(&path, text).unwrap();
        read(&path).map_err(|failure| failure.message.replace(&path.display().to_string(), "e.toml"))
    }

    #[test]
    fn a_file_says_all() {
        let spec = of("command = ['serve', '--port', '1']\nrepetitions = 3\nstop_when = 'ready'\n\
            [page_cache]\ndrop = ['weights']\n[[arm]]\nname = 'baseline'\n\
            [[arm]]\nname = 'patched'\npatch = ['free=available']\n")
        .unwrap();
        assert_eq!((spec.command.len(), spec.repetitions, spec.order, spec.seed), (3, 3, Order::Mixed, 1));
        assert_eq!(spec.arms[1].patch, ["free=available"]);
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        let arm = "[[arm]]\nname = 'a'\n";
        for (text, expected) in [
            ("command = ['x']\n".to_owned(), "missing field `arm`"),
            (format!("command = []\n{arm}"), "no command"),
            (format!("command = ['x']\nrepetition = 3\n{arm}"), "e.toml, line 2: unknown field `repetition`"),
            (format!("command = ['x']\n{arm}{arm}"), "arm \"a\" is there twice"),
            (format!("command = ['x']\n{arm}patch = ['free=much']\n"), "\"much\" cannot be used"),
            ("command = ['x']\n[[arm]]\nname = '../a'\n".to_owned(), "becomes a folder"),
            (format!("command = ['x']\nrepetitions = 0\n{arm}"), "between 1 and 1000"),
            (format!("command = ['x']\n{arm}launcher = ['docker']\n"), "{trace}"),
        ] {
            let error = of(&text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn options_say_it_too() {
        let command = ["serve".to_owned()];
        let arms =
            ["baseline".to_owned(), "less: patch=free=-5GiB@nth=2 env=A=b=c argument=--x=1 fraction=0.8".to_owned()];
        let spec = from_options(&arms, 2, 7, &command).unwrap();
        assert_eq!(spec.arms[0], Arm { name: "baseline".into(), ..Arm::default() });
        assert_eq!(spec.arms[1].patch, ["free=-5GiB@nth=2"]);
        assert_eq!((spec.arms[1].env["A"].as_str(), spec.arms[1].arguments[0].as_str()), ("b=c", "--x=1"));
        let bad = from_options(&["a: evict".to_owned()], 2, 7, &command).unwrap_err();
        assert!(bad.message.contains("\"evict\" is none of"), "{}", bad.message);
    }
}

//! A profile in a file: lines `key = value` of TOML. A line that cannot be used is complained about, by number, and
//! changes nothing.
//!
//! ```toml
//! base = "h100-80"          # where everything that is not said here is from; h100-80 if that is missing
//! name = "My GPU"
//! total = "119.7 GiB"       # or a number of bytes
//! unified = true
//! capability = "12.1"
//! multiprocessors = 48
//! threads = 1536            # of a multiprocessor
//! blocks = 24               # of a multiprocessor
//! shared = "100 KiB"        # of a multiprocessor
//! shared_of_block = "99 KiB"
//! l2 = "24 MiB"
//! bus_bits = 256
//! numa = 1
//! context = "526.8 MiB"     # taken by each process
//! blas_handle = 0
//! communicator = 0
//! ```

use crate::profile::{NAMES, Profile, named, uuid};

/// Keys, in the order of the fields.
const KEYS: [&str; 16] = [
    "base",
    "name",
    "total",
    "unified",
    "capability",
    "multiprocessors",
    "threads",
    "blocks",
    "shared",
    "shared_of_block",
    "l2",
    "bus_bits",
    "numa",
    "context",
    "blas_handle",
    "communicator",
];

/// Reads the file: the profile, if there is one, and a sentence for what could not be used.
pub fn read(path: &str) -> (Option<Profile>, Vec<String>) {
    match std::fs::read_to_string(path) {
        Ok(text) => {
            let (profile, complaints) = parse(&text, path);
            (Some(profile), complaints.into_iter().map(|complaint| format!("{path}: {complaint}")).collect())
        }
        Err(error) => (None, vec![format!("{path} cannot be read ({error}); using gb10")]),
    }
}

/// A line's key and value, without quotes and comments. `None` for a line without content.
fn split(line: &str) -> Option<Result<(&str, &str), String>> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let Some((key, value)) = line.split_once('=') else {
        return Some(Err(format!("{line:?} is not `key = value`")));
    };
    let (key, value) = (key.trim(), value.trim());
    let inner = match value.strip_prefix('"') {
        Some(rest) => rest.split_once('"').map(|(inner, after)| (inner, after.trim())),
        None => Some(value.split_once('#').map_or((value, ""), |(inner, _)| (inner.trim(), ""))),
    };
    match inner {
        Some((inner, after)) if after.is_empty() || after.starts_with('#') => Some(Ok((key, inner))),
        _ => Some(Err(format!("the text of {key} has no end, or something behind it"))),
    }
}

/// Bytes: a number, or one with KiB, MiB, GiB or TiB behind it.
pub(crate) fn bytes(text: &str) -> Option<u64> {
    let text = text.replace('_', "");
    let unit = ["KiB", "MiB", "GiB", "TiB"].iter().enumerate().find_map(|(index, unit)| {
        text.strip_suffix(unit).map(|number| (number.trim().to_owned(), 1u64 << (10 * (index + 1))))
    });
    let Some((number, unit)) = unit else { return text.parse().ok() };
    let value = number.parse::<f64>().ok().filter(|value| value.is_finite() && *value >= 0.0)? * unit as f64;
    (value < (1u64 << 60) as f64).then_some(value.round() as u64)
}

fn number(text: &str) -> Option<i32> {
    text.replace('_', "").parse().ok().filter(|number| *number >= 0)
}

fn small(text: &str) -> Option<i32> {
    i32::try_from(bytes(text)?).ok()
}

fn capability(text: &str) -> Option<(i32, i32)> {
    let (major, minor) = text.split_once('.')?;
    Some((number(major)?, number(minor)?))
}

/// Sets one field. `None` where the value is not one of its kind.
fn set(profile: &mut Profile, key: &str, value: &str) -> Option<()> {
    match key {
        "name" => profile.name = named(value),
        "total" => profile.total = bytes(value).filter(|total| *total > 0)?,
        "unified" => profile.unified = value.parse().ok()?,
        "capability" => profile.capability = capability(value)?,
        "multiprocessors" => profile.multiprocessors = number(value).filter(|count| *count > 0)?,
        "threads" => profile.threads = number(value)?,
        "blocks" => profile.blocks = number(value)?,
        "shared" => profile.shared = small(value)?,
        "shared_of_block" => profile.shared_of_block = small(value)?,
        "l2" => profile.l2_bytes = small(value)?,
        "bus_bits" => profile.bus_bits = number(value)?,
        "numa" => profile.numa = Some(number(value)?),
        "context" => profile.context = bytes(value)?,
        "blas_handle" => profile.blas_handle = bytes(value)?,
        "communicator" => profile.communicator = bytes(value)?,
        _ => return None,
    }
    Some(())
}

fn kind(key: &str) -> &'static str {
    match key {
        "total" | "shared" | "shared_of_block" | "l2" | "context" | "blas_handle" | "communicator" => {
            "a number of bytes, or one with KiB, MiB, GiB or TiB behind it"
        }
        "unified" => "true or false",
        "capability" => "two numbers with a point between, in quotes",
        _ => "a whole number",
    }
}

fn parse(text: &str, path: &str) -> (Profile, Vec<String>) {
    let mut complaints = Vec::new();
    let lines: Vec<_> = text.lines().enumerate().filter_map(|(index, line)| Some((index + 1, split(line)?))).collect();
    let base = lines.iter().find_map(|(_, line)| line.as_ref().ok().filter(|(key, _)| *key == "base"));
    let base = base.map_or("h100-80", |(_, name)| *name);
    let mut profile = Profile::of_name(base).unwrap_or_else(|| {
        complaints.push(format!("base is {base:?}, which is none of {}; using h100-80", NAMES.join(", ")));
        Profile::of_name("h100-80").unwrap_or_else(|| Profile::from_env().0)
    });
    profile.uuid = uuid(path.rsplit('/').next().unwrap_or(path).trim_end_matches(".toml"));
    for (line, content) in lines {
        match content {
            Err(complaint) => complaints.push(format!("line {line}: {complaint}")),
            Ok(("base", _)) => {}
            Ok((key, value)) if KEYS.contains(&key) => {
                if set(&mut profile, key, value).is_none() {
                    complaints.push(format!("line {line}: {key} is {value:?}, which is not {}", kind(key)));
                }
            }
            Ok((key, _)) => {
                complaints.push(format!("line {line}: there is no {key:?}; known are {}", KEYS.join(", ")));
            }
        }
    }
    (profile, complaints)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_changes_what_it_names() {
        let text = "# mine\nbase = \"gb10\"\nname = \"X # 1\" # a name\ntotal = \"1.5 GiB\"\ncapability = \"9.0\"\n\
                    numa = 2\nl2 = 1_000\nunified = false # really\n";
        let (profile, complaints) = parse(text, "/a/mine.toml");
        assert_eq!(complaints, [""; 0]);
        assert_eq!(profile.name, "X # 1 (simulated by kvtrace)");
        assert_eq!((profile.total, profile.capability, profile.numa), (3 << 29, (9, 0), Some(2)));
        assert_eq!((profile.l2_bytes, profile.unified, profile.multiprocessors), (1000, false, 48));
    }

    #[test]
    fn each_bad_line_is_named_and_changes_nothing() {
        let text =
            "total = \"lots\"\nsms = 3\nunified\nname = \"open\ncapability = 9\nmultiprocessors = -1\nbase=\"z\"";
        let (profile, complaints) = parse(text, "/a/b");
        assert_eq!(complaints.len(), 7, "{complaints:?}");
        assert_eq!(profile, Profile { uuid: profile.uuid, ..Profile::of_name("h100-80").unwrap() });
        assert!(complaints[1].contains("line 1: total is \"lots\", which is not a number of bytes"), "{complaints:?}");
        assert!(complaints[2].contains("there is no \"sms\"") && complaints[0].contains("none of gb10"));
    }

    #[test]
    fn a_missing_file_is_complained_about() {
        let (profile, complaints) = read("/nowhere/profile.toml");
        assert!(profile.is_none() && complaints[0].starts_with("/nowhere/profile.toml cannot be read"));
    }

    #[test]
    fn sizes_are_read_to_the_byte() {
        assert_eq!(bytes("119.7GiB"), Some(128_526_896_333));
        assert_eq!((bytes("12"), bytes("4 KiB"), bytes("-1 KiB"), bytes("1 GB")), (Some(12), Some(4096), None, None));
    }
}

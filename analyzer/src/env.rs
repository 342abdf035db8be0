//! `kvtrace env` and `kvtrace shim-path`: how to trace where `kvtrace run` cannot stand in front of the program.

use crate::failure::Failure;
use crate::run::preload;
use clap::ValueEnum;
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Where the trace goes in a container that has no directory of this machine.
const CONTAINER_OUT: &str = "/tmp/kvtrace-out";

/// Whose syntax the settings are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Syntax {
    /// sh, bash, zsh: eval "$(kvtrace env)"
    Sh,
    /// fish: kvtrace env --format fish | source
    Fish,
    /// ENV lines of a Dockerfile
    Dockerfile,
    /// The env of a container in a Kubernetes manifest
    Kubernetes,
}

/// Which settings are wanted.
#[derive(Debug, clap::Args)]
pub struct Options {
    #[arg(long, value_enum, default_value_t = Syntax::Sh)]
    pub format: Syntax,
    /// Trace directory; by default kvtrace-out here, and /tmp/kvtrace-out in a container
    #[arg(short, long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Free text for the trace, such as "native" or "container"
    #[arg(long, value_name = "TEXT")]
    pub label: Option<String>,
    /// Where kvtrace will be installed in the container (as PREFIX/bin/kvtrace); by default where it is here
    #[arg(long, value_name = "PREFIX", conflicts_with = "shim")]
    pub prefix: Option<PathBuf>,
    /// The preload, where it is not beside kvtrace (../lib/libkvtrace.so)
    #[arg(long, value_name = "FILE", env = "KVTRACE_SHIM", hide_env_values = true)]
    pub shim: Option<PathBuf>,
}

/// Prints the path of the preload.
///
/// # Errors
/// Bad input, if there is none or it is not ours.
pub fn shim_path(told: Option<&Path>) -> Result<(), Failure> {
    line(preload::find(told)?.as_os_str().as_bytes())
}

/// Prints the settings.
///
/// # Errors
/// Bad input, if there is no preload or a value cannot be written in that syntax.
pub fn env(options: &Options) -> Result<(), Failure> {
    let shim = match &options.prefix {
        Some(prefix) => preload::check_path(&prefix.join("lib").join(preload::NAME))?,
        None => preload::find(options.shim.as_deref())?,
    };
    let here = matches!(options.format, Syntax::Sh | Syntax::Fish);
    let (list, out) = match here {
        true => (listed(&shim), absolute(options.out.as_deref().unwrap_or(Path::new("kvtrace-out")))?),
        // What this machine preloads says nothing about a container.
        false => (shim.into_os_string(), options.out.clone().unwrap_or(CONTAINER_OUT.into())),
    };
    let mut settings = vec![("LD_PRELOAD", list), ("KVTRACE_OUT", out.into_os_string())];
    if let Some(label) = &options.label {
        settings.push(("KVTRACE_LABEL", label.into()));
    }
    line(&text(options.format, &settings)?)
}

/// The settings in a syntax, without the last newline.
fn text(syntax: Syntax, settings: &[(&str, OsString)]) -> Result<Vec<u8>, Failure> {
    let lines: Result<Vec<Vec<u8>>, Failure> = settings
        .iter()
        .map(|(name, value)| {
            Ok(match syntax {
                Syntax::Sh => [format!("export {name}=").as_bytes(), &sh(value)].concat(),
                Syntax::Fish => [format!("set -gx {name} ").as_bytes(), &fish(value)].concat(),
                Syntax::Dockerfile => format!("ENV {name}={}", dockerfile(value)?).into_bytes(),
                Syntax::Kubernetes => format!("- name: {name}\n  value: {}", kubernetes(value)?).into_bytes(),
            })
        })
        .collect();
    Ok(lines?.join(&b'\n'))
}

/// Ours first, once: the command may be evaluated in a shell where it was before.
fn listed(shim: &Path) -> OsString {
    let mut list = shim.as_os_str().to_owned();
    let others = std::env::var_os("LD_PRELOAD").unwrap_or_default();
    for other in others.as_bytes().split(|byte| matches!(byte, b' ' | b':')).map(OsStr::from_bytes) {
        if !other.is_empty() && other != shim.as_os_str() {
            list.push(":");
            list.push(other);
        }
    }
    list
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    let path = std::path::absolute(path)?;
    match path.as_os_str().len() < 1024 {
        true => Ok(path),
        false => Err(Failure::input(
            format!("{}: the path is longer than 1023 bytes", path.display()),
            "choose a shorter one with -o",
        )),
    }
}

fn sh(value: &OsStr) -> Vec<u8> {
    quoted(value, |byte| (byte == b'\'').then_some(b"'\\''"))
}

fn fish(value: &OsStr) -> Vec<u8> {
    quoted(value, |byte| match byte {
        b'\'' => Some(b"\\'"),
        b'\\' => Some(b"\\\\"),
        _ => None,
    })
}

fn quoted<'a>(value: &OsStr, replaced: impl Fn(u8) -> Option<&'a [u8]>) -> Vec<u8> {
    let mut out = vec![b'\''];
    for byte in value.as_bytes() {
        match replaced(*byte) {
            Some(bytes) => out.extend(bytes),
            None => out.push(*byte),
        }
    }
    out.push(b'\'');
    out
}

fn dockerfile(value: &OsStr) -> Result<String, Failure> {
    let mut out = String::from('"');
    for c in plain(value)?.chars() {
        // A line ends an instruction, whatever quotes are open; `$` would be a variable.
        match c {
            '\n' | '\r' => return Err(unwritable(value, "a line break")),
            '"' | '\\' | '$' => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out.push('"');
    Ok(out)
}

/// JSON's strings are strings of YAML too. Kubernetes itself replaces `$(NAME)`, and takes `$$` for `$`.
fn kubernetes(value: &OsStr) -> Result<String, Failure> {
    Ok(serde_json::Value::from(plain(value)?.replace('$', "$$")).to_string())
}

fn plain(value: &OsStr) -> Result<&str, Failure> {
    value.to_str().ok_or_else(|| unwritable(value, "bytes that are not UTF-8"))
}

fn unwritable(value: &OsStr, what: &str) -> Failure {
    Failure::input(format!("{}: {what} cannot be written there", value.display()), "choose another path or label")
}

fn line(text: &[u8]) -> Result<(), Failure> {
    match std::io::stdout().write_all(&[text, b"\n"].concat()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(syntax: Syntax, value: &str) -> Result<String, Failure> {
        text(syntax, &[("KVTRACE_LABEL", value.into())]).map(|text| String::from_utf8(text).unwrap())
    }

    #[test]
    fn each_syntax_is_quoted_by_its_own_rules() {
        let value = r#"a 'b' "c" $HOME $(id) \ `d` %e #f"#;
        let of = |syntax| written(syntax, value).unwrap();
        assert_eq!(of(Syntax::Sh), r#"export KVTRACE_LABEL='a '\''b'\'' "c" $HOME $(id) \ `d` %e #f'"#);
        assert_eq!(of(Syntax::Fish), r#"set -gx KVTRACE_LABEL 'a \'b\' "c" $HOME $(id) \\ `d` %e #f'"#);
        assert_eq!(of(Syntax::Dockerfile), r#"ENV KVTRACE_LABEL="a 'b' \"c\" \$HOME \$(id) \\ `d` %e #f""#);
        assert_eq!(
            of(Syntax::Kubernetes),
            "- name: KVTRACE_LABEL\n  value: \"a 'b' \\\"c\\\" $$HOME $$(id) \\\\ `d` %e #f\""
        );
    }

    #[test]
    fn what_a_syntax_cannot_say_is_refused() {
        assert_eq!(written(Syntax::Sh, "a\nb").unwrap(), "export KVTRACE_LABEL='a\nb'");
        assert!(written(Syntax::Dockerfile, "a\nRUN id").unwrap_err().message.contains("line break"));
        assert_eq!(written(Syntax::Kubernetes, "a\nb: c").unwrap(), "- name: KVTRACE_LABEL\n  value: \"a\\nb: c\"");
        let bytes = [("KVTRACE_OUT", OsStr::from_bytes(b"/\xff").to_owned())];
        assert_eq!(text(Syntax::Sh, &bytes).unwrap(), b"export KVTRACE_OUT='/\xff'");
        assert!(text(Syntax::Kubernetes, &bytes).is_err());
    }
}

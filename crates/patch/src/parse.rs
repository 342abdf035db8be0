//! Rules as users write them: `TARGET=VALUE[@SCOPE,...]`, separated by `;`.

use crate::change::Change;
use crate::rule::{Figure, MOST, Rule, Rules, Scope, Target};

/// What is wrong with a text, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Error<'a> {
    /// The part that cannot be used.
    pub part: &'a [u8],
    /// What stands there instead, as a user would say it.
    pub expected: &'static str,
}

const TARGETS: &str = "free, total, nvml:free, nvml:total, sysinfo:free, sysinfo:total, meminfo:KEY or cgroup:FILE";
const VALUES: &str = "available, available-nvidia, a size such as 80GiB, +20GiB, -5GiB or x1.25, or for a cgroup max";
const SCOPES: &str = "module=NAME, python=FUNCTION, exe=NAME, thread=NAME, rank=N, device=N, nth=N, nth=N-M, after=SECONDS or before=SECONDS";

/// Reads a setting.
///
/// # Errors
/// The first part that cannot be used: then none of it is.
pub fn parse(text: &[u8]) -> Result<Rules<'_>, Error<'_>> {
    let mut rules = Rules::NONE;
    let mut free = rules.rules.iter_mut();
    for part in text.split(|byte| *byte == b';').map(<[u8]>::trim_ascii).filter(|part| !part.is_empty()) {
        if part == b"i-know" {
            rules.may_exceed = true;
            continue;
        }
        let slot = free.next().ok_or(Error { part, expected: "no more than 16 rules" })?;
        *slot = Some(rule(part)?);
    }
    const { assert!(MOST == 16, "as the error says") };
    Ok(rules)
}

fn rule(text: &[u8]) -> Result<Rule<'_>, Error<'_>> {
    let (name, rest) = cut(text, b'=').ok_or(Error { part: text, expected: "TARGET=VALUE, such as free=available" })?;
    let (value, scope) = cut(rest, b'@').unwrap_or((rest, b""));
    let target = target(name).ok_or(Error { part: name, expected: TARGETS })?;
    let change = change(value).ok_or(Error { part: value, expected: VALUES })?;
    let is_limit = matches!(target, Target::Cgroup(_));
    if if is_limit { change.asks_kernel() } else { change == Change::Unlimited } {
        return Err(Error { part: text, expected: "max for a cgroup only, and available for anything else" });
    }
    Ok(Rule { target, change, scope: self::scope(scope)?, text })
}

fn cut(text: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|byte| *byte == at)?;
    Some((text.get(..at)?.trim_ascii(), text.get(at.checked_add(1)?..)?.trim_ascii()))
}

fn target(name: &[u8]) -> Option<Target<'_>> {
    let figure = |name: &[u8]| match name {
        b"free" => Some(Figure::Free),
        b"total" => Some(Figure::Total),
        _ => None,
    };
    let Some((kind, name)) = cut(name, b':') else { return figure(name).map(Target::Device) };
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'(' | b')');
    if name.is_empty() || !name.iter().all(is_plain) {
        return None;
    }
    match kind {
        b"nvml" => figure(name).map(Target::Nvml),
        b"sysinfo" => figure(name).map(Target::Sysinfo),
        b"meminfo" => Some(Target::Meminfo(name)),
        // Of the other files the preload sees nothing, or not one figure.
        b"cgroup" if name.starts_with(b"memory.") && name != b"memory.stat" => Some(Target::Cgroup(name)),
        _ => None,
    }
}

fn change(text: &[u8]) -> Option<Change> {
    match text {
        b"available" => return Some(Change::Available),
        b"available-nvidia" => return Some(Change::AvailableNvidia),
        b"max" => return Some(Change::Unlimited),
        _ => {}
    }
    let (sign, rest) = text.split_first()?;
    match sign {
        b'+' => size(rest).map(Change::Add),
        b'-' => size(rest).map(Change::Subtract),
        b'x' => decimal(rest, 1_000_000).map(Change::Scale),
        _ => size(text).map(Change::Set),
    }
}

/// Bytes of `80GiB`, `1.5 TiB`, `4096`.
fn size(text: &[u8]) -> Option<u64> {
    let end = text.iter().position(|byte| !byte.is_ascii_digit() && *byte != b'.').unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    const UNITS: [(&[u8], u64); 14] = [
        (b"", 1),
        (b"b", 1),
        (b"k", 1 << 10),
        (b"kib", 1 << 10),
        (b"m", 1 << 20),
        (b"mib", 1 << 20),
        (b"g", 1 << 30),
        (b"gib", 1 << 30),
        (b"t", 1 << 40),
        (b"tib", 1 << 40),
        (b"kb", 1_000),
        (b"mb", 1_000_000),
        (b"gb", 1_000_000_000),
        (b"tb", 1_000_000_000_000),
    ];
    let unit = unit.trim_ascii();
    let (_, scale) = UNITS.iter().find(|(name, _)| unit.eq_ignore_ascii_case(name))?;
    decimal(number, *scale)
}

/// A decimal number times `scale`, rounded down.
fn decimal(text: &[u8], scale: u64) -> Option<u64> {
    let (whole, part) = cut(text, b'.').unwrap_or((text, b""));
    // From the last digit on; what one rounds away could not have changed what the next rounds to.
    let part = part.iter().rev().try_fold(0u64, |below, byte| {
        let tenths = digit(*byte)?.checked_mul(scale)?;
        Some(tenths.checked_add(below)? / 10)
    })?;
    number(whole)?.checked_mul(scale)?.checked_add(part)
}

fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |sum, byte| sum.checked_mul(10)?.checked_add(digit(*byte)?))
}

fn digit(byte: u8) -> Option<u64> {
    byte.is_ascii_digit().then(|| u64::from(byte.wrapping_sub(b'0')))
}

fn scope(text: &[u8]) -> Result<Scope<'_>, Error<'_>> {
    let mut scope = Scope::EVERYBODY;
    for part in text.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|part| !part.is_empty()) {
        narrow(&mut scope, part).ok_or(Error { part, expected: SCOPES })?;
    }
    Ok(scope)
}

fn narrow<'a>(scope: &mut Scope<'a>, part: &'a [u8]) -> Option<()> {
    let (name, value) = cut(part, b'=')?;
    let name_of = (!value.is_empty()).then_some(value);
    let small = |text: &[u8]| u32::try_from(number(text)?).ok();
    match name {
        b"module" => scope.module = Some(name_of?),
        b"python" => scope.python = Some(name_of?),
        b"exe" => scope.exe = Some(name_of?),
        b"thread" => scope.thread = Some(name_of?),
        b"rank" => scope.rank = Some(small(value)?),
        b"device" => scope.device = Some(small(value)?),
        b"nth" => {
            let (first, last) = cut(value, b'-').unwrap_or((value, value));
            let last = if last.is_empty() { u32::MAX } else { small(last)? };
            scope.nth = (small(first).filter(|first| *first > 0)?, last);
        }
        b"after" => scope.time.0 = decimal(value, 1000)?,
        b"before" => scope.time.1 = decimal(value, 1000)?,
        _ => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GIB: u64 = 1 << 30;

    fn only(text: &str) -> Rule<'_> {
        let rules = parse(text.as_bytes()).unwrap();
        let mut all = rules.iter();
        let (_, rule) = all.next().unwrap();
        assert!(all.next().is_none(), "{text}");
        *rule
    }

    #[test]
    fn targets_and_values() {
        let of = |text| (only(text).target, only(text).change);
        assert_eq!(of("free=available"), (Target::Device(Figure::Free), Change::Available));
        assert_eq!(of(" free = +20GiB "), (Target::Device(Figure::Free), Change::Add(20 * GIB)));
        assert_eq!(of("free=-5 GiB"), (Target::Device(Figure::Free), Change::Subtract(5 * GIB)));
        assert_eq!(of("total=119.5GiB"), (Target::Device(Figure::Total), Change::Set(239 * GIB / 2)));
        assert_eq!(of("free=x1.25"), (Target::Device(Figure::Free), Change::Scale(1_250_000)));
        assert_eq!(of("free=500MB"), (Target::Device(Figure::Free), Change::Set(500_000_000)));
        assert_eq!(of("nvml:total=4096"), (Target::Nvml(Figure::Total), Change::Set(4096)));
        assert_eq!(of("sysinfo:free=80g"), (Target::Sysinfo(Figure::Free), Change::Set(80 * GIB)));
        assert_eq!(of("meminfo:Active(anon)=1kib"), (Target::Meminfo(b"Active(anon)"), Change::Set(1024)));
        assert_eq!(of("meminfo:MemFree=available-nvidia"), (Target::Meminfo(b"MemFree"), Change::AvailableNvidia));
        assert_eq!(of("cgroup:memory.max=max"), (Target::Cgroup(b"memory.max"), Change::Unlimited));
    }

    #[test]
    fn scopes() {
        let scope = only("free=1GiB@module=libtorch,python=profile,nth=2-3,after=1.5,rank=0").scope;
        assert_eq!((scope.module, scope.python), (Some(b"libtorch".as_slice()), Some(b"profile".as_slice())));
        assert_eq!((scope.nth, scope.time, scope.rank), ((2, 3), (1500, u64::MAX), Some(0)));
        assert_eq!(only("free=1GiB@nth=4-").scope.nth, (4, u32::MAX));
        let scope = only("free=1@exe=python3,thread=load,before=60,device=1").scope;
        assert_eq!((scope.exe, scope.thread), (Some(b"python3".as_slice()), Some(b"load".as_slice())));
        assert_eq!((scope.time, scope.device, scope.nth), ((0, 60_000), Some(1), (1, u32::MAX)));
    }

    #[test]
    fn several_rules_keep_their_order() {
        let rules = parse(b"free=1GiB@nth=1; free=2GiB ;i-know;").unwrap();
        assert!(rules.may_exceed);
        let texts: Vec<&[u8]> = rules.iter().map(|(_, rule)| rule.text).collect();
        assert_eq!(texts, [b"free=1GiB@nth=1".as_slice(), b"free=2GiB"]);
        assert_eq!((parse(b"").unwrap(), parse(b" ; ").unwrap().is_empty()), (Rules::NONE, true));
    }

    #[test]
    fn nonsense_is_named() {
        let of = |text: &'static str| String::from_utf8(parse(text.as_bytes()).unwrap_err().part.to_vec()).unwrap();
        assert_eq!(of("free"), "free");
        assert_eq!(
            (of("used=1GiB"), of("free=much"), of("free=1GiB@who=me")),
            ("used".into(), "much".into(), "who=me".into())
        );
        assert_eq!(
            (of("free=1 apple"), of("free=99999999999TiB"), of("free=+")),
            ("1 apple".into(), "99999999999TiB".into(), "+".into())
        );
        assert_eq!(
            (of("free=1@nth=0"), of("free=1@rank=x"), of("free=x"), of("meminfo:=1")),
            ("nth=0".into(), "rank=x".into(), "x".into(), "meminfo:".into())
        );
        assert_eq!(
            (of("cgroup:memory.stat=1"), of("cgroup:cpu.max=1")),
            ("cgroup:memory.stat".into(), "cgroup:cpu.max".into())
        );
        assert_eq!(
            (of("free=max"), of("cgroup:memory.max=available")),
            ("free=max".into(), "cgroup:memory.max=available".into())
        );
        let many = "free=1;".repeat(17);
        assert_eq!(parse(many.as_bytes()).unwrap_err().expected, "no more than 16 rules");
    }

    proptest! {
        /// Protects: a fraction is rounded down once.
        #[test]
        fn decimals_are_exact(whole in 0u64..1000, part in "[0-9]{1,12}", scale in 1u64..=1 << 40) {
            let power = 10u128.pow(u32::try_from(part.len()).unwrap());
            let exact = (u128::from(whole) * power + part.parse::<u128>().unwrap()) * u128::from(scale) / power;
            prop_assert_eq!(decimal(format!("{whole}.{part}").as_bytes(), scale).map(u128::from), Some(exact));
        }

        /// Protects: no text makes it panic, and what it takes it can show again.
        #[test]
        fn any_text_is_answered(text in "[a-z:=@;,.+x0-9GiB -]{0,40}") {
            if let Ok(rules) = parse(text.as_bytes()) {
                for (_, rule) in rules.iter() {
                    let again = parse(rule.text).unwrap();
                    prop_assert_eq!(again.iter().next().unwrap().1, rule);
                }
            }
        }
    }
}

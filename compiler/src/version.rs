//! Versions (<https://semver.org>) and constraints on them, in Terraform's words
//! (<https://developer.hashicorp.com/terraform/language/expressions/version-constraints>).

use std::cmp::Ordering;
use std::fmt;

/// The version of Terraform whose language this is; state files and documents of plans name it, too.
pub const TERRAFORM: &str = "1.11.4";

/// `1.2.3-rc.1`. What is not written is 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    pub numbers: [u64; 3],
    /// Empty: a release.
    pub prerelease: Vec<Identifier>,
    /// How many of the numbers were written.
    n_written: usize,
}

/// A part of a prerelease. Numbers are lower than words.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Identifier {
    Number(u64),
    Word(String),
}

/// `>= 1.2, < 2.0`: all have to hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Constraints(Vec<(Operator, Version)>);

/// The part that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no constraint on a version")]
pub struct InvalidConstraint(pub String);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Greater,
    AtLeast,
    Less,
    AtMost,
    /// Only the last number that is written may grow.
    Pessimistic,
}

/// Longer ones first: each is looked for at the beginning of a text.
const OPERATORS: &[(&str, Operator)] = &[
    ("~>", Operator::Pessimistic),
    (">=", Operator::AtLeast),
    ("<=", Operator::AtMost),
    ("!=", Operator::NotEqual),
    ("=", Operator::Equal),
    (">", Operator::Greater),
    ("<", Operator::Less),
];

impl Operator {
    /// Of those with one bound, as Terraform orders them.
    fn rank(self) -> usize {
        match self {
            Operator::Greater => 0,
            Operator::AtLeast => 1,
            Operator::Equal => 2,
            Operator::Pessimistic => 3,
            Operator::AtMost => 4,
            Operator::Less => 5,
            Operator::NotEqual => 6,
        }
    }

    fn sign(self) -> &'static str {
        match self {
            Operator::Greater => "> ",
            Operator::AtLeast => ">= ",
            Operator::Equal => "",
            Operator::Pessimistic => "~> ",
            Operator::AtMost => "<= ",
            Operator::Less => "< ",
            Operator::NotEqual => "!= ",
        }
    }
}

/// As lock files have them.
impl fmt::Display for Constraints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (idx, (operator, bound)) in self.0.iter().enumerate() {
            let separator = if idx == 0 { "" } else { ", " };
            write!(f, "{separator}{}", operator.sign())?;
            let text = bound.to_string();
            let is_short = *operator == Operator::Pessimistic && bound.n_written == 2;
            match text.split_once('-') {
                _ if !is_short => f.write_str(&text)?,
                Some((_, prerelease)) => write!(f, "{}.{}-{prerelease}", bound.numbers[0], bound.numbers[1])?,
                None => write!(f, "{}.{}", bound.numbers[0], bound.numbers[1])?,
            }
        }
        Ok(())
    }
}

impl Version {
    /// None if the text is no version. A `v` in front, as tags have it, is no part of it; nor is what follows a `+`.
    pub fn parse(text: &str) -> Option<Version> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let text = text.split('+').next().unwrap_or_default();
        let (release, prerelease) = match text.split_once('-') {
            Some((release, prerelease)) => (release, Some(prerelease)),
            None => (text, None),
        };
        let mut numbers = [0; 3];
        let mut n_written = 0;
        for part in release.split('.') {
            *numbers.get_mut(n_written)? = number(part)?;
            n_written += 1;
        }
        let prerelease = prerelease.map_or(Some(Vec::new()), |text| text.split('.').map(identifier).collect())?;
        Some(Version { numbers, prerelease, n_written })
    }
}

fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

fn identifier(text: &str) -> Option<Identifier> {
    let is_word = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    is_word.then(|| number(text).map_or_else(|| Identifier::Word(text.to_owned()), Identifier::Number))
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Version) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Version) -> Ordering {
        let by_prerelease = match (self.prerelease.is_empty(), other.prerelease.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => self.prerelease.cmp(&other.prerelease),
        };
        self.numbers.cmp(&other.numbers).then(by_prerelease)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.numbers;
        write!(f, "{major}.{minor}.{patch}")?;
        for (idx, part) in self.prerelease.iter().enumerate() {
            f.write_str(if idx == 0 { "-" } else { "." })?;
            match part {
                Identifier::Number(number) => write!(f, "{number}")?,
                Identifier::Word(word) => f.write_str(word)?,
            }
        }
        Ok(())
    }
}

impl Constraints {
    pub fn parse(text: &str) -> Result<Constraints, InvalidConstraint> {
        let parts = text.split(',').map(str::trim);
        parts
            .map(|part| constraint(part).ok_or_else(|| InvalidConstraint(part.to_owned())))
            .collect::<Result<_, _>>()
            .map(Constraints)
    }

    /// What all modules say of a provider's version, each constraint once. As Terraform has it of providers, and of nothing
    /// else, `~> 1` means `~> 1.0`.
    pub fn of_provider(texts: &[String]) -> Result<Constraints, InvalidConstraint> {
        let mut all = Vec::new();
        for text in texts {
            all.extend(Constraints::parse(text)?.0);
        }
        for (operator, bound) in &mut all {
            let least = if *operator == Operator::Pessimistic { 2 } else { 3 };
            bound.n_written = bound.n_written.max(least);
        }
        all.sort_by(|(one, bound), (other, other_bound)| {
            bound
                .cmp(other_bound)
                .then_with(|| (one.rank(), other_bound.n_written).cmp(&(other.rank(), bound.n_written)))
        });
        all.dedup();
        Ok(Constraints(all))
    }

    pub fn allow(&self, version: &Version) -> bool {
        self.0.iter().all(|(operator, bound)| allows(*operator, bound, version))
    }
}

fn constraint(text: &str) -> Option<(Operator, Version)> {
    let (operator, rest) = OPERATORS
        .iter()
        .find_map(|(sign, operator)| Some((*operator, text.strip_prefix(sign)?)))
        .unwrap_or((Operator::Equal, text));
    let rest = rest.trim_start();
    // A `v` belongs to a tag, not to a version.
    let version = Version::parse(rest).filter(|_| !rest.starts_with('v'))?;
    Some((operator, version))
}

fn allows(operator: Operator, bound: &Version, version: &Version) -> bool {
    // A prerelease is only taken by who asks for one of the same release.
    let is_asked_for =
        version.prerelease.is_empty() || (!bound.prerelease.is_empty() && bound.numbers == version.numbers);
    let ordering = version.cmp(bound);
    match operator {
        Operator::Equal => ordering.is_eq(),
        Operator::NotEqual => ordering.is_ne() && is_asked_for,
        Operator::Greater => ordering.is_gt() && is_asked_for,
        Operator::AtLeast => ordering.is_ge() && is_asked_for,
        Operator::Less => ordering.is_lt() && is_asked_for,
        Operator::AtMost => ordering.is_le() && is_asked_for,
        Operator::Pessimistic => {
            // Of `~> 1` nothing stands before the last number.
            let fixed = bound.n_written.saturating_sub(1);
            ordering.is_ge() && version.numbers[..fixed] == bound.numbers[..fixed] && is_asked_for
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(constraints: &str) -> String {
        const VERSIONS: &[&str] = &[
            "0.9.0",
            "1.0.0-rc.1",
            "1.0.0",
            "1.2.0",
            "1.2.3-beta",
            "1.2.3",
            "1.2.9",
            "1.3.0",
            "2.0.0-rc.2",
            "2.0.0",
            "10.0.0",
        ];
        let constraints = Constraints::parse(constraints).unwrap();
        let allowed = VERSIONS.iter().filter(|text| constraints.allow(&Version::parse(text).unwrap()));
        allowed.copied().collect::<Vec<_>>().join(" ")
    }

    /// Asked of `terraform providers`, 1.11.4.
    #[test]
    fn constraints_on_providers_are_put_in_terraforms_order() {
        let canonical = |texts: &[&str]| {
            let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
            Constraints::of_provider(&texts).unwrap().to_string()
        };
        assert_eq!(
            canonical(&["< 2.0, >= 1, != 1.1, ~> 1.2, >1.0.1-beta, = 1.2.3, 1.2.3", "~> 1.0, ~>1, <=3, >= 1"]),
            ">= 1.0.0, ~> 1.0, > 1.0.1-beta, != 1.1.0, ~> 1.2, 1.2.3, < 2.0.0, <= 3.0.0"
        );
        assert_eq!(
            canonical(&["<= 1.0.0, ~> 1.0, > 1.0.0, != 1.0.0, ~> 1.0.0, = 1.0.0, < 1.0.0, >= 1.0.0"]),
            "> 1.0.0, >= 1.0.0, 1.0.0, ~> 1.0.0, ~> 1.0, <= 1.0.0, < 1.0.0, != 1.0.0"
        );
        assert_eq!(canonical(&["1, 1.0, ~> 1.2-beta, !=2"]), "1.0.0, ~> 1.2-beta, != 2.0.0");
        assert_eq!(canonical(&[]), "");
    }

    #[test]
    fn constraints_allow_what_terraform_allows() {
        assert_eq!(allowed("1.2.3"), "1.2.3");
        assert_eq!(allowed("= 1.2"), "1.2.0");
        assert_eq!(allowed("~> 1.2"), "1.2.0 1.2.3 1.2.9 1.3.0");
        assert_eq!(allowed("~> 1.2.3"), "1.2.3 1.2.9");
        assert_eq!(allowed("~> 2"), "2.0.0 10.0.0");
        assert_eq!(allowed(">= 1.2.0, < 2.0.0"), "1.2.0 1.2.3 1.2.9 1.3.0");
        assert_eq!(allowed("> 1.2.3, != 1.3.0"), "1.2.9 2.0.0 10.0.0");
        assert_eq!(allowed("!= 1.0"), "0.9.0 1.2.0 1.2.3 1.2.9 1.3.0 2.0.0 10.0.0");
        assert_eq!(allowed("<= 1.0"), "0.9.0 1.0.0");
        assert_eq!(allowed("= 1.0.0-rc.1"), "1.0.0-rc.1");
        assert_eq!(allowed(">= 2.0.0-rc.1"), "2.0.0-rc.2 2.0.0 10.0.0");
    }

    #[test]
    fn versions_are_in_the_order_of_semver() {
        // The example of semver.org, section 11.
        let order = [
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
        ];
        let versions: Vec<Version> = order.iter().map(|text| Version::parse(text).unwrap()).collect();
        assert!(versions.is_sorted());
        let shown: Vec<String> = versions.iter().map(Version::to_string).collect();
        assert_eq!(shown, order);
        assert_eq!(Version::parse("v1.2+build.7").unwrap().to_string(), "1.2.0");
    }

    #[test]
    fn what_is_no_version_is_refused() {
        for text in ["", "1.", "1.2.3.4", "one", "1.2.3-", "1.-2", "1.2.3-a..b", "99999999999999999999.0.0"] {
            assert_eq!(Version::parse(text), None, "{text}");
        }
        for (text, part) in [("", ""), ("~> 1.2, <", "<"), ("latest", "latest"), (">= v1", ">= v1"), ("=> 1", "=> 1")] {
            assert_eq!(Constraints::parse(text), Err(InvalidConstraint(part.to_owned())));
        }
    }
}

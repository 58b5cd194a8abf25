//! Which users run daemons where root started them: every layer has one of its own, so that one application gets at
//! nothing of another's. They are numbers without an entry in /etc/passwd, given out from a range that is nobody's.
//!
//! The number follows from the folder of the machines, the scope and the layer, so that folders of machines that know
//! nothing of each other hardly ever meet, and a layer that comes again finds its data its own.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;

use sha2::{Digest, Sha256};

use crate::driver::{DriverError, Result};

/// systemd's list of ranges ("Users, Groups, UIDs and GIDs on systemd Systems") calls this one unused.
const RANGE: (u32, u32) = (0x7000_0000, 0x7fff_fffe);
/// Where a container has only the first 65,536: above people's and below systemd's dynamic ones.
const RANGE_OF_CONTAINERS: (u32, u32) = (30_000, 59_999);
const SETTING: &str = "users";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Users {
    first: u32,
    last: u32,
}

impl Users {
    /// As set, else of what there is here.
    pub(super) fn new(setting: Option<&str>) -> Result<Users> {
        let mapped =
            ["/proc/self/uid_map", "/proc/self/gid_map"].map(|path| std::fs::read_to_string(path).unwrap_or_default());
        Users::of(setting, &mapped)
    }

    fn of(setting: Option<&str>, maps: &[String]) -> Result<Users> {
        let bad = |reason: String| DriverError::Setting { name: SETTING.to_owned(), reason };
        let is_mapped = |(first, last): (u32, u32)| maps.iter().all(|map| is_within(map, first, last));
        let range = match setting {
            Some(text) => {
                let ends = text.split_once('-').and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)));
                let range = ends.filter(|(first, last)| (1000..*last).contains(first) && *last < u32::MAX);
                let range = range.ok_or_else(|| bad("write two numbers from 1000 on, such as 20000-29999".to_owned()))?;
                if !is_mapped(range) {
                    return Err(bad("not all of these users exist in this container (/proc/self/uid_map)".to_owned()));
                }
                range
            }
            None => [RANGE, RANGE_OF_CONTAINERS].into_iter().find(|range| is_mapped(*range)).ok_or_else(|| {
                bad("this container has none that could be given out: set a range, such as 20000-29999, of those in /proc/self/uid_map, or do not run as root".to_owned())
            })?,
        };
        Ok(Users { first: range.0, last: range.1 })
    }

    pub(super) fn has(self, user: u32) -> bool {
        (self.first..=self.last).contains(&user)
    }

    /// The user of what has this name.
    pub(super) fn pick(self, name: &str, taken: &BTreeSet<u32>) -> Result<u32> {
        let digest = Sha256::digest(name.as_bytes());
        let start = digest[..8].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        let span = u64::from(self.last - self.first) + 1;
        let candidates = (0..span).map(|step| self.first + ((start % span + step) % span) as u32);
        let free = candidates.take(taken.len() + 1).find(|user| !taken.contains(user));
        free.ok_or_else(|| DriverError::Setting {
            name: SETTING.to_owned(),
            reason: format!("all users from {} to {} are given out", self.first, self.last),
        })
    }
}

/// Whether a map of ids (user_namespaces(7)) has all of these. Without a map there are all.
fn is_within(map: &str, first: u32, last: u32) -> bool {
    let mut ranges: Vec<(u64, u64)> = map
        .lines()
        .filter_map(|line| {
            let mut numbers = line.split_ascii_whitespace().map(str::parse::<u64>);
            let (inside, _, count) = (numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?);
            Some((inside, inside + count))
        })
        .collect();
    ranges.sort_unstable();
    let mut next = u64::from(first);
    for (start, end) in &ranges {
        if *start <= next && next < *end {
            next = *end;
        }
    }
    ranges.is_empty() || next > u64::from(last)
}

/// Those that somebody has: in /etc/passwd, or a process that runs.
pub(super) fn taken() -> BTreeSet<u32> {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = passwd.lines().filter_map(|line| line.split(':').nth(2)?.parse().ok());
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let running = processes.filter_map(|entry| Some(entry.metadata().ok()?.uid()));
    named.chain(running).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &str = "         0          0 4294967295\n";

    fn of(setting: Option<&str>, map: &str) -> std::result::Result<(u32, u32), String> {
        let users = Users::of(setting, &[map.to_owned(), ALL.to_owned()]);
        users.map(|users| (users.first, users.last)).map_err(|error| error.to_string())
    }

    #[test]
    fn users_are_those_that_there_are() {
        assert_eq!(of(None, ALL), Ok(RANGE));
        assert_eq!(of(None, ""), Ok(RANGE));
        assert_eq!(of(None, "0 100000 65536\n"), Ok(RANGE_OF_CONTAINERS));
        assert_eq!(of(None, "0 100000 40000\n40000 140000 25536\n"), Ok(RANGE_OF_CONTAINERS));
        assert!(of(None, "0 1000 1\n").unwrap_err().contains("has none that could be given out"));
        assert_eq!(of(Some("20000-29999"), "0 100000 65536\n"), Ok((20_000, 29_999)));
        assert!(of(Some("70000-80000"), "0 100000 65536\n").unwrap_err().contains("not all of these users"));
        for text in ["", "5", "0-9", "9-1000", "3000-2000", "a-b", "1000-4294967295", "1000-99999999999"] {
            assert!(of(Some(text), ALL).unwrap_err().contains("write two numbers"), "{text}");
        }
    }

    #[test]
    fn a_user_follows_from_the_name_and_is_nobody_elses() {
        let users = Users { first: 2000, last: 2002 };
        let mut taken = BTreeSet::new();
        let first = users.pick("shop/web", &taken).unwrap();
        assert_eq!(users.pick("shop/web", &taken).unwrap(), first);
        for _ in 0..3 {
            let user = users.pick("shop/web", &taken).unwrap();
            assert!(users.has(user) && taken.insert(user));
        }
        assert!(users.pick("shop/web", &taken).unwrap_err().to_string().contains("are given out"));
    }
}

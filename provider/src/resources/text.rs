//! What the text and numbers of attributes may be, so that every file and request they get into can carry them. What is
//! not known yet passes; it is asked again when it is known.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use value::{Path, Problem, Step};

use crate::layer::{Peer, State};

/// A day; HAProxy's timers end at 24 days.
pub(super) const INTERVALS_MS: RangeInclusive<u64> = 1..=86_400_000;

fn invalid(at: &Path, detail: impl Into<String>) -> Problem {
    Problem::error("invalid argument", detail).at(at.clone())
}

/// A part of an object without which the object is of no use.
pub(super) fn required<M>(state: &State<M>, is_missing: bool, at: &Path) -> Option<Problem> {
    (is_missing && state.is_known(at)).then(|| invalid(at, "It is required and cannot be null."))
}

/// What an environment can carry.
pub(super) fn without_nul(value: &str) -> Option<String> {
    value.contains('\0').then(|| {
        "The value holds a NUL character, which ends a text for operating systems. Encode it, for example with base64encode.".to_owned()
    })
}

/// The name of a layer or a machine, as daemons, DNS and users' own lists of machines take it.
pub(super) fn name(value: &str) -> Option<String> {
    let fits = |ch: char| ch.is_ascii_alphanumeric() || "._-".contains(ch);
    let is_word = value.starts_with(|ch: char| ch.is_ascii_alphanumeric()) && value.chars().all(fits);
    // HAProxy's own, in its statistics.
    let is_taken = matches!(value, "FRONTEND" | "BACKEND");
    (!is_word || value.len() > 128 || is_taken).then(|| {
        format!(
            "{value:?} cannot be a name here: it begins with a letter or digit and has up to 128 letters, digits, dots, hyphens and underscores."
        )
    })
}

pub(super) fn layer_id(value: &str) -> Option<String> {
    let is_part = |part: &str| {
        !part.is_empty()
            && part.len() <= 128
            && part.chars().all(|ch| ch.is_ascii_alphanumeric() || ch == '-' || ch == '_')
    };
    let is_id = value.split_once('/').is_some_and(|(scope, name)| is_part(scope) && is_part(name));
    (!is_id).then(|| format!("{value:?} is not the id of a layer, SCOPE/NAME."))
}

/// An address by its number, or a host name.
fn address(value: &str) -> Option<String> {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len()) && label.chars().all(|ch| ch.is_ascii_alphanumeric() || ch == '-')
    };
    let is_name = value.len() <= 253 && value.split('.').all(is_label);
    (value.parse::<IpAddr>().is_err() && !is_name)
        .then(|| format!("{value:?} is neither an IP address nor a host name."))
}

/// Machines of another layer.
pub(super) fn peers<M>(state: &State<M>, peers: Option<&[Peer]>, at: &Path) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut names = BTreeSet::new();
    for (idx, peer) in peers.unwrap_or_default().iter().enumerate() {
        let part = |name: &'static str| at.then(Step::Index(idx)).then(Step::Attribute(name.into()));
        problems.extend(required(state, peer.name.is_none(), &part("name")));
        problems.extend(peer.name.as_deref().and_then(name).map(|detail| invalid(&part("name"), detail)));
        if peer.name.as_ref().is_some_and(|name| !names.insert(name)) {
            problems.push(invalid(&part("name"), "Another machine of the list has the same name."));
        }
        problems.extend(required(state, peer.address.is_none(), &part("address")));
        problems.extend(peer.address.as_deref().and_then(address).map(|detail| invalid(&part("address"), detail)));
        problems.extend(required(state, peer.port.is_none(), &part("port")));
        if peer.port == Some(0) {
            problems.push(invalid(&part("port"), "A port is a number from 1 to 65535."));
        }
    }
    problems
}

/// Path and query of a request (RFC 3986, sections 3.3 and 3.4).
pub(super) fn request_path(value: &str) -> Option<String> {
    let fits = |ch: char| ch.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@%/?".contains(ch);
    let is_escaped = |rest: &str| rest.len() >= 2 && rest.as_bytes()[..2].iter().all(u8::is_ascii_hexdigit);
    let is_path = value.starts_with('/')
        && !value.starts_with("//")
        && value.len() <= 1024
        && value.chars().all(fits)
        && value.split('%').skip(1).all(is_escaped);
    (!is_path).then(|| {
        "The path of a health check begins with one slash and has up to 1024 characters of a URL: letters, digits and any of -._~!$&'()*+,;=:@/?, others as %41.".to_owned()
    })
}

//! Settings of every cloud whose machines are reached by SSH.

use std::net::Ipv4Addr;

use super::ssh::Jump;
use crate::driver::{DriverError, Result, Source};
use crate::drivers::Settings;

pub(super) const SSH_PORT: u16 = 22;

pub(crate) const SETTINGS: &[(&str, &str)] = &[
    ("connect", "private or public: the address at which this program reaches machines (public if they have one)"),
    ("egress", "the network that the machines are seen by from other clouds, such as 198.51.100.7/32 of a NAT gateway"),
    (
        "jump",
        "a host through which machines are reached, user@host or user@host:port; it must be in ~/.ssh/known_hosts",
    ),
    ("ssh_from", "required: the network from which machines are worked on by SSH, such as 198.51.100.7/32"),
    ("ssh_key", "the file of the stack's SSH key, Ed25519, made if it is not there (.lampwright/ssh_key)"),
];

/// Nobody is let in whom nobody has named: what this machine is seen by on a cloud cannot be known here.
pub(super) fn ssh_from(settings: &Settings) -> Result<Source> {
    let bad = |reason: String| DriverError::Setting { name: "ssh_from".to_owned(), reason };
    let Some(text) = settings.get("ssh_from") else {
        return Err(bad("it is not set. It says which network SSH to the machines is open to: that which lampwright runs in, such as 198.51.100.7/32 (`0.0.0.0/0` is the whole world)".to_owned()));
    };
    let network = text.split_once('/').and_then(|(address, length)| {
        let address: Ipv4Addr = address.parse().ok()?;
        let length: u32 = length.parse().ok().filter(|length| *length <= 32)?;
        let host = u32::MAX.checked_shr(length).unwrap_or(0);
        (address.to_bits() & host == 0).then_some(length)
    });
    match network {
        Some(0) => Ok(Source::World),
        Some(_) => Ok(Source::Network(text.clone())),
        None => Err(bad(format!(
            "{text:?} is no network of IPv4 addresses, such as 198.51.100.0/24, or 198.51.100.7/32 for one address"
        ))),
    }
}

/// `user@host:port`.
pub(super) fn jump(text: &str) -> Result<Jump> {
    let bad = || DriverError::Setting {
        name: "jump".to_owned(),
        reason: format!("{text:?} is not user@host or user@host:port"),
    };
    let (user, rest) = text.split_once('@').ok_or_else(bad)?;
    let (host, port) = match rest.split_once(':') {
        Some((host, port)) => (host, port.parse().map_err(|_| bad())?),
        None => (rest, SSH_PORT),
    };
    Ok(Jump { user: user.to_owned(), host: host.to_owned(), port })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::Ingress;

    fn rule(ssh_from: Option<&str>) -> std::result::Result<String, String> {
        let settings = ssh_from.map(|text| ("ssh_from".to_owned(), text.to_owned())).into_iter().collect();
        let source = super::ssh_from(&settings).map_err(|error| error.to_string())?;
        Ok(Ingress { source, port: SSH_PORT }.to_string())
    }

    #[test]
    fn ssh_is_open_to_nobody_who_was_not_named() {
        assert_eq!(rule(Some("198.51.100.7/32")).unwrap(), "tcp 22 from 198.51.100.7");
        assert_eq!(rule(Some("10.0.0.0/8")).unwrap(), "tcp 22 from 10.0.0.0/8");
        assert_eq!(rule(Some("0.0.0.0/0")).unwrap(), "tcp 22 from anywhere");
        assert!(rule(None).unwrap_err().contains("the setting `ssh_from` of the cloud is not valid: it is not set"));
        // A network begins where it begins.
        for text in ["", "198.51.100.7", "198.51.100.7/24", "10.0.0.0/33", "::/0", "world", "0.0.0.0/", "1.2.3.4/0"] {
            assert!(rule(Some(text)).unwrap_err().contains("is no network of IPv4 addresses"), "{text}");
        }
    }
}

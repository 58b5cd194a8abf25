//! Plugins that run already, as their developers have started them: TF_REATTACH_PROVIDERS ("Plugin Development: Debugging" in
//! Terraform's documentation), JSON with what each serves at, by the provider's source.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use compiler::addr::ProviderSource;
use engine::host::handshake::{Handshake, Network, Protocol};
use serde::Deserialize;

use crate::host::Environment;

const VARIABLE: &str = "TF_REATTACH_PROVIDERS";

/// `Pid` and `Test` say whom to end, and whether; nobody is.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    protocol: String,
    #[serde(default)]
    protocol_version: u32,
    addr: Addr,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Addr {
    network: String,
    string: String,
}

/// Those that the variable names.
pub(super) fn running(environment: &Environment) -> anyhow::Result<BTreeMap<ProviderSource, Handshake>> {
    let Some(text) = environment.text(VARIABLE) else { return Ok(BTreeMap::new()) };
    let entries: BTreeMap<String, Entry> =
        serde_json::from_str(&text).with_context(|| format!("{VARIABLE} cannot be read"))?;
    let mut running = BTreeMap::new();
    for (name, entry) in entries {
        let Some(source) = ProviderSource::parse(&name) else {
            bail!("{VARIABLE}: {name:?} is no source of a provider; write such as \"namespace/type\"");
        };
        if source == ProviderSource::lampwright() {
            bail!("{VARIABLE}: {name}, which is told more than the protocol has, is always started here");
        }
        if entry.protocol != "grpc" {
            bail!("{VARIABLE}: {name} speaks {:?}, and only \"grpc\" is spoken here", entry.protocol);
        }
        let protocol = match entry.protocol_version {
            // Whoever does not say it is older than version 6.
            0 | 5 => Protocol::V5,
            6 => Protocol::V6,
            other => bail!("{VARIABLE}: {name} has ProtocolVersion {other}; this program speaks protocols 5 and 6"),
        };
        let network = match &*entry.addr.network {
            "unix" => Network::Unix,
            "tcp" => Network::Tcp,
            other => bail!("{VARIABLE}: {name} has the network {other:?}; it is \"unix\" or \"tcp\""),
        };
        running.insert(source, Handshake { protocol, network, address: entry.addr.string, certificate: None });
    }
    Ok(running)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_honoured_is_refused_by_name() {
        let at =
            |entry: &str| format!("{{\"x/y\": {{{entry}, \"Addr\": {{\"Network\": \"unix\", \"String\": \"/s\"}}}}}}");
        let plain = at("\"Protocol\": \"grpc\", \"Pid\": 7, \"Test\": true");
        for (text, expected) in [
            (plain.clone(), "registry.terraform.io/x/y: 1|5|unix|/s|grpc|"),
            (plain.replace("x/y", "h.example/x/y").replace("unix", "tcp"), "h.example/x/y: 1|5|tcp|/s|grpc|"),
            (at("\"Protocol\": \"grpc\", \"ProtocolVersion\": 6"), "registry.terraform.io/x/y: 1|6|unix|/s|grpc|"),
            (at("\"Protocol\": \"grpc\", \"ProtocolVersion\": 7"), "x/y has ProtocolVersion 7;"),
            (at("\"Protocol\": \"netrpc\""), "x/y speaks \"netrpc\""),
            (plain.replace("unix", "udp"), "x/y has the network \"udp\""),
            (plain.replace("x/y", "x y"), "\"x y\" is no source of a provider"),
            (plain.replace("x/y", "lampwright/lampwright"), "is always started here"),
            ("[]".to_owned(), "TF_REATTACH_PROVIDERS cannot be read"),
        ] {
            let environment = Environment::new([(VARIABLE.into(), text.into())]);
            let told = match running(&environment) {
                Ok(running) => running.iter().map(|(source, at)| format!("{source}: {}", at.to_line())).collect(),
                Err(error) => format!("{error:#}"),
            };
            assert!(told.contains(expected), "{told}");
        }
    }
}

//! Firewall rules as clouds keep them, one source each, as the text that a layer's own rules have: so that what is
//! there can be compared with what was asked for.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::driver::Admitted;

#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub(super) by: Option<String>,
    /// None: all of them.
    pub(super) protocol: Option<String>,
    /// None: all of them.
    pub(super) ports: Option<(u32, u32)>,
    pub(super) source: Source,
}

#[derive(Debug, Clone)]
pub(super) enum Source {
    /// A layer, a network, or anywhere.
    Named(String),
    /// Those of one rule of ours are several of the cloud's.
    Address(IpAddr),
}

impl Source {
    pub(super) fn of_cidr(cidr: &str) -> Source {
        if cidr == "0.0.0.0/0" {
            return Source::Named("anywhere".to_owned());
        }
        let single = cidr.strip_suffix("/32").or_else(|| cidr.strip_suffix("/128")).unwrap_or(cidr);
        single.parse().map_or_else(|_| Source::Named(cidr.to_owned()), Source::Address)
    }
}

pub(super) fn texts(rules: impl Iterator<Item = Rule>) -> Vec<Admitted> {
    let mut admitted = Vec::new();
    let mut addresses: BTreeMap<(Option<String>, String), Vec<IpAddr>> = BTreeMap::new();
    for rule in rules {
        let ports = match rule.ports {
            None => String::new(),
            Some((low, high)) if low == high => format!(" {low}"),
            Some((low, high)) => format!(" {low}-{high}"),
        };
        let what = format!("{}{ports}", rule.protocol.as_deref().unwrap_or("everything"));
        match rule.source {
            Source::Named(source) => admitted.push(Admitted { by: rule.by, text: format!("{what} from {source}") }),
            Source::Address(address) => addresses.entry((rule.by, what)).or_default().push(address),
        }
    }
    for ((by, what), mut sources) in addresses {
        sources.sort();
        let sources: Vec<String> = sources.iter().map(IpAddr::to_string).collect();
        admitted.push(Admitted { by, text: format!("{what} from {}", sources.join(", ")) });
    }
    admitted.sort();
    admitted.dedup();
    admitted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::{Ingress, Source as Asked};

    #[test]
    fn what_is_there_reads_as_it_was_asked_for() {
        let addresses: Vec<IpAddr> = ["10.0.0.9", "10.0.0.10"].map(|text| text.parse().unwrap()).to_vec();
        let asked = Ingress { source: Asked::Addresses(addresses), port: 8080 };
        let rule = |cidr: &str| Rule {
            by: Some("t/lb".to_owned()),
            protocol: Some("tcp".to_owned()),
            ports: Some((8080, 8080)),
            source: Source::of_cidr(cidr),
        };
        let found = texts([rule("10.0.0.10/32"), rule("10.0.0.9/32")].into_iter());
        assert_eq!(found, [Admitted { by: Some("t/lb".to_owned()), text: asked.to_string() }]);
        let world = Ingress { source: Asked::World, port: 8080 };
        assert_eq!(texts([rule("0.0.0.0/0")].into_iter())[0].text, world.to_string());
        let network = Ingress { source: Asked::Network("198.51.100.7/32".to_owned()), port: 8080 };
        assert_eq!(texts([rule("198.51.100.7/32")].into_iter())[0].text, network.to_string());
    }
}

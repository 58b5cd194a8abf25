//! What a cloud or chance would give, made of names alone: the same in every plan, everywhere. For plans that only
//! simulate (`drivers/simulated.rs`).

use std::net::{IpAddr, Ipv4Addr};

use sha2::{Digest, Sha256};

use crate::bundle::hex;
use crate::driver::{LayerId, MachineKey};

/// In a network of the machine's layer below 10.0.0.0/8.
pub(crate) fn address(key: &MachineKey) -> IpAddr {
    let network = Sha256::digest(key.layer.name.as_bytes())[0];
    let [high, low] = (key.id as u16).to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(10, network, high, low))
}

/// In place of a random secret.
pub(crate) fn secret(layer: &LayerId, name: &str) -> String {
    hex(&Sha256::digest(format!("{}\0{name}", layer.name).as_bytes()))
}

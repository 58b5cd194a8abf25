//! Addresses and networks.

use std::net::IpAddr;

use value::Value;

use super::{Func, FuncError, Param, argument, gives_string, number, string, text, whole};

pub(super) const FUNCS: &[Func] = &[
    Func {
        name: "cidrhost",
        doc: "The address of the host with a number in a network; negative numbers count from the end.",
        params: &[Param::new("prefix", string), Param::new("host", number)],
        variadic: None,
        examples: &[
            (r#"cidrhost("10.1.0.0/16", 5)"#, r#""10.1.0.5""#),
            (r#"cidrhost("10.1.0.0/16", -1)"#, r#""10.1.255.255""#),
        ],
        result_ty: gives_string,
        call: |args, _| {
            let network = Network::parse(text(args, 0))?;
            let host = whole(args, 1)?;
            let size = network.host_bits();
            let limit = if size >= 127 { i128::MAX } else { 1i128 << size };
            let host = if host < 0 { limit + i128::from(host) } else { i128::from(host) };
            if host < 0 || host >= limit {
                return Err(argument(1, format!("the network has room for {limit} addresses only")));
            }
            Ok(Value::string(network.address(network.base | host as u128).to_string()))
        },
    },
    Func {
        name: "cidrnetmask",
        doc: "The netmask of an IPv4 network.",
        params: &[Param::new("prefix", string)],
        variadic: None,
        examples: &[(r#"cidrnetmask("10.0.0.0/12")"#, r#""255.240.0.0""#)],
        result_ty: gives_string,
        call: |args, _| {
            let network = Network::parse(text(args, 0))?;
            if network.bits != 32 {
                return Err(argument(0, "only IPv4 has netmasks"));
            }
            Ok(Value::string(network.address(mask(32, network.length)).to_string()))
        },
    },
    Func {
        name: "cidrsubnet",
        doc: "A network within a network: so many bits more, and its number.",
        params: &[Param::new("prefix", string), Param::new("newbits", number), Param::new("netnum", number)],
        variadic: None,
        examples: &[
            (r#"cidrsubnet("10.0.0.0/8", 8, 2)"#, r#""10.2.0.0/16""#),
            (r#"cidrsubnet("fd00::/8", 8, 1)"#, r#""fd01::/16""#),
        ],
        result_ty: gives_string,
        call: |args, _| {
            let network = Network::parse(text(args, 0))?;
            let length = u32::try_from(whole(args, 1)?).ok().and_then(|bits| network.length.checked_add(bits));
            let length = length
                .filter(|length| *length <= network.bits)
                .ok_or_else(|| argument(1, "the address has not so many bits"))?;
            let number = u128::try_from(whole(args, 2)?).map_err(|_| argument(2, "it cannot be negative"))?;
            if length - network.length < 64 && number >> (length - network.length) != 0 {
                return Err(argument(2, "the network has not so many subnets"));
            }
            let shift = network.bits - length;
            let base = network.base | number.checked_shl(shift).unwrap_or(0);
            Ok(Value::string(format!("{}/{length}", network.address(base))))
        },
    },
];

struct Network {
    base: u128,
    length: u32,
    /// 32 or 128.
    bits: u32,
}

impl Network {
    fn parse(text: &str) -> Result<Network, FuncError> {
        let bad = || argument(0, "a network is written as address/length, such as 10.0.0.0/16");
        let (address, length) = text.split_once('/').ok_or_else(bad)?;
        let (address, bits) = match address.parse().map_err(|_| bad())? {
            IpAddr::V4(v4) => (u128::from(v4.to_bits()), 32),
            IpAddr::V6(v6) => (v6.to_bits(), 128),
        };
        let length: u32 = length.parse().ok().filter(|length| *length <= bits).ok_or_else(bad)?;
        Ok(Network { base: address & mask(bits, length), length, bits })
    }

    fn host_bits(&self) -> u32 {
        self.bits - self.length
    }

    fn address(&self, address: u128) -> IpAddr {
        if self.bits == 32 { IpAddr::V4((address as u32).into()) } else { IpAddr::V6(address.into()) }
    }
}

fn mask(bits: u32, length: u32) -> u128 {
    let all = if bits == 128 { u128::MAX } else { (1 << bits) - 1 };
    all & !all.checked_shr(length).unwrap_or(0)
}

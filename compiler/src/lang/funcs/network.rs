//! Addresses and networks.

use std::net::{IpAddr, Ipv4Addr};

use value::{Ty, Value};

use super::{Func, FuncError, Param, argument, gives_bool, gives_string, gives_strings, number, string, text, whole};

pub(super) const FUNCS: &[Func] = &[
    Func {
        name: "cidrcontains",
        doc: "Whether a network contains an address, or another network wholly.",
        params: &[Param::new("prefix", string), Param::new("contained", string)],
        variadic: None,
        examples: &[
            (r#"cidrcontains("10.0.0.0/8", "10.1.2.3")"#, "true"),
            (r#"cidrcontains("10.0.0.0/16", "10.0.0.0/8")"#, "false"),
        ],
        unknown: gives_bool,
        call: |args, _| {
            let network = Network::parse(args, 0)?;
            let contained = match text(args, 1).contains('/') {
                true => Network::parse(args, 1)?,
                false => Network::of_address(parse_address(text(args, 1)).ok_or_else(|| argument(1, NOT_AN_ADDRESS))?),
            };
            if network.bits != contained.bits {
                return Err(argument(1, "both must be of IPv4, or both of IPv6"));
            }
            let is_within = contained.base & mask(network.bits, network.length) == network.base;
            Ok(Value::Bool(is_within && contained.length >= network.length))
        },
    },
    Func {
        name: "cidrhost",
        doc: "The address of the host with a number in a network; negative numbers count from the end.",
        params: &[Param::new("prefix", string), Param::new("host", number)],
        variadic: None,
        examples: &[
            (r#"cidrhost("10.1.0.0/16", 5)"#, r#""10.1.0.5""#),
            (r#"cidrhost("10.1.0.0/16", -1)"#, r#""10.1.255.255""#),
        ],
        unknown: gives_string,
        call: |args, _| {
            let network = Network::parse(args, 0)?;
            let host_bits = network.bits - network.length;
            let host = numbered(args, 1, host_bits)?;
            Ok(Value::string(network.address(network.base | host).to_string()))
        },
    },
    Func {
        name: "cidrnetmask",
        doc: "The netmask of an IPv4 network.",
        params: &[Param::new("prefix", string)],
        variadic: None,
        examples: &[(r#"cidrnetmask("10.0.0.0/12")"#, r#""255.240.0.0""#)],
        unknown: gives_string,
        call: |args, _| {
            let network = Network::parse(args, 0)?;
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
        unknown: gives_string,
        call: |args, _| {
            let network = Network::parse(args, 0)?;
            let new_bits = u32::try_from(whole(args, 1)?).map_err(|_| argument(1, "it cannot be negative"))?;
            let length = network.longer(new_bits).ok_or_else(|| argument(1, "the address has not so many bits"))?;
            if args[2].as_number().is_some_and(value::Number::is_negative) {
                return Err(argument(2, "it cannot be negative"));
            }
            let number = numbered(args, 2, new_bits)?;
            let base = network.base | number.checked_shl(network.bits - length).unwrap_or(0);
            Ok(Value::string(format!("{}/{length}", network.address(base))))
        },
    },
    Func {
        name: "cidrsubnets",
        doc: "Networks one after the other within a network, each of so many bits more.",
        params: &[Param::new("prefix", string)],
        variadic: Some(Param::new("newbits", number)),
        examples: &[(r#"cidrsubnets("10.1.0.0/16", 4, 8)"#, "tolist([\n  \"10.1.0.0/20\",\n  \"10.1.16.0/24\",\n])")],
        unknown: gives_strings,
        call: |args, _| {
            let network = Network::parse(args, 0)?;
            // Where the last one ended; none at the end of all addresses.
            let mut free = Some(network.base);
            let mut subnets = Vec::new();
            for idx in 1..args.len() {
                let new_bits = u32::try_from(whole(args, idx)?).ok().filter(|bits| (1..=32).contains(bits));
                let new_bits = new_bits.ok_or_else(|| argument(idx, "a number of bits from 1 to 32 is required"))?;
                let length = network.longer(new_bits);
                let length = length.ok_or_else(|| argument(idx, "the address has not so many bits"))?;
                // Each begins where its own size divides the addresses.
                let size_less_one = host_mask(network.bits, length);
                let base = free.and_then(|free| free.checked_add(size_less_one)).map(|end| end & !size_less_one);
                let base = base.filter(|base| base & mask(network.bits, network.length) == network.base);
                let base = base.ok_or_else(|| argument(idx, "there is no room left in the network"))?;
                free = (base | size_less_one).checked_add(1).filter(|free| network.bits == 128 || *free >> 32 == 0);
                subnets.push(Value::string(format!("{}/{length}", network.address(base))));
            }
            Ok(Value::list(Ty::String, subnets))
        },
    },
];

const NOT_AN_ADDRESS: &str = "it is not an address of IPv4 or IPv6";

struct Network {
    base: u128,
    length: u32,
    /// 32 or 128.
    bits: u32,
}

impl Network {
    fn parse(args: &[Value], idx: usize) -> Result<Network, FuncError> {
        let bad = || argument(idx, "a network is written as address/length, such as 10.0.0.0/16");
        let (address, length) = text(args, idx).split_once('/').ok_or_else(bad)?;
        let whole = Network::of_address(parse_address(address).ok_or_else(bad)?);
        let is_number = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
        let length = length.parse().ok().filter(|length| is_number && *length <= whole.bits).ok_or_else(bad)?;
        Ok(Network { base: whole.base & mask(whole.bits, length), length, bits: whole.bits })
    }

    /// Of nothing else.
    fn of_address(address: IpAddr) -> Network {
        match address {
            IpAddr::V4(v4) => Network { base: u128::from(v4.to_bits()), length: 32, bits: 32 },
            IpAddr::V6(v6) => Network { base: v6.to_bits(), length: 128, bits: 128 },
        }
    }

    fn longer(&self, bits: u32) -> Option<u32> {
        self.length.checked_add(bits).filter(|length| *length <= self.bits)
    }

    fn address(&self, address: u128) -> IpAddr {
        if self.bits == 32 { IpAddr::V4((address as u32).into()) } else { IpAddr::V6(address.into()) }
    }
}

/// Zeros at the beginning of a number of an IPv4 address mean nothing, as in Terraform.
fn parse_address(text: &str) -> Option<IpAddr> {
    if text.contains(':') {
        return text.parse().ok();
    }
    let parts: Vec<u8> = text
        .split('.')
        .map(|part| part.parse().ok().filter(|_| part.bytes().all(|byte| byte.is_ascii_digit())))
        .collect::<Option<_>>()?;
    <[u8; 4]>::try_from(parts).ok().map(|parts| IpAddr::V4(Ipv4Addr::from(parts)))
}

/// A number of so many bits; a negative one counts from the end.
fn numbered(args: &[Value], idx: usize, bits: u32) -> Result<u128, FuncError> {
    let number = args[idx].as_number().expect("the parameter is a number");
    if !number.is_whole() {
        return Err(argument(idx, format!("a whole number is required, not {number}")));
    }
    let shown = number.to_string();
    let room = || argument(idx, format!("there is room for 2^{bits} of them only"));
    let magnitude: u128 = shown.trim_start_matches('-').parse().map_err(|_| room())?;
    let most = host_mask(bits, 0);
    if !number.is_negative() {
        return if magnitude <= most { Ok(magnitude) } else { Err(room()) };
    }
    // From the end: -1 is the last.
    if magnitude - 1 <= most { Ok(most - (magnitude - 1)) } else { Err(room()) }
}

fn mask(bits: u32, length: u32) -> u128 {
    host_mask(bits, 0) & !host_mask(bits, length)
}

/// The bits behind the first `length` of `bits`.
fn host_mask(bits: u32, length: u32) -> u128 {
    match bits - length {
        0 => 0,
        128 => u128::MAX,
        behind => (1 << behind) - 1,
    }
}

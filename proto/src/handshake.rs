//! How a host and a plugin process find each other: environment variables one way, one line the other way.
//!
//! Facts of go-plugin 1.6 and terraform 1.11 (`internal/plugin6/serve.go`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

pub const COOKIE_KEY: &str = "TF_PLUGIN_MAGIC_COOKIE";
pub const COOKIE_VALUE: &str = "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2";
/// The host's certificate as PEM; absent when the host wants no TLS.
pub const CLIENT_CERT: &str = "PLUGIN_CLIENT_CERT";
/// The protocol versions that the host knows, separated by commas, in no order.
pub const PROTOCOL_VERSIONS: &str = "PLUGIN_PROTOCOL_VERSIONS";
/// The version that our plugin speaks.
pub const PROTOCOL_VERSION: u32 = 6;
/// The versions that our engine speaks, as [`PROTOCOL_VERSIONS`] has them.
pub const HOST_VERSIONS: &str = "5,6";
const CORE_VERSION: u32 = 1;

/// A version of Terraform's provider protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    V5,
    V6,
}

/// The line that a plugin prints: `1|6|unix|/path|grpc|certificate`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handshake {
    pub protocol: Protocol,
    pub network: Network,
    pub address: String,
    /// The plugin's certificate as DER, when it serves TLS.
    pub certificate: Option<Vec<u8>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    Unix,
    Tcp,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    #[error("it printed {0:?} instead of a handshake line; is it a Terraform provider?")]
    NotAHandshake(String),
    #[error("it speaks plugin protocol {found}; this program speaks protocols 5 and 6")]
    Version { found: String },
    #[error("it speaks {found:?} over {network:?}; only gRPC over a unix or tcp socket is supported")]
    Transport { network: String, found: String },
    #[error("its certificate is not readable")]
    Certificate,
}

impl Handshake {
    /// The line, without the newline that ends it. The certificate is base64 of the standard alphabet without
    /// padding, which is all that go-plugin reads.
    pub fn to_line(&self) -> String {
        let network = match self.network {
            Network::Unix => "unix",
            Network::Tcp => "tcp",
        };
        let certificate = self.certificate.as_ref().map(|der| STANDARD_NO_PAD.encode(der)).unwrap_or_default();
        let protocol = match self.protocol {
            Protocol::V5 => 5,
            Protocol::V6 => 6,
        };
        format!("{CORE_VERSION}|{protocol}|{network}|{}|grpc|{certificate}", self.address)
    }

    pub fn parse(line: &str) -> Result<Handshake, HandshakeError> {
        let fields: Vec<&str> = line.trim_end().split('|').collect();
        let [core, version, network, address, transport, rest @ ..] = fields.as_slice() else {
            return Err(HandshakeError::NotAHandshake(line.chars().take(200).collect()));
        };
        if *core != CORE_VERSION.to_string() {
            return Err(HandshakeError::NotAHandshake(line.chars().take(200).collect()));
        }
        let protocol = match *version {
            "5" => Protocol::V5,
            "6" => Protocol::V6,
            other => return Err(HandshakeError::Version { found: other.to_owned() }),
        };
        let network = match (*network, *transport) {
            ("unix", "grpc") => Network::Unix,
            ("tcp", "grpc") => Network::Tcp,
            _ => {
                let (network, found) = ((*network).to_owned(), (*transport).to_owned());
                return Err(HandshakeError::Transport { network, found });
            }
        };
        let certificate = match rest.first() {
            Some(encoded) if !encoded.is_empty() => {
                Some(STANDARD_NO_PAD.decode(encoded).map_err(|_| HandshakeError::Certificate)?)
            }
            _ => None,
        };
        Ok(Handshake { protocol, network, address: (*address).to_owned(), certificate })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_reads_back() {
        for protocol in [Protocol::V5, Protocol::V6] {
            let address = "/tmp/x/plugin".to_owned();
            let handshake = Handshake { protocol, network: Network::Unix, address, certificate: Some(vec![1; 80]) };
            assert_eq!(Handshake::parse(&handshake.to_line()), Ok(handshake));
        }
    }

    #[test]
    fn other_programs_and_versions_are_told_apart() {
        assert!(matches!(Handshake::parse("usage: cat"), Err(HandshakeError::NotAHandshake(_))));
        assert_eq!(Handshake::parse("1|4|unix|/x|grpc|"), Err(HandshakeError::Version { found: "4".to_owned() }));
        assert!(matches!(Handshake::parse("1|6|unix|/x|netrpc|"), Err(HandshakeError::Transport { .. })));
        assert_eq!(Handshake::parse("1|6|unix|/x|grpc|%%%"), Err(HandshakeError::Certificate));
    }
}

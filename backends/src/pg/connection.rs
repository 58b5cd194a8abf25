//! How a server of PostgreSQL is reached: what a connection string says of TLS (PostgreSQL manual, "Connection Strings", "SSL Support"),
//! which the library does not read, and the rest, which it does.

use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

/// What a server has to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proof {
    /// TLS with whoever answers.
    Nothing,
    /// A certificate of an authority that is trusted, of whatever name.
    Authority,
    /// And the name of the server in it.
    Name,
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) config: Config,
    /// None: in the clear.
    proof: Option<Proof>,
    root: Option<PathBuf>,
    own: Option<(PathBuf, PathBuf)>,
}

impl Connection {
    /// An error does not repeat the text: it may have a password.
    pub(super) fn parse(text: &str) -> Result<Connection, String> {
        let mut options = Options::default();
        let rest = options.take(text)?;
        let mut config = Config::from_str(&rest)
            .map_err(|error| format!("it is no connection string of PostgreSQL: {}", explain(&error)))?;
        let is_here = |host: &Host| match host {
            Host::Unix(_) => true,
            Host::Tcp(name) => {
                name == "localhost" || name.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
            }
        };
        // An address is where it goes, whatever the host is called.
        let has_place = !config.get_hosts().is_empty() || !config.get_hostaddrs().is_empty();
        let is_near = has_place
            && config.get_hosts().iter().all(is_here)
            && config.get_hostaddrs().iter().all(std::net::IpAddr::is_loopback);
        let proof = match options.mode.as_deref() {
            Some("disable") => None,
            // A state has secrets: over a network it does not go in the clear but by the user's word.
            Some("allow" | "prefer") | None if is_near => None,
            Some("allow" | "prefer") => {
                return Err(
                    "sslmode may let it go in the clear; say verify-full, verify-ca, require or disable".to_owned()
                );
            }
            // As libpq has it: who names an authority wants it to be looked at.
            Some("require") if options.root.is_none() => Some(Proof::Nothing),
            Some("require" | "verify-ca") => Some(Proof::Authority),
            Some("verify-full") | None => Some(Proof::Name),
            Some(other) => {
                return Err(format!("sslmode is one of disable, require, verify-ca and verify-full, not {other:?}"));
            }
        };
        config.ssl_mode(if proof.is_some() { SslMode::Require } else { SslMode::Disable });
        let own = match (options.cert, options.key) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            _ => return Err("sslcert and sslkey are given together".to_owned()),
        };
        Ok(Connection { config, proof, root: options.root, own })
    }

    /// None: in the clear.
    pub(super) fn tls(&self) -> Result<Option<ClientConfig>, String> {
        let Some(proof) = self.proof else { return Ok(None) };
        let crypto = Arc::new(aws_lc_rs::default_provider());
        let versions = ClientConfig::builder_with_provider(crypto.clone()).with_safe_default_protocol_versions();
        let versions = versions.map_err(|error| error.to_string())?;
        let config = match proof {
            Proof::Nothing => versions.dangerous().with_custom_certificate_verifier(Arc::new(Trusting(crypto, None))),
            Proof::Authority => {
                let roots = Arc::new(self.roots()?);
                let verifier = WebPkiServerVerifier::builder_with_provider(roots, crypto.clone()).build();
                let verifier = verifier.map_err(|error| error.to_string())?;
                versions.dangerous().with_custom_certificate_verifier(Arc::new(Trusting(crypto, Some(verifier))))
            }
            Proof::Name => versions.with_root_certificates(self.roots()?),
        };
        Ok(Some(match &self.own {
            None => config.with_no_client_auth(),
            Some((cert, key)) => {
                let certificates = certificates(cert)?;
                let key = PrivateKeyDer::from_pem_file(key).map_err(|error| format!("{}: {error}", key.display()))?;
                config.with_client_auth_cert(certificates, key).map_err(|error| error.to_string())?
            }
        }))
    }

    /// Those that are named, else those of this machine.
    fn roots(&self) -> Result<RootCertStore, String> {
        let mut roots = RootCertStore::empty();
        match &self.root {
            Some(path) if path != Path::new("system") => {
                for certificate in certificates(path)? {
                    roots.add(certificate).map_err(|error| format!("{}: {error}", path.display()))?;
                }
            }
            Some(_) | None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        if roots.is_empty() {
            return Err("this machine trusts no authority; name one with sslrootcert".to_owned());
        }
        Ok(roots)
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(found) if found.is_empty() => Err(format!("{} has no certificate", path.display())),
        read => read.map_err(|error| format!("{}: {error}", path.display())),
    }
}

pub(super) fn explain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// What is said of TLS.
#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    mode: Option<String>,
    root: Option<PathBuf>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
}

impl Options {
    /// Takes them out of a connection string of either form.
    fn take(&mut self, text: &str) -> Result<String, String> {
        if !(text.starts_with("postgres://") || text.starts_with("postgresql://")) {
            return self.take_words(text);
        }
        let Some((before, query)) = text.split_once('?') else { return Ok(text.to_owned()) };
        let mut rest = Vec::new();
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if !self.set(name, decoded(value)) {
                rest.push(pair);
            }
        }
        Ok(if rest.is_empty() { before.to_owned() } else { format!("{before}?{}", rest.join("&")) })
    }

    /// `name=value name='a value'`.
    fn take_words(&mut self, text: &str) -> Result<String, String> {
        let mut rest = String::new();
        let mut left = text.trim_start();
        while !left.is_empty() {
            let (name, after) = left.split_once('=').ok_or("after a name comes = and a value")?;
            let (value, length) = word(after.trim_start())?;
            let after = &after.trim_start()[length..];
            let whole = &left[..left.len() - after.len()];
            if !self.set(name.trim(), value) {
                rest.push_str(whole);
                rest.push(' ');
            }
            left = after.trim_start();
        }
        Ok(rest)
    }

    fn set(&mut self, name: &str, value: String) -> bool {
        match name {
            "sslmode" => self.mode = Some(value),
            "sslrootcert" => self.root = Some(value.into()),
            "sslcert" => self.cert = Some(value.into()),
            "sslkey" => self.key = Some(value.into()),
            _ => return false,
        }
        true
    }
}

/// A value at the beginning of a text, which may be quoted, and how long it is there.
fn word(text: &str) -> Result<(String, usize), String> {
    let is_quoted = text.starts_with('\'');
    let mut value = String::new();
    let mut chars = text.char_indices().skip(usize::from(is_quoted));
    while let Some((at, ch)) = chars.next() {
        match ch {
            '\\' => value.extend(chars.next().map(|(_, next)| next)),
            '\'' if is_quoted => return Ok((value, at + 1)),
            ch if ch.is_whitespace() && !is_quoted => return Ok((value, at)),
            ch => value.push(ch),
        }
    }
    if is_quoted { Err("a quote is not closed".to_owned()) } else { Ok((value, text.len())) }
}

/// Percent encoding (RFC 3986, 2.1).
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut found = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = text.get(at + 1..at + 3).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let escaped = hex.filter(|_| bytes[at] == b'%');
        found.push(escaped.unwrap_or(bytes[at]));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&found).into_owned()
}

/// Asks less of a certificate than its whole verification: nothing, or all but the name.
#[derive(Debug)]
struct Trusting(Arc<CryptoProvider>, Option<Arc<WebPkiServerVerifier>>);

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(verifier) = &self.1 else { return Ok(ServerCertVerified::assertion()) };
        match verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proof(text: &str) -> String {
        match Connection::parse(text) {
            Ok(connection) => format!("{:?} {:?}", connection.proof, connection.config.get_dbname().unwrap_or("")),
            Err(reason) => reason,
        }
    }

    #[test]
    fn secrets_do_not_go_in_the_clear_over_a_network() {
        assert_eq!(proof("host=/run/postgresql dbname=s"), "None \"s\"");
        assert_eq!(proof("postgres://u:p@localhost/s"), "None \"s\"");
        assert_eq!(proof("host=db.example.test dbname=s"), "Some(Name) \"s\"");
        assert_eq!(proof("host=db.example.test dbname=s sslmode=disable"), "None \"s\"");
        assert_eq!(proof("postgres://u:p@db.example.test/s?sslmode=require&connect_timeout=3"), "Some(Nothing) \"s\"");
        assert_eq!(
            proof("host=db.example.test sslmode = require sslrootcert='/a b/ca.pem' dbname = s"),
            "Some(Authority) \"s\""
        );
        assert_eq!(
            proof("postgres://db.example.test/s?sslrootcert=%2Fa%20b%2Fca.pem&sslmode=verify-ca"),
            "Some(Authority) \"s\""
        );
        assert_eq!(proof("hostaddr=192.0.2.2 dbname=s"), "Some(Name) \"s\"");
        assert_eq!(proof("host=localhost hostaddr=192.0.2.2 dbname=s"), "Some(Name) \"s\"");
        assert_eq!(proof("host=localhost hostaddr=127.0.0.1 dbname=s"), "None \"s\"");
        assert!(proof("host=db.example.test sslmode=prefer").starts_with("sslmode may let it go in the clear"));
        assert!(proof("host=db sslmode=verify").starts_with("sslmode is one of"));
        assert_eq!(proof("host=db sslcert=x"), "sslcert and sslkey are given together");
        assert_eq!(proof("host='db"), "a quote is not closed");
        assert_eq!(proof("host"), "after a name comes = and a value");
        assert!(proof("host=db wrong=x").starts_with("it is no connection string of PostgreSQL: "));
    }

    #[test]
    fn words_are_read_as_libpq_does() {
        let mut options = Options::default();
        let rest = options.take(r"password='a \'b\\ =c' sslrootcert=/a\ b user=x").unwrap();
        assert_eq!(rest.trim(), r"password='a \'b\\ =c' user=x");
        assert_eq!(options.root, Some("/a b".into()));
    }
}

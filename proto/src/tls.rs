//! AutoMTLS: each side makes a certificate for one run and trusts exactly the other side's.
//!
//! Certificates of Go hosts are certificate authorities used as end entities, which ordinary verification
//! rejects; since each side knows the very bytes that the other will present, identity is byte equality, and only
//! the signatures of the handshake are left to the crypto library. Go's certificates are ECDSA P-521, which needs
//! aws-lc-rs.

mod short_rsa;

use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use tokio_rustls::rustls::version::TLS12;
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme,
};

/// Read by the build script of aws-lc-sys, which has neither a feature nor a switch for it. Cargo reads our `.cargo/config.toml`
/// only where it is run inside of this folder.
const _: () = assert!(
    option_env!("AWS_LC_SYS_NO_JITTER_ENTROPY").is_some(),
    "every process would spend 31 ms on CPU jitter: build inside of the repository, or set AWS_LC_SYS_NO_JITTER_ENTROPY=1 \
     (cargo install --git needs it; 0 builds with jitter all the same)"
);

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("a certificate for the plugin connection could not be made")]
    Generate(#[from] rcgen::Error),
    #[error("the certificate in PLUGIN_CLIENT_CERT is not readable")]
    ClientCertificate,
    #[error("TLS for the plugin connection could not be set up")]
    Setup(#[from] Error),
}

/// A certificate for one run, and its key.
#[derive(Debug)]
pub struct Identity {
    pub certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    pem: String,
}

impl Identity {
    /// For `localhost`, which every go-plugin host asks for.
    pub fn generate() -> Result<Identity, TlsError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::new(vec!["localhost".to_owned()])?;
        params.distinguished_name.push(rcgen::DnType::CommonName, "localhost");
        let certificate = params.self_signed(&key)?;
        Ok(Identity {
            certificate: certificate.der().clone(),
            pem: certificate.pem(),
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        })
    }

    /// What a host puts into `PLUGIN_CLIENT_CERT`.
    pub fn certificate_pem(&self) -> &str {
        &self.pem
    }
}

/// The plugin's side: serves with `identity` to the one client whose certificate is `client_pem`.
pub fn server_config(identity: Identity, client_pem: &str) -> Result<ServerConfig, TlsError> {
    let client = CertificateDer::from_pem_slice(client_pem.as_bytes()).map_err(|_| TlsError::ClientCertificate)?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Arc::new(Pinned::new(client.into_owned(), &provider));
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![identity.certificate], identity.key)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

/// The host's side: connects as `identity` to the one server whose certificate is `server_der`.
pub fn client_config(identity: Identity, server_der: Vec<u8>) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let server = CertificateDer::from(server_der);
    let key = short_rsa::key(&server);
    let pinned = Pinned::new(server, &provider);
    let builder = ClientConfig::builder_with_provider(provider);
    let (builder, verifier): (_, Arc<dyn ServerCertVerifier>) = match key {
        Some(key) => (builder.with_protocol_versions(&[&TLS12])?, Arc::new(short_rsa::Verifier { pinned, key })),
        None => (builder.with_safe_default_protocol_versions()?, Arc::new(pinned)),
    };
    let mut config = builder
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_auth_cert(vec![identity.certificate], identity.key)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

/// Accepts one certificate and no other.
#[derive(Debug)]
struct Pinned {
    expected: CertificateDer<'static>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Pinned {
    fn new(expected: CertificateDer<'static>, provider: &CryptoProvider) -> Pinned {
        Pinned { expected, algorithms: provider.signature_verification_algorithms }
    }

    fn check(&self, presented: &CertificateDer<'_>) -> Result<(), Error> {
        if presented.as_ref() == self.expected.as_ref() {
            Ok(())
        } else {
            Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
        }
    }
}

impl ClientCertVerifier for Pinned {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(end_entity).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(end_entity).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

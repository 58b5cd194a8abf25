//! Plugins whose key is an RSA key of less than 2048 bits, such as those of the Python SDK (1024). Terraform takes them; TLS of our
//! library does not.
//!
//! Such a key lives for one run, and its certificate came over the pipe of the process that we have started: the signature
//! only tells that process from another one on this machine. AWS-LC verifies short keys in PKCS #1 v1.5 alone, which TLS
//! knows up to version 1.2 (RFC 8446, 4.2.3).

use aws_lc_rs::signature::{
    RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY, RsaParameters,
    UnparsedPublicKey,
};
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{CertificateError, DigitallySignedStruct, Error, PeerIncompatible, SignatureScheme};

use super::Pinned;

/// rsaEncryption (RFC 8017, appendix C), in DER.
const RSA: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
/// The size of a SubjectPublicKeyInfo whose modulus has 2048 bits, but for some bytes of its exponent.
const LONG_ENOUGH: usize = 290;

/// The public key of a certificate whose key is too short for the library.
pub(super) fn key(certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let certificate = webpki::EndEntityCert::try_from(certificate).ok()?;
    let key = certificate.subject_public_key_info();
    let is_rsa = key.windows(RSA.len()).any(|part| part == RSA);
    (is_rsa && key.len() < LONG_ENOUGH).then(|| key.to_vec())
}

#[derive(Debug)]
pub(super) struct Verifier {
    pub(super) pinned: Pinned,
    pub(super) key: Vec<u8>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.pinned.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        _cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithm: &RsaParameters = match signature.scheme {
            SignatureScheme::RSA_PKCS1_SHA256 => &RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
            SignatureScheme::RSA_PKCS1_SHA512 => &RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY,
            _ => return Err(PeerIncompatible::NoSignatureSchemesInCommon.into()),
        };
        let verified = UnparsedPublicKey::new(algorithm, &self.key).verify(message, signature.signature());
        verified
            .map(|()| HandshakeSignatureValid::assertion())
            .map_err(|_| Error::InvalidCertificate(CertificateError::BadSignature))
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::NoSignatureSchemesInCommon.into())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::RSA_PKCS1_SHA256, SignatureScheme::RSA_PKCS1_SHA512]
    }
}

#[cfg(test)]
mod tests {
    use tokio_rustls::rustls::pki_types::pem::PemObject as _;

    use super::*;
    use crate::tls::Identity;

    /// Of `openssl req -x509 -newkey rsa:1024 -subj /CN=localhost`, whose key is nowhere.
    const SHORT: &str = "-----BEGIN CERTIFICATE-----\n\
        MIICBjCCAW+gAwIBAgIUDhKeP4/GUod5BUqfEsMcu9QazyYwDQYJKoZIhvcNAQEL\n\
        BQAwFDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyNjIxNTcyNVoYDzIxMjYx\n\
        MTAyMjE1NzI1WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwgZ8wDQYJKoZIhvcNAQEB\n\
        BQADgY0AMIGJAoGBAJdX1qcJnyE6JPkrdpir5P9P8au/5qIVY6/az0ESsa3s20Cc\n\
        eiAI3W9uYH6s4Zv2ANat2qa9b6sYsAGAIRvi2Ayr8Kpr9CgQlP9eYG6SdbeLSD9g\n\
        JKGO9xjBE9gdExaJ3QYnd5vGBiNFAyMqyh/WL1jy12K7fmkJEWJJQpEjr25dAgMB\n\
        AAGjUzBRMB0GA1UdDgQWBBQf2DHFAjetQTqfSfh3iyW5fOjCkDAfBgNVHSMEGDAW\n\
        gBQf2DHFAjetQTqfSfh3iyW5fOjCkDAPBgNVHRMBAf8EBTADAQH/MA0GCSqGSIb3\n\
        DQEBCwUAA4GBAAB4vKqmmXXYYp8zhXmGr8mlRRJPm17aK2A5EwKFPkWW3w2OAitJ\n\
        RMkFnsTCix2g/1l4Rt84ic76sgrgdr+YeMqU49O1jCBCIwqypHeB58B0qQ+wfVxR\n\
        XtuCn7SuzERW9JJIRq88bQihSjxbx7OQKP4OsbfWgZvkFXid8pfTGR7Z\n\
        -----END CERTIFICATE-----";
    /// Of the same with rsa:2048.
    const LONG: &str = "-----BEGIN CERTIFICATE-----\n\
        MIIDCzCCAfOgAwIBAgIUdIe61+36QJQPP/kwnVOU2nvSpyQwDQYJKoZIhvcNAQEL\n\
        BQAwFDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyNjIxNTcyNVoYDzIxMjYx\n\
        MTAyMjE1NzI1WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwggEiMA0GCSqGSIb3DQEB\n\
        AQUAA4IBDwAwggEKAoIBAQDaSwXrlr/P1SBHrgyl39ZOYZWfoALp3bp/kel3XgU8\n\
        sUvps3AXd7RvzkVKtlqoTEivbUX5FfKfMk0Hwt5aeJuOql/WY8jbr9pwZqnPYzsN\n\
        bGuAKN6SCCvxyPb6oq10oX83a6ZB89QGcZhAuXAjpzuSSUKEUedWijsM1PsXunNt\n\
        6I1mxRvyE6G05kwhDL1nIKOK3rKlR0iCS9m180655kjejj/1Xu6gVjafAh9sryPP\n\
        jDu94k/qP8k60CV2SNoU9jrGJZ08QcogJZxYm9IyVinsrixwkx7dPTFjeUl2YLHi\n\
        ptG61fqgyFdwYums9dGtbk//i7n2K6m2KQYBUfJNjfSLAgMBAAGjUzBRMB0GA1Ud\n\
        DgQWBBT/PkKieUkjXdQv7evRunMXBgZw/TAfBgNVHSMEGDAWgBT/PkKieUkjXdQv\n\
        7evRunMXBgZw/TAPBgNVHRMBAf8EBTADAQH/MA0GCSqGSIb3DQEBCwUAA4IBAQBo\n\
        lKSrU1D3tZ0nDzTDRVwQJ/WlStfPrGtIgLcsyTjVmgq4XGVCBrrOXpT8IsRN/Cj4\n\
        dSKAEI7qiPnLCs0suvux0bVMSvkTaNGmJcNz7yvZ7lHiiGM0vITejyB/ipkPF+Oy\n\
        KCLNzrhOMRKuMklp8w+piwX33hC0StmV0kM1w3yCQSiwFm9Unsb0Ha10MZONO1i2\n\
        +QNRSfPpU0JrHbsRcRe0cgxmbY2YkCEet1w+FRZNaQj88RvNRMSgFa+wrn3SeeRr\n\
        wwS930BAPl0u/N2ONzL9laJBUW0yxszYieFTWwEdOw5/vlj/INxzbjChJCbtt/UU\n\
        OOs2Otg6OBRm5NNVjTTI\n\
        -----END CERTIFICATE-----";

    #[test]
    fn only_short_rsa_keys_are_verified_apart() {
        let of = |pem: &str| key(&CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).map(|key| key.len());
        assert_eq!(of(SHORT), Some(162));
        assert_eq!(of(LONG), None);
        assert_eq!(of(Identity::generate().unwrap().certificate_pem()), None);
    }
}

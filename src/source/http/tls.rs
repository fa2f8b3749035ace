//! TLS: whom it believes, at what time, and what its failures mean.

use super::question::Setup;
use crate::model::{Failure, ReasonCode, Result, WithReason};
use crate::sys::clock;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{AlertDescription, CertificateError, ClientConfig, RootCertStore};
use std::sync::Arc;
use std::time::Duration;

/// 2026-11-01, when this version was written; a build that says a later time counts for it.
const WRITTEN: u64 = 1_793_491_200;

/// Seconds since 1970 that this program was built at, at the least.
const BUILT: u64 = match option_env!("SOURCE_DATE_EPOCH") {
    Some(text) => match u64::from_str_radix(text, 10) {
        Ok(seconds) if seconds > WRITTEN => seconds,
        _ => WRITTEN,
    },
    None => WRITTEN,
};

/// The time that certificates are held against: the clock, where it is not certainly wrong.
#[derive(Debug)]
struct Time {
    floor: u64,
}

impl Time {
    fn seconds(&self) -> u64 {
        clock::unix_seconds().max(self.floor)
    }
}

impl TimeProvider for Time {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.seconds())))
    }
}

/// The earliest time that it can be: this program has been built, and `signed` is the newest time
/// that something signed has told.
fn floor(signed: u64) -> u64 {
    signed.max(BUILT)
}

/// How TLS is spoken by this setup. `CONFIG_INVALID` where a certificate or key is none.
pub(super) fn config(setup: &Setup) -> Result<ClientConfig> {
    let bad = |what: &str, e: &dyn std::fmt::Display| {
        Failure::new(ReasonCode::ConfigInvalid, format!("`[source]`: {what}: {e}"))
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(setup.roots.as_bytes()) {
        let certificate = certificate.map_err(|e| bad("roots", &e))?;
        // One that this program cannot read is of no use, and the others are.
        let _unreadable = roots.add(certificate);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let time = Arc::new(Time { floor: floor(setup.floor) });
    // TLS 1.2 and 1.3; this library has no older one.
    let builder = ClientConfig::builder_with_details(provider, time)
        .with_safe_default_protocol_versions()
        .reason(ReasonCode::Internal, "TLS")?
        .with_root_certificates(roots);
    match &setup.client {
        None => Ok(builder.with_no_client_auth()),
        Some((certificates, key)) => {
            let chain = CertificateDer::pem_slice_iter(certificates.as_bytes());
            let chain = chain.collect::<std::result::Result<Vec<_>, _>>();
            let chain = chain.map_err(|e| bad("client_cert", &e))?;
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes());
            let key = key.map_err(|e| bad("client_key", &e))?;
            builder.with_client_auth_cert(chain, key).map_err(|e| bad("client_cert", &e))
        }
    }
}

/// What a failure of TLS means; `None` for what is a failure of the connection. `floor` as in the
/// setup.
pub(super) fn meaning(host: &str, error: &rustls::Error, signed: u64) -> Failure {
    let unset = clock::unix_seconds() < floor(signed);
    let refused = |why: String| Failure::new(ReasonCode::TlsRefused, format!("{host}: {why}"));
    let late = |text: String| {
        let code = if unset { ReasonCode::ClockWrong } else { ReasonCode::TlsRefused };
        let now = clock::utc(clock::unix_seconds());
        let clock = if unset { "the clock of this device is not set" } else { "it is now" };
        Failure::new(code, format!("{host}: its certificate {text}; {clock}: {now}"))
    };
    match error {
        rustls::Error::InvalidCertificate(error) => match error {
            CertificateError::ExpiredContext { not_after, .. } => {
                late(format!("was good until {}", clock::utc(not_after.as_secs())))
            }
            CertificateError::NotValidYetContext { not_before, .. } => {
                late(format!("is good from {} on", clock::utc(not_before.as_secs())))
            }
            CertificateError::Expired => late("is not good any more".to_owned()),
            CertificateError::NotValidYet => late("is not good yet".to_owned()),
            CertificateError::UnknownIssuer => {
                refused("no authority in `[source] roots` has made its certificate".to_owned())
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                let text = "its certificate is for another name; a network with a login page \
                            does this too";
                refused(text.to_owned())
            }
            CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
                let text = "its certificate is that of an authority and no server's; make one for the \
                            server, signed by that authority, and name the authority in `[source] roots`";
                refused(text.to_owned())
            }
            CertificateError::Revoked => refused("its certificate is revoked".to_owned()),
            other => refused(format!("its certificate: {other}")),
        },
        rustls::Error::AlertReceived(alert) => {
            let text = match alert {
                AlertDescription::CertificateRequired
                | AlertDescription::BadCertificate
                | AlertDescription::UnknownCA
                | AlertDescription::CertificateExpired
                | AlertDescription::AccessDenied => {
                    "the server does not accept this device's certificate"
                }
                AlertDescription::ProtocolVersion => {
                    "the server speaks no TLS of version 1.2 or 1.3"
                }
                _ => "the server ended TLS",
            };
            refused(format!("{text} ({alert:?})"))
        }
        other => refused(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_clock_is_replaced_by_the_latest_time_that_is_known() {
        assert_eq!(floor(0), BUILT);
        let late = BUILT + 1_000_000_000;
        assert_eq!(floor(late), late);
        assert_eq!(Time { floor: floor(late) }.seconds(), late);
        assert!(Time { floor: floor(0) }.seconds() >= BUILT);
    }

    #[test]
    fn a_date_counts_as_the_clock_s_fault_only_where_the_clock_is_unset() {
        let expired = rustls::Error::InvalidCertificate(CertificateError::Expired);
        let code = |signed| meaning("h", &expired, signed).code();
        assert_eq!(code(0), ReasonCode::TlsRefused);
        assert_eq!(code(clock::unix_seconds() + 86_400), ReasonCode::ClockWrong);
    }
}

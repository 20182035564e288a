//! Says what an error of etcd's means for the caller: done, not done, or unknown.
//!
//! "Not done" needs proof: etcd's own refusal, or a connection that never came up.
//! Everything else is unknown, however unlikely it is that the write landed.

use std::error::Error as StdError;
use std::io;

use etcd_client::Error;
use tonic::{Code, ConnectError, Status};

use super::RegistryError;
use super::options::chain;

/// What etcd-client says when a keep-alive is answered with a time to live of 0.
const LEASE_NOT_FOUND: &str = "lease not found";

/// What etcd's gRPC server says to a request above its limit.
const GRPC_TOO_LARGE: &str = "grpc: received message larger than max";

pub(super) fn explain(error: Error) -> RegistryError {
    match error {
        Error::GRpcStatus(status) => explain_status(&status),
        Error::LeaseKeepAliveError(why) if why == LEASE_NOT_FOUND => RegistryError::LeaseGone,
        Error::InvalidArgs(why) => RegistryError::Invalid(why),
        other => RegistryError::Unknown(chain(&other)),
    }
}

fn explain_status(status: &Status) -> RegistryError {
    let text = text(status);
    if refuses_certificate(status) {
        return RegistryError::Denied(text);
    }
    if find::<ConnectError>(status).is_some() {
        return RegistryError::Unavailable(text);
    }
    // A code alone proves nothing: the transport uses the same ones for its own troubles.
    let from_etcd = status.message().starts_with("etcdserver:");
    match status.code() {
        Code::Unauthenticated | Code::PermissionDenied => RegistryError::Denied(text),
        Code::InvalidArgument | Code::FailedPrecondition if from_etcd => refusal(text),
        Code::NotFound if text.contains("lease not found") => RegistryError::LeaseGone,
        // gRPC's own limit, checked before etcd sees the request.
        Code::ResourceExhausted if status.message().starts_with(GRPC_TOO_LARGE) => {
            RegistryError::Invalid(text)
        }
        // Too many requests under way, or its disk quota is used up.
        Code::ResourceExhausted if from_etcd => RegistryError::Unavailable(text),
        // Asked before anything is proposed, because we require a leader. Its other
        // answers with this code ("request timed out", "leader changed") come after.
        Code::Unavailable if status.message() == "etcdserver: no leader" => {
            RegistryError::Unavailable(text)
        }
        Code::OutOfRange if from_etcd => RegistryError::Invalid(text),
        Code::Unimplemented => RegistryError::Invalid(text),
        _ => RegistryError::Unknown(text),
    }
}

/// Sorts what etcd answers with InvalidArgument or FailedPrecondition.
fn refusal(text: String) -> RegistryError {
    const ACCESS: [&str; 4] = [
        "authentication failed",
        "authentication is not enabled",
        "user name is empty",
        "user name not found",
    ];
    if ACCESS.iter().any(|access| text.contains(access)) {
        RegistryError::Denied(text)
    } else if text.contains("auth: revision in header is old") {
        // Users or roles changed since our token was made; a new one helps.
        RegistryError::Unavailable(text)
    } else {
        RegistryError::Invalid(text)
    }
}

/// Whether one side did not like the other's certificate.
fn refuses_certificate(status: &Status) -> bool {
    use rustls::AlertDescription::{
        AccessDenied, BadCertificate, CertificateExpired, CertificateRequired, CertificateRevoked,
        CertificateUnknown, UnknownCA, UnsupportedCertificate,
    };
    match find::<rustls::Error>(status) {
        Some(rustls::Error::InvalidCertificate(_)) => true,
        Some(rustls::Error::AlertReceived(alert)) => matches!(
            alert,
            AccessDenied
                | BadCertificate
                | CertificateExpired
                | CertificateRequired
                | CertificateRevoked
                | CertificateUnknown
                | UnknownCA
                | UnsupportedCertificate
        ),
        _ => false,
    }
}

/// The first cause of that type.
fn find<E: StdError + 'static>(status: &Status) -> Option<&E> {
    let mut cause = status.source();
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        // An io::Error counts what it wraps as itself, not as its source.
        let wrapped = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        if let Some(found) = wrapped.and_then(|inner| inner.downcast_ref()) {
            return Some(found);
        }
        cause = error.source();
    }
    None
}

/// What happened, without the status' own wrapping.
fn text(status: &Status) -> String {
    match status.source() {
        Some(cause) if status.message().is_empty() => chain(cause),
        Some(cause) => {
            let causes = chain(cause);
            if causes.contains(status.message()) {
                causes
            } else {
                format!("{}: {causes}", status.message())
            }
        }
        None if status.message().is_empty() => status.code().description().into(),
        None => status.message().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_proof_makes_a_write_not_done() {
        use RegistryError::{Denied, Invalid, LeaseGone, Unavailable, Unknown};
        type Kind = fn(String) -> RegistryError;
        let rows: [(Code, &str, Kind); 14] = [
            (Code::Unavailable, "etcdserver: no leader", Unavailable),
            (Code::Unavailable, "etcdserver: request timed out", Unknown),
            (Code::Unavailable, "etcdserver: leader changed", Unknown),
            (Code::Unavailable, "error trying to connect", Unknown),
            (Code::Unknown, "h2 protocol error", Unknown),
            (Code::Cancelled, "", |_| {
                Unknown("The operation was cancelled".into())
            }),
            (
                Code::ResourceExhausted,
                "etcdserver: mvcc: database space exceeded",
                Unavailable,
            ),
            (Code::ResourceExhausted, "h2 protocol error: calm", Unknown),
            (
                Code::InvalidArgument,
                "etcdserver: too many operations in txn request",
                Invalid,
            ),
            (
                Code::InvalidArgument,
                "etcdserver: authentication failed, invalid user ID",
                Denied,
            ),
            (
                Code::InvalidArgument,
                "etcdserver: auth: revision in header is old",
                Unavailable,
            ),
            (Code::InvalidArgument, "a proxy's own words", Unknown),
            (
                Code::PermissionDenied,
                "etcdserver: permission denied",
                Denied,
            ),
            (
                Code::NotFound,
                "etcdserver: requested lease not found",
                |_| LeaseGone,
            ),
        ];
        for (code, message, expected) in rows {
            let error = explain(Error::GRpcStatus(Status::new(code, message)));
            assert_eq!(
                format!("{error:?}"),
                format!("{:?}", expected(message.into()))
            );
        }
    }

    #[test]
    fn a_connection_that_never_came_up_did_nothing() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        let status = Status::from_error(Box::new(ConnectError(Box::new(refused))));
        assert!(matches!(
            explain_status(&status),
            RegistryError::Unavailable(_)
        ));
    }

    #[test]
    fn a_refused_certificate_is_a_denial() {
        let alert = rustls::Error::AlertReceived(rustls::AlertDescription::CertificateRequired);
        let wrapped = io::Error::new(io::ErrorKind::InvalidData, alert);
        let status = Status::from_error(Box::new(ConnectError(Box::new(wrapped))));
        assert!(
            matches!(explain_status(&status), RegistryError::Denied(_)),
            "{status:?}"
        );
    }
}

//! What every gRPC call needs: who may, until when, in which group, how much.

use std::time::Duration;

use cached_proto::convert::WireOperation;
use cached_proto::failure::{Failure, FailureCode};
use cached_proto::limits::KEY_BYTES_MAX;
use cached_proto::operation::{Outcome, Reply};
use cached_proto::types::{GroupName, Invalid};
use tonic::metadata::MetadataMap;

use crate::clock::Moment;
use crate::command::Command;
use crate::frontend::FrontendParts;
use crate::frontend::auth::{Pass, Role};

impl FrontendParts {
    /// Lets a caller in, or says what it lacks.
    pub(crate) fn admit(&self, metadata: &MetadataMap, needed: Role) -> Result<(), Failure> {
        self.auth.check(authorization(metadata), needed).map(|_| ())
    }

    /// Lets the opener of a stream in, or says what it lacks.
    pub(crate) fn admit_stream(
        &self,
        metadata: &MetadataMap,
        needed: Role,
    ) -> Result<Pass, Failure> {
        Pass::new(&self.auth, authorization(metadata), needed)
    }

    /// The group that a request means.
    pub(crate) fn group(&self, named: Option<GroupName>) -> GroupName {
        named.unwrap_or_else(|| self.default_group.clone())
    }

    /// A request as a command.
    pub(crate) fn command(&self, request: WireOperation, deadline: Moment) -> Command {
        let WireOperation {
            group,
            operation,
            route,
        } = request;
        Command {
            group: self.group(group),
            operation,
            route,
            deadline,
        }
    }

    /// Carries out one command, uncounted: at once if it needs nobody else.
    pub(crate) async fn route(&self, command: Command) -> Outcome {
        match self.router.try_local(&command) {
            Some(outcome) => outcome,
            // Boxed, so that the future of a call that is answered at once stays small.
            None => Box::pin(self.router.execute(command)).await,
        }
    }

    /// For the outcomes of one message, one after the other: replaces values that do not
    /// fit in it any more by failures that say so; what one caller may ask for at once is
    /// bounded by it.
    pub(crate) fn fitting(&self) -> impl FnMut(&mut Outcome) {
        let mut left = self.limits.value_bytes_max.saturating_add(KEY_BYTES_MAX);
        move |outcome| {
            let Ok(answer) = outcome else { return };
            let Reply::Get(Some(entry)) = &answer.reply else {
                return;
            };
            match left.checked_sub(entry.value.len()) {
                Some(rest) => left = rest,
                None => *outcome = Err(self.too_much(entry.value.len())),
            }
        }
    }

    fn too_much(&self, bytes: usize) -> Failure {
        let message = format!(
            "the value of {bytes} bytes does not fit in the answer with those before it, which \
             may hold {} bytes; ask for fewer keys at once",
            self.limits.value_bytes_max.saturating_add(KEY_BYTES_MAX)
        );
        let mut failure = Failure::new(FailureCode::TooLarge, message);
        failure.field = Some("batch");
        failure
    }
}

fn authorization(metadata: &MetadataMap) -> Option<&str> {
    // Bytes that are no text are no token of ours either.
    metadata.get("authorization")?.to_str().ok()
}

/// How long the caller waits, if it says so.
pub(crate) fn timeout(metadata: &MetadataMap) -> Result<Option<Duration>, Failure> {
    let Some(header) = metadata.get("grpc-timeout") else {
        return Ok(None);
    };
    let timeout = header
        .to_str()
        .ok()
        .and_then(parse_timeout)
        .ok_or_else(|| {
            let problem = "is not 1 to 8 digits and one of H, M, S, m, u, n";
            Failure::from(Invalid::new("grpc-timeout", problem))
        })?;
    Ok(Some(timeout))
}

/// Reads the header `grpc-timeout`: at most 8 digits and a unit.
fn parse_timeout(text: &str) -> Option<Duration> {
    let (unit, digits) = text.as_bytes().split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    match unit {
        b'H' => Some(Duration::from_secs(number * 3600)),
        b'M' => Some(Duration::from_secs(number * 60)),
        b'S' => Some(Duration::from_secs(number)),
        b'm' => Some(Duration::from_millis(number)),
        b'u' => Some(Duration::from_micros(number)),
        b'n' => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_digits_and_a_unit() {
        let cases = [
            ("3S", Some(Duration::from_secs(3))),
            ("250m", Some(Duration::from_millis(250))),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
            ("0n", Some(Duration::ZERO)),
            ("7u", Some(Duration::from_micros(7))),
            ("1M", Some(Duration::from_secs(60))),
            ("", None),
            ("S", None),
            ("3", None),
            ("-3S", None),
            ("+3S", None),
            ("3s", None),
            ("123456789m", None),
            ("3ä", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_timeout(text), expected, "{text:?}");
        }
    }
}

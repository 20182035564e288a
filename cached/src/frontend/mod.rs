//! How the world speaks to this process: REST and gRPC on one port. Front ends turn
//! a protocol into [`Command`]s and answers back, and decide nothing else.
//!
//! Reading order: [`server`] (connections), [`auth`] and [`tls`] (who may speak),
//! [`rest`] with [`problem`] (how errors look over HTTP), [`grpc`] with [`admin`],
//! [`peer`] and [`status`] (how they look over gRPC), [`metrics`].

pub mod admin;
pub mod auth;
pub mod grpc;
pub mod metrics;
pub mod peer;
pub mod problem;
pub mod resp;
pub mod rest;
pub mod server;
pub mod status;
pub mod tls;

use std::sync::Arc;
use std::time::Duration;

use cached_proto::limits::{
    BATCH_OPERATIONS_MAX, KEY_BYTES_MAX, MESSAGE_OVERHEAD_BYTES, VALUE_BYTES_DEFAULT,
};
use cached_proto::operation::Outcome;
use cached_proto::types::GroupName;

use crate::clock::{Clock, Moment};
use crate::command::Command;
use crate::counters::Counters;
use crate::operator::Operator;
use crate::requests::{Kind, Protocol, Requests};
use crate::router::Router;
use auth::Auth;

/// What all front ends work with.
#[derive(Debug)]
pub struct FrontendParts {
    /// Carries out commands on keys.
    pub router: Arc<Router>,
    /// Answers what operators ask.
    pub operator: Arc<Operator>,
    /// Who may do what.
    pub auth: Arc<Auth>,
    /// Counters of the process.
    pub counters: Arc<Counters>,
    /// Counters and durations by protocol and operation.
    pub requests: Arc<Requests>,
    /// Time.
    pub clock: Clock,
    /// The group of requests that name none.
    pub default_group: GroupName,
    /// Bounds of requests.
    pub limits: Limits,
    /// Calls between nodes need a verified certificate, whatever token they bring.
    pub peers_show_certificates: bool,
}

/// Bounds of one request, whatever its protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest value in bytes.
    pub value_bytes_max: usize,
    /// Most operations in one batch.
    pub batch_operations_max: usize,
    /// How long an operation may take once its request is read.
    pub request_timeout: Duration,
    /// How long the body of one request may take to arrive.
    pub body_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            value_bytes_max: VALUE_BYTES_DEFAULT,
            batch_operations_max: BATCH_OPERATIONS_MAX,
            request_timeout: Duration::from_secs(3),
            // The longest default value at 2 Mbit/s, the slowest line worth serving.
            body_timeout: Duration::from_secs(30),
        }
    }
}

impl Limits {
    /// Longest message in bytes that can hold one operation of the largest size.
    pub fn message_bytes_max(&self) -> usize {
        self.value_bytes_max + KEY_BYTES_MAX + MESSAGE_OVERHEAD_BYTES
    }

    /// Longest message between nodes: what a caller sent in one message is spelled a
    /// little longer there, because each operation names its group.
    pub fn peer_message_bytes_max(&self) -> usize {
        self.message_bytes_max() + MESSAGE_OVERHEAD_BYTES
    }
}

impl FrontendParts {
    /// When a request that begins now must end: after `asked`, if the caller named a
    /// time and it is shorter than this process's own limit.
    pub fn deadline(&self, now: Moment, asked: Option<Duration>) -> Moment {
        let own = self.limits.request_timeout;
        now + asked.map_or(own, |asked| asked.min(own))
    }

    /// Carries out a command that began at `started`, and counts it. Dropping the
    /// future leaves the outcome unknown, and the command uncounted.
    pub async fn carry_out(
        &self,
        protocol: Protocol,
        command: Command,
        started: Moment,
    ) -> Outcome {
        let kind = Kind::of(&command.operation);
        // Most commands need nobody else: they are done here without a task switch.
        let outcome = match self.router.try_local(&command) {
            Some(outcome) => outcome,
            None => self.router.execute(command).await,
        };
        self.count(protocol, kind, &outcome, started);
        outcome
    }

    /// Counts one operation that began at `started` and came to `outcome` now.
    pub fn count(&self, protocol: Protocol, kind: Kind, outcome: &Outcome, started: Moment) {
        let counters = &self.counters;
        match protocol {
            Protocol::Rest => counters.rest.increment(),
            Protocol::Grpc => counters.grpc.increment(),
            Protocol::Resp => counters.resp.increment(),
            Protocol::Peer => counters.peer.increment(),
        }
        if outcome.is_err() {
            counters.failures.increment();
        }
        self.requests
            .record(protocol, kind, outcome, self.clock.now().since(started));
    }
}

/// Request extension: whether the client showed a certificate that one of the
/// client authorities signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerCertificate(pub bool);

//! What one connection is: who, in which database, speaking which protocol.

use std::net::SocketAddr;
use std::sync::Arc;

use cached_proto::failure::FailureCode;
use cached_proto::operation::Route;
use cached_proto::types::{Epoch, GroupName};

use super::clients::{Clients, Listed};
use super::errors::ErrorReply;
use super::plan::Context;
use super::reply::RespVersion;
use super::table::{CommandSpec, Flags};
use super::unfinished::Unfinished;
use crate::frontend::FrontendParts;
use crate::frontend::auth::{Pass, Role};

/// Whom a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Clients that know one address: what is another node's is fetched for them.
    Plain,
    /// Clients that route by themselves: they are told who owns what is not here.
    Cluster,
}

/// What all connections of a listener share.
#[derive(Debug)]
pub struct RespParts {
    /// As for every front end.
    pub frontends: Arc<FrontendParts>,
    /// Whom the listener is for.
    pub side: Side,
    /// Open connections.
    pub clients: Arc<Clients>,
    /// What all connections hold of commands whose end has not come.
    pub unfinished: Arc<Unfinished>,
    /// Connections are encrypted: cluster clients are told so.
    pub encrypted: bool,
    /// Most connections at a time: only told.
    pub connections_max: usize,
}

/// Whether a client wants its answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Replies {
    /// It does.
    #[default]
    On,
    /// Not until it says so.
    Off,
    /// Not the next one.
    SkipNext,
    /// Not this one.
    Skip,
}

/// One connection's state.
#[derive(Debug)]
pub struct Session {
    pub(super) parts: Arc<RespParts>,
    pub(super) version: RespVersion,
    pub(super) replies: Replies,
    pub(super) database: u32,
    pub(super) group: GroupName,
    /// `None`: it has not said who it is, and has to.
    pub(super) pass: Option<Pass>,
    /// Nothing more is read; what has been asked is answered.
    pub(super) closing: bool,
    pub(super) client: Listed,
}

impl Session {
    /// As every connection begins.
    pub fn new(parts: Arc<RespParts>, address: Option<SocketAddr>) -> Self {
        let frontends = &parts.frontends;
        let client = parts.clients.add(address, frontends.clock.now());
        Self {
            version: RespVersion::default(),
            replies: Replies::default(),
            database: 0,
            group: frontends.default_group.clone(),
            pass: Pass::new(&frontends.auth, None, Role::Read).ok(),
            closing: false,
            client,
            parts,
        }
    }

    /// As it began, but on the same connection.
    pub(super) fn reset(&mut self) {
        self.version = RespVersion::default();
        self.replies = Replies::default();
        self.group = self.parts.frontends.default_group.clone();
        self.database = 0;
        self.pass = Pass::new(&self.parts.frontends.auth, None, Role::Read).ok();
        *self.client.said.lock() = super::clients::Said::default();
    }

    /// Whether it has to say who it is first.
    pub(super) fn is_stranger(&self) -> bool {
        self.pass.is_none()
    }

    /// Takes a token for whoever shows it.
    pub(super) fn authenticate(
        &mut self,
        user: Option<&[u8]>,
        token: &[u8],
    ) -> Result<(), ErrorReply> {
        let auth = &self.parts.frontends.auth;
        if !auth.is_required() {
            let text = "ERR AUTH <password> called without any password configured for the \
                        default user. Are you sure your configuration is correct?";
            return match user {
                None => Err(ErrorReply::fixed(text)),
                Some(b"default") => Ok(()),
                Some(_) => Err(ErrorReply::WRONGPASS),
            };
        }
        let token = std::str::from_utf8(token).map_err(|_| ErrorReply::WRONGPASS)?;
        let role = auth
            .check_token(token.as_bytes(), Role::Read)
            .map_err(|_| ErrorReply::WRONGPASS)?;
        // Tokens have no user names; a role may be given, and then has to be true.
        let named = user.is_none_or(|user| user == b"default" || user == role.as_str().as_bytes());
        if !named {
            return Err(ErrorReply::WRONGPASS);
        }
        let bearer = format!("Bearer {token}");
        let pass = Pass::new(auth, Some(&bearer), Role::Read).map_err(|_| ErrorReply::WRONGPASS)?;
        self.pass = Some(pass);
        Ok(())
    }

    /// Whether the connection may give a command.
    pub(super) fn check(&mut self, spec: &CommandSpec) -> Result<(), ErrorReply> {
        if spec.flags.has(Flags::NO_AUTH) {
            return Ok(());
        }
        let needed = if spec.flags.has(Flags::ADMIN) {
            Role::Admin
        } else if spec.flags.has(Flags::WRITE) {
            Role::Write
        } else {
            Role::Read
        };
        let pass = self.pass.as_mut().ok_or(ErrorReply::NOAUTH)?;
        match pass.check(needed) {
            Ok(()) => Ok(()),
            Err(failure) if failure.code == FailureCode::PermissionDenied => {
                let text = format!(
                    "NOPERM this user has no permissions to run the '{}' command; it needs a \
                     token of role {}",
                    spec.name,
                    needed.as_str()
                );
                Err(ErrorReply::new(text))
            }
            Err(_) => {
                self.pass = None;
                Err(ErrorReply::NOAUTH)
            }
        }
    }

    /// Who finds the owners of keys.
    pub(super) fn route(&self) -> Route {
        match self.parts.side {
            Side::Plain => Route::Forward,
            Side::Cluster => Route::OwnerOnly {
                known_epoch: Epoch(0),
            },
        }
    }

    /// What data commands may know.
    pub(super) fn context(&self) -> Context {
        let frontends = &self.parts.frontends;
        Context {
            wall_ms: frontends.clock.wall().0,
            hash: frontends.router.hash(),
            value_bytes_max: frontends.limits.value_bytes_max,
            version: self.version,
        }
    }
}

//! Own life: the lease, the member key, the self-check, and what the fence is told.

use std::time::Duration;

use cached_proto::records::{MemberRecord, MemberState};
use cached_proto::registry_keys::RegistryKey;
use cached_proto::types::MemberId;

use super::State;
use super::absence::Absent;
use super::event::{Effect, Level, Registration};
use crate::clock::Moment;
use crate::cluster::view::FenceReason;
use crate::faults::{Fault, planted};
use crate::registry::{RegistryError, Write};

/// Pause between tries to register again, or to keep a lease alive that could not be.
const AGAIN: Duration = Duration::from_secs(1);

/// What registration at the start came to.
#[derive(Clone, Debug)]
pub(crate) struct Birth {
    pub(crate) lease: i64,
    pub(crate) create_revision: i64,
    /// When the registration began.
    pub(crate) at: Moment,
    /// The incarnation of this name whose key this process removed, and when it saw
    /// that it was gone.
    pub(crate) predecessor: Option<(MemberId, Absent)>,
}

/// Where the own registration stands.
#[derive(Clone, Debug)]
pub(super) enum Standing {
    /// A gateway has no key.
    Gateway,
    Registered {
        lease: i64,
        create_revision: i64,
    },
    /// The key was seen gone.
    Lost {
        retry_at: Moment,
        asking: bool,
    },
    /// Another incarnation holds the name: nothing can be done from here.
    Taken(Box<MemberRecord>),
    /// Signing off, with the lease that is still to be ended.
    Leaving {
        lease: Option<i64>,
    },
}

/// The own registration and what hangs on it.
#[derive(Debug)]
pub(super) struct Life {
    pub(super) standing: Standing,
    pub(super) heartbeat_at: Moment,
    pub(super) check_at: Moment,
    pub(super) checking: bool,
    /// A revision that was known when the self-check under way began: it cannot see less.
    pub(super) check_floor: i64,
    /// A self-check has seen the present key after everything was read.
    pub(super) proved: bool,
    /// Start of the newest self-check that was a proof of life.
    pub(super) proof: Moment,
    /// Before the fence is opened or extended, everything must be read by a read that
    /// begins at this moment or later.
    pub(super) reread_since: Option<Moment>,
    pub(super) open: bool,
    pub(super) degraded_until: Option<Moment>,
    /// When it was seen last that the process had stood still.
    pub(super) woke_at: Option<Moment>,
}

impl Life {
    pub(super) fn new(birth: Option<&Birth>, now: Moment) -> Self {
        let standing = birth.map_or(Standing::Gateway, |birth| Standing::Registered {
            lease: birth.lease,
            create_revision: birth.create_revision,
        });
        Self {
            standing,
            heartbeat_at: birth.map_or(now, |birth| birth.at),
            check_at: now,
            checking: false,
            check_floor: 0,
            proved: false,
            proof: now,
            reread_since: Some(now),
            open: false,
            degraded_until: None,
            woke_at: None,
        }
    }
}

impl State {
    /// Own id and `create_revision`, while registered and not leaving.
    pub(super) fn registered(&self) -> Option<(&MemberId, i64)> {
        match self.life.standing {
            Standing::Registered {
                create_revision, ..
            } => Some((self.me.as_ref()?, create_revision)),
            _ => None,
        }
    }

    /// The own `create_revision`, for transactions that are not the driver's.
    pub(crate) fn create_revision(&self) -> Option<i64> {
        self.registered().map(|(_, revision)| revision)
    }

    /// The lease that the member key is on.
    pub(super) fn lease(&self) -> i64 {
        match self.life.standing {
            Standing::Registered { lease, .. } => lease,
            _ => 0,
        }
    }

    /// Who holds this member's name, if it is somebody else.
    pub(super) fn name_taken_by(&self) -> Option<&MemberRecord> {
        match &self.life.standing {
            Standing::Taken(record) => Some(record),
            _ => None,
        }
    }

    pub(super) fn leaving(&self) -> bool {
        matches!(self.life.standing, Standing::Leaving { .. })
    }

    /// Registered, everything read since, and proved: what this process decides is
    /// decided on what the registry holds.
    pub(super) fn settled(&self) -> bool {
        self.life.proved && self.life.reread_since.is_none() && self.registered().is_some()
    }

    pub(super) fn step_life(&mut self, now: Moment) {
        if self.life.check_at <= now {
            self.check_now(now);
        }
        match self.life.standing {
            Standing::Registered { lease, .. } if self.life.heartbeat_at <= now => {
                self.life.heartbeat_at = now + self.config.heartbeat;
                self.effects.push(Effect::KeepAlive { lease });
            }
            Standing::Lost {
                retry_at,
                asking: false,
            } if retry_at <= now => {
                self.life.standing = Standing::Lost {
                    retry_at,
                    asking: true,
                };
                self.register();
            }
            _ => {}
        }
        self.say_state();
        self.say_leave();
    }

    /// Begins a self-check, unless one is under way.
    pub(super) fn check_now(&mut self, now: Moment) {
        if self.life.checking || self.leaving() {
            return;
        }
        self.life.checking = true;
        self.life.check_floor = self.mirror.complete_to;
        self.life.check_at = now + self.config.self_check;
        let key = match &self.me {
            Some(me) => self.member_key(&me.name),
            None => self.mirror.keys.key(&RegistryKey::Meta),
        };
        self.effects.push(Effect::SelfCheck { key });
    }

    fn register(&mut self) {
        let Some(mut record) = self.config.member.clone() else {
            return;
        };
        record.state = self.own_state(&record.id);
        self.effects.push(Effect::Register(Box::new(record)));
    }

    /// A lease that is acknowledged proves nothing (R11); one that is gone is a
    /// reason to look.
    pub(super) fn on_kept_alive(
        &mut self,
        lease: i64,
        result: Result<(), RegistryError>,
        now: Moment,
    ) {
        if lease != self.lease() {
            return;
        }
        if result.is_ok() {
            if planted(Fault::R11) {
                self.effects.push(Effect::ExtendFence { started: now });
            }
            return;
        }
        if matches!(result, Err(RegistryError::LeaseGone)) {
            self.check_soon();
        }
        self.life.heartbeat_at = now + AGAIN.min(self.config.heartbeat);
    }

    /// The own key was *seen gone*, by a self-check or the watch: stop in every mode,
    /// register again as the same incarnation, re-read, go on.
    pub(super) fn key_gone(&mut self, now: Moment, why: &str) {
        if !matches!(self.life.standing, Standing::Registered { .. }) {
            return;
        }
        self.life.standing = Standing::Lost {
            retry_at: now,
            asking: false,
        };
        self.life.proved = false;
        self.life.open = false;
        self.life.reread_since = Some(now);
        self.dirty = true;
        self.effects.push(Effect::CloseFence(FenceReason::Removed));
        self.log(
            Level::Warn,
            format!("{why}: nothing is served until it is registered again"),
        );
    }

    pub(super) fn on_registered(
        &mut self,
        started: Moment,
        result: Result<Registration, RegistryError>,
        now: Moment,
    ) {
        let lost = matches!(self.life.standing, Standing::Lost { .. });
        match result {
            Ok(Registration::Ours {
                lease,
                create_revision,
            }) if lost => {
                self.life.standing = Standing::Registered {
                    lease,
                    create_revision,
                };
                self.life.heartbeat_at = started + self.config.heartbeat;
                self.life.reread_since = Some(now);
                self.want_full_read();
                self.log(
                    Level::Info,
                    "registered again, re-reading the table".to_owned(),
                );
            }
            Ok(Registration::Ours { lease, .. }) => self.effects.push(Effect::Revoke { lease }),
            Ok(Registration::TakenBy(record)) if lost && record.state != MemberState::Gone => {
                let who = format!("incarnation {} at {}", record.id.inc, record.address);
                self.log(
                    Level::Error,
                    format!("the name {} was taken by {who}", record.id.name),
                );
                self.life.standing = Standing::Taken(record);
            }
            _ if lost => {
                self.life.standing = Standing::Lost {
                    retry_at: now + AGAIN,
                    asking: false,
                };
            }
            _ => {}
        }
        self.dirty = true;
    }
}

/// Writes a record as JSON.
pub(super) fn put<T: serde::Serialize>(key: String, value: &T, lease: i64) -> Write {
    let value = serde_json::to_vec(value).expect("records have string keys and no failing parts");
    Write::Put {
        key,
        value: value.into(),
        lease,
    }
}

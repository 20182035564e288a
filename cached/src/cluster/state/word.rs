//! The own word in the registry: joining, up, and in the end gone.

use cached_proto::records::{MemberRecord, MemberState};

use super::State;
use super::event::{Effect, Purpose};
use super::life::{Standing, put};
use crate::cluster::view::FenceReason;
use crate::registry::Write;

impl State {
    /// A member says in its record that it owns slots, or that it has lost them all.
    pub(super) fn say_state(&mut self) {
        let Some((me, _)) = self.registered() else {
            return;
        };
        let Some(own) = self.mirror.living(me) else {
            return;
        };
        let right = match (own.value.state, self.mirror.rows.contains_key(me)) {
            (MemberState::Joining, true) => MemberState::Up,
            (MemberState::Up, false) => MemberState::Joining,
            _ => return,
        };
        if self.life.open && self.settled() {
            let write = self.own_record(right);
            self.submit(Purpose::SayState, Vec::new(), vec![write]);
        }
    }

    fn own_record(&self, state: MemberState) -> Write {
        let record = self
            .config
            .member
            .as_ref()
            .expect("only members say what they are");
        put(
            self.member_key(&record.id.name),
            &MemberRecord {
                state,
                ..record.clone()
            },
            self.lease(),
        )
    }

    /// Stops serving, then says `gone`, then ends the lease: in this order, because
    /// whoever reads `gone` may take the slots at once.
    pub(super) fn sign_off(&mut self) {
        if self.leaving() {
            return;
        }
        self.effects.push(Effect::CloseFence(FenceReason::Stopping));
        self.life.open = false;
        self.life.proved = false;
        self.dirty = true;
        let lease = match self.life.standing {
            Standing::Registered { lease, .. } => Some(lease),
            _ => None,
        };
        if lease.is_some() {
            let write = self.own_record(MemberState::Gone);
            self.submit(Purpose::SayGone, Vec::new(), vec![write]);
        } else {
            self.effects.push(Effect::SignedOff);
        }
        self.life.standing = Standing::Leaving { lease };
    }

    /// The word `gone` was written, or could not be: either way the lease ends now.
    pub(super) fn said_gone(&mut self) {
        if let Standing::Leaving { lease: Some(lease) } = self.life.standing {
            self.life.standing = Standing::Leaving { lease: None };
            self.effects.push(Effect::Revoke { lease });
        }
    }
}

//! The own word in the registry: joining, up, draining, and in the end gone.

use cached_proto::records::{MemberRecord, MemberState};
use cached_proto::types::MemberId;

use super::State;
use super::event::{Effect, Purpose};
use super::life::{Standing, put};
use crate::cluster::roster::empties;
use crate::cluster::view::FenceReason;
use crate::registry::Write;

impl State {
    /// A member says in its record that it owns slots, that it gives them away because
    /// it was asked to, or that it waits for some.
    pub(super) fn say_state(&mut self) {
        let Some((me, _)) = self.registered() else {
            return;
        };
        let Some(own) = self.mirror.living(me) else {
            return;
        };
        let right = self.own_state(me);
        if own.value.state == right || own.value.state == MemberState::Gone {
            return;
        }
        if self.life.open && self.settled() {
            let write = self.own_record(right);
            self.submit(Purpose::SayState, Vec::new(), vec![write]);
        }
    }

    /// What this member is, by what was asked of it and by its rows. Drained or draining
    /// is one word: how many slots it has says which.
    pub(super) fn own_state(&self, me: &MemberId) -> MemberState {
        match self.mirror.rows.contains_key(me) {
            _ if empties(self.intent(me)) => MemberState::Draining,
            true => MemberState::Up,
            false => MemberState::Joining,
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

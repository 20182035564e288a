//! What the opener of a stream showed: a stream may outlive the token it came with.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use cached_proto::failure::Failure;

use super::{Auth, Role};

/// Rights that are looked at again once tokens were read again.
pub struct Pass {
    auth: Arc<Auth>,
    authorization: Option<Box<str>>,
    /// What the tokens of this number say.
    role: Role,
    generation: u64,
}

impl Pass {
    /// Checks an `authorization` value as [`Auth::check`] does, and keeps it.
    pub fn new(
        auth: &Arc<Auth>,
        authorization: Option<&str>,
        needed: Role,
    ) -> Result<Self, Failure> {
        let generation = auth.generation.load(Ordering::Acquire);
        Ok(Self {
            role: auth.check(authorization, needed)?,
            auth: Arc::clone(auth),
            authorization: authorization.map(Into::into),
            generation,
        })
    }

    /// Whether the caller has the role now. Costs next to nothing while the tokens
    /// stay as they are.
    pub fn check(&mut self, needed: Role) -> Result<(), Failure> {
        let generation = self.auth.generation.load(Ordering::Acquire);
        if generation != self.generation {
            self.role = self.auth.check(self.authorization.as_deref(), Role::Read)?;
            self.generation = generation;
        }
        self.role.allows(needed)
    }
}

/// Without the token.
impl fmt::Debug for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pass({})", self.role.as_str())
    }
}

//! Ctrl-C: ends the program, or only detaches it from what it looks on.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Whether somebody takes Ctrl-C, and that it was pressed.
#[derive(Debug, Default)]
pub struct Interrupt {
    taken: AtomicBool,
    pressed: Notify,
}

/// While it lives, Ctrl-C is taken.
#[derive(Debug)]
pub struct Taken<'a>(&'a Interrupt);

impl Interrupt {
    /// Ctrl-C was pressed; false: nobody takes it, so the program ends.
    pub fn press(&self) -> bool {
        let taken = self.taken.load(Ordering::Relaxed);
        if taken {
            self.pressed.notify_one();
        }
        taken
    }

    /// From now on somebody takes it.
    pub fn take(&self) -> Taken<'_> {
        self.taken.store(true, Ordering::Relaxed);
        Taken(self)
    }
}

impl Taken<'_> {
    /// Resolves when it is pressed. Cancel-safe.
    pub async fn pressed(&self) {
        self.0.pressed.notified().await;
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.0.taken.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_taken_only_while_somebody_looks_on() {
        let interrupt = Interrupt::default();
        assert!(!interrupt.press());
        let taken = interrupt.take();
        assert!(interrupt.press());
        taken.pressed().await;
        drop(taken);
        assert!(!interrupt.press());
    }
}

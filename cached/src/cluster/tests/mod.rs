//! Real drivers and stores against the embedded registry, in paused time.

mod net;
mod operations;
mod running;
mod starting;

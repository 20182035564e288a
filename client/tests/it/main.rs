//! What the client does when nodes answer, fail, move slots, hang and vanish: each
//! case against small servers of this folder's own, on free ports.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod admin;
mod batch;
mod calls;
mod etcd;
mod fake;
mod follow;
mod secure;

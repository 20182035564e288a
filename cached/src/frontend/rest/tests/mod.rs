//! REST from request to answer, over a real router and store.

mod endpoints;
mod errors;
mod fixture;
mod keys;
mod sockets;

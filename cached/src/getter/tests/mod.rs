//! Loads: shared, overtaken, failing; and an origin behind real HTTP.

mod fixture;
mod http;
mod overtaken;
mod shared;

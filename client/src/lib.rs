//! How a program talks to a cached cluster: the owner of each key is asked
//! directly, tables are learned from answers, errors say what to do.
//!
//! ```no_run
//! use cached_client::{Client, Options, types::Ttl};
//!
//! # async fn example() -> Result<(), cached_client::Error> {
//! let client = Client::connect(Options::nodes(["127.0.0.1:8001"])).await?;
//! client.set("greeting", "hello", Some(Ttl::from_ms(60_000)?)).await?;
//! assert_eq!(client.get("greeting").await?.unwrap().value, "hello");
//! assert!(client.delete("greeting").await?);
//! # Ok(())
//! # }
//! ```
//!
//! Start with [`Client::connect`]; operators start with [`Admin`].
//!
//! Reading order: `cache` (the client), `call` and `batch` (one operation, many),
//! `route` (what follows a failure), [`topology`] (what is known of the cluster and
//! how it stays fresh), [`connections`], [`direct`] (one node, no second try).

pub mod address;
pub mod admin;
mod ask;
pub mod backoff;
mod batch;
mod cache;
mod call;
mod config;
pub mod connections;
pub mod direct;
pub mod error;
mod route;
pub mod status;
pub mod topology;

pub use admin::{Admin, Answered};
pub use cache::Client;
pub use cached_proto::failure::{Advice, Applied, Failure, FailureCode};
pub use cached_proto::{operation, operations, records, types, update};
pub use config::{DEFAULT_GROUP, EtcdSeed, Options, Seeds};
pub use connections::{ConnectOptions, TlsOptions, Token};
pub use error::Error;

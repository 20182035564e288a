//! Help for the tests of whole clusters: real processes, real etcd, real sockets.
//! Everything here cleans up after itself when it is dropped.

pub mod binaries;
pub mod clients;
pub mod cluster;
pub mod command;
pub mod console;
pub mod etcd;
pub mod golden;
pub mod history;
pub mod load;
pub mod netns;
pub mod normal;
pub mod operations;
pub mod origin;
pub mod plain;
pub mod policies;
pub mod process;
pub mod raw;
pub mod redis;
pub mod shown;
pub mod sim;
pub mod story;
mod tables;
pub mod tmux;
pub mod trace;
pub mod tree;
pub mod wait;

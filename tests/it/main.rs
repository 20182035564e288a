//! Whole clusters: one binary, one file per topic. Every case runs real processes
//! that meet in a real etcd.

mod bad_bytes;
mod bad_input;
mod bad_start;
mod bench;
mod cli;
mod cli_bytes;
mod cli_help;
mod cli_schemas;
mod crash_points;
mod data;
mod drain;
mod examples;
mod failure;
mod getter;
mod guides;
mod joins;
mod load;
mod moves;
mod outage;
mod partitions;
mod pauses;
mod quickstart;
mod replay;
mod resp_clients;
mod resp_differential;
mod room;
mod rude_clients;
mod security;
mod silent_registry;
mod stops;
mod tls;
mod traps;
mod traps_of_moves;
mod traps_of_nodes;
mod two_of_five;

//! The state's rules: alone, event by event, and several states together in
//! simulated time.

mod changes;
mod chaos;
mod endings;
mod faults;
mod lifecycle;
mod moves;
mod operations;
mod put_off;
mod registry;
mod rules;
mod start;
mod transfers;
mod wires;
mod world;

//! The router against hand-made views, scripted peers and a real store.

mod batch;
mod breakers;
mod decide;
mod fixture;
mod forward;
mod groups;
mod journey;
mod local;
mod order;
mod parking;
mod post;

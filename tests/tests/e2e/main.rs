//! The service as its users meet it: real programs, broken connections, forged posts, bad frames.
//!
//! Every test that lets clients chat ends with the verifier's word that no promise was broken.

#![allow(clippy::unwrap_used, reason = "a test's failure is a panic")]

mod all_killed;
mod bad_frames;
mod bad_websocket;
mod bystanders;
mod chat;
mod drain;
mod flags;
mod forgery;
mod heartbeat;
mod history;
mod idempotence;
mod lean;
mod link;
mod link_refusals;
mod local_nodes;
mod outage;
mod ports;
mod programs;
mod reaper;
mod relay;
mod restart;
mod resume;
mod signals;
mod signals_across;
mod slow_consumer;
mod through_sns;

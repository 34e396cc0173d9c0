//! The service as its users meet it: real programs, broken connections, forged posts, bad frames.
//!
//! Every test that lets clients chat ends with the verifier's word that no promise was broken.

mod bad_frames;
mod bad_websocket;
mod bystanders;
mod chat;
mod drain;
mod faults;
mod forgery;
mod heartbeat;
mod history;
mod idempotence;
mod kill;
mod programs;
mod restart;
mod resume;
mod slow_consumer;

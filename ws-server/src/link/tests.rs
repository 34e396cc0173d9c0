//! Two ends of a link over loopback.

mod asking;
mod refusals;
mod world;

//! Two ends of a link over loopback.

mod asking;
mod redis_hub;
mod refusals;
mod through_redis;
mod world;

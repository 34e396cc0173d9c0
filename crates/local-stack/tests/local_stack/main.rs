//! The parts of the local stack, each through its front door, and the program as a whole.

#[cfg(test)]
mod dynamodb;
#[cfg(test)]
mod endpoint;
#[cfg(test)]
mod link;
#[cfg(test)]
mod notary;
#[cfg(test)]
mod processes;
#[cfg(test)]
mod program;
#[cfg(test)]
mod sns;
#[cfg(test)]
mod stack;
#[cfg(test)]
mod stream_pump;

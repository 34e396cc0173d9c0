//! `ws-server`: see the library's `program`.

use std::process::ExitCode;

/// Every publish allocates, in the AWS SDK above all, and from several threads: the system's allocator would cost a
/// quarter of the processor time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ws_server::program::main(&std::env::args_os().collect::<Vec<_>>())
}

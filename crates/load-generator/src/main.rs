//! The program `roomcast-load`; the library says what it does.

use std::process::ExitCode;

/// Every message allocates, from several threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    load_generator::program()
}

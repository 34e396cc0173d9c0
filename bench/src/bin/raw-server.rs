//! The chat server with nothing in it: see the library's `raw_peer`.

use std::net::SocketAddr;
use std::process::ExitCode;

use bench::raw_peer::{Mode, serve};
use clap::Parser;
use mio::net::TcpListener;

/// Hands on to a room what its clients say, on one thread.
#[derive(Parser)]
#[command(name = "raw-server", version)]
struct Cli {
    /// How messages are written
    #[arg(value_enum)]
    mode: Mode,
    /// Where it listens
    #[arg(long, default_value = "127.0.0.1:9000", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match TcpListener::bind(cli.listen).and_then(|listener| serve(listener, cli.mode)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("raw-server: {error}");
            ExitCode::FAILURE
        }
    }
}

//! Where a server's processor time goes, by `perf`: each sample belongs to the function that ran.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::measure::Metrics;

/// What the metrics of shares begin with; percent of all samples.
pub(super) const SHARE: &str = "share of ";
/// Samples a second: no divisor of what else happens so often.
const RATE: &str = "997";

/// A profile that is being taken.
pub(super) struct Profile {
    perf: Child,
    file: PathBuf,
    _folder: tempfile::TempDir,
}

impl Profile {
    /// Begins to look at a process. `None`: `perf` is not here, or may not.
    pub(super) fn start(pid: u32) -> Option<Self> {
        let folder = tempfile::tempdir().ok()?;
        let file = folder.path().join("perf.data");
        let perf = Command::new("perf")
            .args(["record", "--quiet", "--freq", RATE, "--call-graph", "fp", "--pid", &pid.to_string(), "--output"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        Some(Self { perf, file, _folder: folder })
    }

    /// Ends it. Returns the share of each part; `None`: there are no samples.
    pub(super) fn stop(mut self) -> Option<Metrics> {
        // It writes what it has when it is asked to end, and only then.
        let asked = Command::new("kill").args(["-INT", &self.perf.id().to_string()]).status();
        if !asked.is_ok_and(|status| status.success()) {
            let _ = self.perf.kill();
        }
        self.perf.wait().ok()?;
        let mut script = Command::new("perf");
        script.args(["script", "--fields", "comm,ip,sym,dso", "--input"]).arg(&self.file);
        let script = script.stderr(Stdio::null()).output().ok()?;
        shares(&String::from_utf8_lossy(&script.stdout))
    }
}

fn shares(script: &str) -> Option<Metrics> {
    let mut counts = BTreeMap::<&str, f64>::new();
    for sample in script.split("\n\n").filter_map(part) {
        *counts.entry(sample).or_default() += 1.0;
    }
    let all: f64 = counts.values().sum();
    let shares = counts.into_iter().map(|(part, count)| (format!("{SHARE}{part}"), 100.0 * count / all));
    (all > 0.0).then(|| shares.collect())
}

/// What a sample belongs to: a line with the thread's name, then the functions, from the innermost on.
fn part(sample: &str) -> Option<&'static str> {
    let mut lines = sample.trim_matches('\n').lines();
    let thread = lines.next()?.trim();
    let frames: Vec<&str> = lines.map(str::trim).collect();
    let innermost = frames.first()?;
    if innermost.contains("[kernel") {
        // Some system calls leave no name of their own on the stack, but what called them does.
        let calls = |names: &[&str]| frames.iter().any(|frame| names.iter().any(|name| frame.contains(name)));
        let talks = calls(&["sys_sendto", "sys_sendmsg", "writev", "sys_recvfrom", "sys_recvmsg", "readv"]);
        return Some(match thread.starts_with("sockets-") {
            true if talks => "the kernel: WebSockets",
            false if talks => "the kernel: HTTP",
            _ if calls(&["epoll_wait", "epoll_pwait", "futex", "libc_write", "sys_write"]) => {
                "the kernel: waiting and waking"
            }
            _ => "the kernel: all else",
        });
    }
    let parts: [(&str, &[&str]); 8] = [
        ("signing", &["sha2::", "hmac::", "sha256", "digest::"]),
        ("the AWS SDK", &["aws_", "smithy", "Any>::type_id", "hex::"]),
        ("HTTP", &["hyper", "http::", "httparse", "http_body", "h1::", "tower", "axum", "uri::", "rustls"]),
        ("JSON", &["serde", "simd_json", "itoa", "ryu"]),
        ("Roomcast", &["ws_server", "room_core", "protocol::", "websocket::"]),
        ("tokio", &["tokio", "mio::", "parking_lot", "futures_"]),
        ("memory", &["mi_", "mem", "malloc", "free", "alloc::"]),
        ("tracing", &["tracing"]),
    ];
    let named = parts.iter().find(|(_, names)| names.iter().any(|name| innermost.contains(name)));
    Some(named.map_or("all else", |(part, _)| part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_belongs_to_the_function_that_ran() {
        let script = "sockets-0 \n\tffff tcp_ack ([kernel.kallsyms])\n\tffff __x64_sys_sendto+0x1 ([kernel.kallsyms])\n\n\
                      tokio-rt-worker \n\tffff tcp_ack ([kernel.kallsyms])\n\tffff __x64_sys_writev ([kernel.kallsyms])\n\n\
                      tokio-rt-worker \n\t5555 aws_smithy_runtime::client::invoke (/x/ws-server)\n\t5555 ws_server::a (/x/ws-server)\n\n\
                      tokio-rt-worker \n\t5555 <ws_server::rooms::shard::Shard>::handle (/x/ws-server)\n\n";
        let shares = shares(script).unwrap();
        let quarter = |part: &str| (format!("{SHARE}{part}"), 25.0);
        let parts = ["the kernel: WebSockets", "the kernel: HTTP", "the AWS SDK", "Roomcast"];
        assert_eq!(shares, parts.map(quarter).into_iter().collect());
    }

    #[test]
    fn without_samples_nothing_is_told() {
        assert_eq!(shares(""), None);
    }
}

//! What a server's process takes of the machine, from `/proc`.

use std::fs;
use std::time::Duration;

/// Of the kernel's accounting: 100 a second on every Linux that people run.
const TICKS: u64 = 100;

/// A moment of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// User and system time since its start.
    pub cpu: Duration,
    /// Resident memory, in bytes.
    pub rss: u64,
}

/// What a process has used so far; `None`: there is no such process, or it has ended.
#[must_use]
pub fn usage(pid: u32) -> Option<Usage> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    Some(Usage { cpu: Duration::from_millis(cpu_ticks(&stat)? * 1_000 / TICKS), rss: rss_bytes(&status)? })
}

/// Fields 14 and 15 of `/proc/<pid>/stat`. The second field, the program's name, may hold spaces.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut times = fields.split(' ').skip(11).map_while(|field| field.parse::<u64>().ok());
    Some(times.next()? + times.next()?)
}

fn rss_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_user_and_system_time() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 90 0 0 0 250 31 0 0 20 0 1 0 5 1 1";
        assert_eq!(cpu_ticks(stat), Some(281));
        assert_eq!(cpu_ticks("7 (a) S 1"), None);
    }

    #[test]
    fn memory_is_what_is_resident() {
        assert_eq!(rss_bytes("Name:\tx\nVmHWM:\t  9 kB\nVmRSS:\t  12 kB\n"), Some(12_288));
    }

    #[test]
    fn this_process_uses_something_and_no_process_uses_nothing() {
        assert!(usage(std::process::id()).unwrap().rss > 0);
        assert_eq!(usage(u32::MAX), None);
    }
}

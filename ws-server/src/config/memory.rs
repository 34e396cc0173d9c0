//! How much memory this process may use.

use std::fs;

/// Bytes of memory that this process may use: the machine's, or less where its control group says so. `None`: the system does
/// not tell.
pub(super) fn machine_memory() -> Option<u64> {
    let read = |path| fs::read_to_string(path).ok();
    let machine = read("/proc/meminfo").as_deref().and_then(total_of);
    // Version 2 and version 1, as a container sees its own group.
    let groups = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let limits = groups.into_iter().filter_map(read).filter_map(|text| text.trim().parse().ok());
    limits.chain(machine).min()
}

/// The total of `/proc/meminfo`, in bytes.
fn total_of(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_read_from_what_linux_says() {
        assert_eq!(total_of("MemTotal:       16303428 kB\nMemFree: 1 kB\n"), Some(16_303_428 * 1024));
        assert_eq!(total_of("MemFree: 1 kB\n"), None);
        assert!(machine_memory().is_some_and(|bytes| bytes > 64 * 1024 * 1024));
    }
}

//! What the kernel says of this process: memory and processor time.

/// Resident memory in bytes; 0 where the kernel does not say (no /proc).
pub(crate) fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    parse_resident(&status).unwrap_or(0)
}

/// Reads the line `VmRSS:   1234 kB`.
fn parse_resident(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// Processor time of all threads, user and system, in microseconds.
pub(super) fn cpu_micros() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0) / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read_from_the_kernels_text() {
        let text = "Name:\tcached\nVmPeak:\t  9 kB\nVmRSS:\t    1234 kB\nThreads:\t3\n";
        assert_eq!(parse_resident(text), Some(1234 * 1024));
        assert_eq!(parse_resident("VmRSS: many kB"), None);
        assert_eq!(parse_resident(""), None);
    }

    #[test]
    fn this_process_uses_memory_and_time() {
        assert!(resident_bytes() > 100 * 1024);
        let before = cpu_micros();
        while cpu_micros() == before {
            std::hint::spin_loop();
        }
    }
}

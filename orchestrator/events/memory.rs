//! How much memory the process uses.

/// Resident memory of a process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    /// Now, bytes.
    pub resident: u64,
    /// The most so far, bytes.
    pub peak: u64,
}

/// The memory of this process; zeros where the system has no `/proc`.
pub fn memory() -> Memory {
    parse(&std::fs::read_to_string("/proc/self/status").unwrap_or_default())
}

fn parse(status: &str) -> Memory {
    let of = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kilobytes = line.and_then(|rest| rest.trim().split(' ').next()?.parse::<u64>().ok());
        kilobytes.unwrap_or(0).saturating_mul(1024)
    };
    let resident = of("VmRSS:");
    Memory { resident, peak: of("VmHWM:").max(resident) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_words_are_read() {
        let status = "Name:\tx\nVmPeak:\t  9999 kB\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!(parse(status), Memory { resident: 1 << 20, peak: 2 << 20 });
        assert_eq!(parse("VmRSS:\tmuch kB"), Memory::default());
        if cfg!(target_os = "linux") {
            assert!(memory().resident > 100_000 && memory().peak >= memory().resident);
        }
    }
}

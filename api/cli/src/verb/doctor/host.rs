//! The machine: what the kernel tells below `/proc` and `/sys`, and files.

use lucid_mongo::doctor::{Finding, Verdict};
use lucid_repository::exposed;
use nix::sys::statvfs::statvfs;
use std::{fs, path::Path};

/// What mongod for arm64 is compiled for (`ARMv8.2-A`).
const ARM_FEATURES: [&str; 2] = ["asimddp", "atomics"];
/// Of `/proc/self/auxv`: the entry that tells the page size.
const AT_PAGESZ: u64 = 6;
/// Part of a disk that should stay free, in percent.
const FREE_PERCENT: u64 = 10;

/// Processor, pages and memory limits of the machine whose files begin below `root`.
pub fn machine(root: &Path) -> Vec<Finding> {
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
    let mut findings = vec![processor(&read("proc/cpuinfo"))];
    findings.extend(fs::read(root.join("proc/self/auxv")).ok().and_then(|auxv| page_size(&auxv)).map(pages));
    findings.push(memory_cgroup(&read("sys/fs/cgroup/cgroup.controllers"), &read("proc/cgroups")));
    findings
}

fn processor(cpuinfo: &str) -> Finding {
    const ABOUT: &str = "processor";
    let Some(features) = cpuinfo.lines().find_map(|line| line.strip_prefix("Features")?.split_once(':')) else {
        return Finding::right(ABOUT, "no ARM: MongoDB asks nothing special of it");
    };
    let has = |wanted: &&str| features.1.split_whitespace().any(|feature| feature == *wanted);
    let missing: Vec<&str> = ARM_FEATURES.into_iter().filter(|wanted| !has(wanted)).collect();
    if missing.is_empty() {
        return Finding::right(ABOUT, "an ARM that MongoDB runs on");
    }
    let said =
        format!("it lacks {}, without which MongoDB 5.0 and later end by an illegal instruction", missing.join(", "));
    Finding::other(ABOUT, Verdict::Wrong, said, "run mongod on ARMv8.2-A, such as a Raspberry Pi 5")
}

fn page_size(auxv: &[u8]) -> Option<u64> {
    let mut words = auxv.chunks_exact(8).filter_map(|word| word.try_into().ok()).map(u64::from_ne_bytes);
    while let (Some(kind), Some(value)) = (words.next(), words.next()) {
        if kind == AT_PAGESZ {
            return Some(value);
        }
    }
    None
}

fn pages(bytes: u64) -> Finding {
    const ABOUT: &str = "page size";
    if bytes == 4_096 {
        return Finding::right(ABOUT, "4 KiB");
    }
    let said = format!("{} KiB: Lucid Ops runs on it, and MongoDB is made for 4 KiB", bytes / 1_024);
    Finding::other(
        ABOUT,
        Verdict::Warning,
        said,
        "on a Raspberry Pi: kernel=kernel8.img in config.txt, and start again",
    )
}

fn memory_cgroup(controllers: &str, cgroups: &str) -> Finding {
    const ABOUT: &str = "memory limits";
    let in_first = cgroups.lines().any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.first() == Some(&"memory") && words.last() == Some(&"1")
    });
    if in_first || controllers.split_whitespace().any(|controller| controller == "memory") {
        return Finding::right(ABOUT, "the kernel keeps those of containers and services");
    }
    let mend = "cgroup_enable=memory in the kernel's command line (cmdline.txt), and start again";
    Finding::other(ABOUT, Verdict::Wrong, "the kernel ignores those of containers and services", mend)
}

/// A file with a secret.
pub fn secret(path: &Path) -> Finding {
    let about = format!("secret {}", path.display());
    match path.metadata() {
        Err(error) => {
            Finding::other(&about, Verdict::Wrong, format!("it can't be read: {error}"), "make it, or name another")
        }
        Ok(metadata) => match exposed(path, &metadata) {
            Some(exposed) => {
                Finding::other(&about, Verdict::Wrong, exposed, "and make a new secret, if somebody may have read it")
            }
            None => Finding::right(&about, "nobody else can reach it"),
        },
    }
}

/// The disk that a path is on.
pub fn disk(path: &Path) -> Finding {
    let about = format!("disk of {}", path.display());
    let Ok(told) = statvfs(path) else {
        return Finding::other(&about, Verdict::Wrong, "it can't be looked at", "mount it, or name another path");
    };
    let unit = told.fragment_size();
    let (free, all) = (told.blocks_available() * unit, told.blocks() * unit);
    let said = format!("{} MB of {} MB are free", free / 1_000_000, all / 1_000_000);
    if free * 100 < all * FREE_PERCENT {
        return Finding::other(&about, Verdict::Wrong, said, "free space, or let a prune do so");
    }
    Finding::right(&about, said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_pi_lacks_out_of_the_box_is_told() {
        let verdict = |finding: Finding| finding.verdict;
        assert_eq!(verdict(processor("Features\t: fp asimd atomics asimddp\n")), Verdict::Right);
        let old = processor("Features\t: fp asimd evtstrm crc32 cpuid\n");
        assert!(old.verdict == Verdict::Wrong && old.said.contains("asimddp, atomics"), "{old:?}");
        assert_eq!(verdict(processor("flags\t: fpu sse2\n")), Verdict::Right);
        assert_eq!(verdict(pages(16_384)), Verdict::Warning);
        let auxv: Vec<u8> = [16_u64, 1, AT_PAGESZ, 16_384, 0, 0].into_iter().flat_map(u64::to_ne_bytes).collect();
        assert_eq!((page_size(&auxv), page_size(&[])), (Some(16_384), None));
        assert_eq!(verdict(memory_cgroup("cpuset cpu io pids\n", "")), Verdict::Wrong);
        assert_eq!(verdict(memory_cgroup("cpuset cpu memory pids\n", "")), Verdict::Right);
        assert_eq!(verdict(memory_cgroup("", "#subsys_name\nmemory\t6\t90\t1\n")), Verdict::Right);
        assert_eq!(verdict(memory_cgroup("", "#subsys_name\nmemory\t0\t90\t0\n")), Verdict::Wrong);
    }

    #[test]
    fn secrets_and_disks_are_looked_at() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("scratch");
        let file = folder.path().join("key");
        assert_eq!(secret(&file).verdict, Verdict::Wrong, "it isn't there");
        fs::write(&file, "x").expect("written");
        for (mode, verdict) in [(0o600, Verdict::Right), (0o640, Verdict::Wrong)] {
            fs::set_permissions(&file, PermissionsExt::from_mode(mode)).expect("mode");
            assert_eq!(secret(&file).verdict, verdict, "{mode:o}");
        }
        assert!(disk(folder.path()).said.contains("MB are free"));
        assert_eq!(disk(&file.join("nowhere")).verdict, Verdict::Wrong);
    }
}

//! How the C library keeps memory that was freed: decided before anything else runs.
//!
//! Backups and restores pass buffers from thread to thread. glibc keeps what each thread frees for that thread, up to eight heaps for
//! every core, so that the same work takes up to three times the memory. It reads its settings once, at its start.

use std::{env, os::unix::process::CommandExt, process::Command};

/// One heap for all threads; buffers of this size and more go back to the system at once, and of what is freed below that so much
/// stays for the next one.
const SETTINGS: [(&str, &str); 3] =
    [("MALLOC_ARENA_MAX", "1"), ("MALLOC_MMAP_THRESHOLD_", "1048576"), ("MALLOC_TRIM_THRESHOLD_", "8388608")];

/// Begins this program again within the same process, with its memory bounded. Does nothing where that was done, where somebody has
/// chosen otherwise, or where there is another C library.
pub fn bound() {
    let is_chosen = SETTINGS.iter().any(|(name, _)| env::var_os(name).is_some());
    if is_chosen || !cfg!(all(target_os = "linux", target_env = "gnu")) {
        return;
    }
    let (Ok(program), mut arguments) = (env::current_exe(), env::args_os()) else { return };
    let name = arguments.next().unwrap_or_default();
    // Only returns if it fails; then it works on, and takes more memory.
    let _ = Command::new(program).arg0(name).args(arguments).envs(SETTINGS).exec();
}

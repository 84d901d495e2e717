//! libFuzzer in front of the parsers of stored bytes; `tests/fuzz` builds and runs it. The target is named by a variable, and the
//! seeds are written to the folder that another one names before libFuzzer looks there.
#![no_main]

use std::sync::LazyLock;
use std::{env, fs, path::Path};

use lucid_repository::fuzzing::{BYTES_PER_BYTE, TARGETS, Target};
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = env::var("LUCID_FUZZ_TARGET").unwrap_or_default();
    let target = TARGETS.into_iter().find(|target| target.name == name);
    target.unwrap_or_else(|| panic!("LUCID_FUZZ_TARGET is none of {:?}", TARGETS.map(|target| target.name)))
});

fn write_seeds() {
    let Ok(folder) = env::var("LUCID_FUZZ_SEEDS") else { return };
    for (number, seed) in (TARGET.seeds)().iter().enumerate() {
        fs::write(Path::new(&folder).join(format!("seed-{number}")), seed).expect("a folder for seeds");
    }
}

/// Runs the target, and fails if it took more memory than it may.
fn run(input: &[u8]) {
    MEMORY.reset_peak_usage();
    let before = MEMORY.current_usage();
    (TARGET.run)(input);
    let taken = MEMORY.peak_usage().saturating_sub(before);
    let limit = TARGET.limit_bytes + BYTES_PER_BYTE * input.len();
    assert!(taken <= limit, "{taken} bytes of memory for {} of input; {limit} are the most", input.len());
}

libfuzzer_sys::fuzz_target!(init: write_seeds(), |input: &[u8]| run(input));

//! Running behind everybody else.
//!
//! A process can lower itself by a system call only, which this program has none of its own for; so it becomes `nice`, which
//! becomes this program again, as the same process.

use crate::exit::Exit;
use std::{env, os::unix::process::CommandExt, process::Command};

/// Tells the second life from the first.
const LOWERED: &str = "LUCID_LOWERED";

/// Starts this program anew with the lowest priority for processor and disk; returns only in the new one.
pub fn lower() -> Result<(), Exit> {
    if env::var_os(LOWERED).is_some() {
        return Ok(());
    }
    let own = env::current_exe().map_err(Exit::failed)?;
    let mut command = Command::new("nice");
    command.args(["-n", "19", "ionice", "-c", "3"]).arg(own).args(env::args_os().skip(1)).env(LOWERED, "1");
    let error = command.exec();
    Err(Exit::failed(format!("--low-priority needs the programs nice and ionice: {error}")))
}

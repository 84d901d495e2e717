//! `lucid-ops serve`: API and worker in one process, for a node that is to have one service, or one container.

use super::{api, priority, worker};
use crate::{args::ServeArgs, exit::Exit};

/// Serves and works until the signal to stop, which each of both hears. Where one of them ends by itself the process does: what ran is
/// taken over when its lease ends, and whoever started it starts it again.
pub async fn run(args: ServeArgs) -> Result<(), Exit> {
    if args.worker.low_priority {
        // Before anything has begun: the process becomes another one.
        priority::lower()?;
    }
    let (api, worker) = args.split();
    tokio::try_join!(api::run(api), worker::run(worker)).map(|_| ())
}

//! Views come last: they hold no data, and what they are defined on is in place by then.

use super::{
    list::SwapView,
    swap::{Swap, is_overtaken},
};
use crate::{
    database::{commands, definition},
    error::Result,
    restore::stage::decoded,
};
use lucid_repository::CollectionKind;

/// Makes a view what it is to be; false where somebody else has put something in its way.
pub(crate) async fn define(swap: &Swap<'_>, view: &SwapView) -> Result<bool> {
    let database = &swap.list.database;
    let names = [view.name.as_str()];
    for _ in 0..3 {
        let found = swap.patiently(|| swap.server.named(database, &names)).await?;
        let found = found.entries.get(&view.name);
        let command = match found {
            None => {
                let options = definition::options_to_create(&view.options);
                commands::create_target(database, &view.name, options, swap.within()?)?
            }
            Some(found) if found.kind != CollectionKind::View => return Ok(false),
            Some(found) => {
                let now = decoded(&found.options)?;
                if definition::same_options(&now, &view.options) {
                    return Ok(true);
                }
                let as_listed = view.before.as_ref().is_some_and(|before| definition::same_options(&now, before));
                if !as_listed {
                    return Ok(false);
                }
                commands::redefine_view(database, &view.name, &view.options, swap.within()?)?
            }
        };
        match swap.server.tell(command).await {
            Ok(_) => return Ok(true),
            Err(error) if is_overtaken(&error) || error.is_passing() => {
                swap.server.pause(std::time::Duration::from_millis(500)).await?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

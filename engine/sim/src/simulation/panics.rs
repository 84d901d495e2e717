//! Panics inside a run: a task that breaks off takes its panic with it, so that only a hook hears of it.

use std::{cell::RefCell, panic, sync::Once};

thread_local! {
    /// The panics of the run on this thread; `None` where there is no run.
    static HEARD: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

static HOOK: Once = Once::new();

/// From here on the panics of this thread are heard, and not printed.
pub fn listen() {
    HOOK.call_once(|| {
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let heard = HEARD.with_borrow_mut(|heard| heard.as_mut().map(|heard| heard.push(info.to_string())));
            if heard.is_none() {
                print(info);
            }
        }));
    });
    HEARD.set(Some(Vec::new()));
}

/// What was heard since.
pub fn heard() -> Vec<String> {
    HEARD.with_borrow_mut(|heard| heard.as_mut().map(std::mem::take).unwrap_or_default())
}

/// From here on panics are printed as ever.
pub fn ignore() {
    HEARD.set(None);
}

//! Lists of names that go into an event, which has its bounds.

use bson::{Document, doc};
use lucid_repository::Manifest;

/// Bytes that one list may take.
const LIST_BYTES_MAX: usize = 2_500;
/// What an entry of a list costs beside its text.
const ENTRY_BYTES: usize = 16;

/// As many of these as fit, from the first on.
pub(crate) fn that_fit<T>(items: impl Iterator<Item = T>, text: impl Fn(&T) -> &str) -> Vec<T> {
    let mut bytes = 0;
    let fits = |item: &T| {
        bytes += text(item).len() + ENTRY_BYTES;
        bytes <= LIST_BYTES_MAX
    };
    items.take_while(fits).collect()
}

/// As many of these names as fit, from the first on.
pub(crate) fn names_that_fit<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    that_fit(names, |name| name)
}

/// What a result says of a backup that isn't of a whole database; nothing of one that is.
pub(crate) fn part_of(manifest: &Manifest) -> Document {
    match &manifest.selected {
        Some(names) => doc! { "partial": true, "selected": names_that_fit(names.iter().map(String::as_str)) },
        None => Document::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_are_cut_off() {
        let name = "x".repeat(200);
        let names = names_that_fit(std::iter::repeat_n(name.as_str(), 1_000));
        assert!(names.len() > 5 && names.len() < 20);
    }
}

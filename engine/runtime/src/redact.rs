//! The one redactor: every error text passes it before it becomes an event that many can read.

const LONGEST_CHARACTERS: usize = 2_000;

/// `text` without credentials of any URL in it, and not endlessly long.
pub fn redact(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(scheme_end) = rest.find("://") {
        let (before, after) = rest.split_at(scheme_end + 3);
        clean.push_str(before);
        // A password may hold a '/', though it should not: what stands before the last '@' goes.
        let authority_end =
            after.find(|c: char| c == '?' || c.is_whitespace() || c == '"' || c == '\'').unwrap_or(after.len());
        rest = match after[..authority_end].rfind('@') {
            Some(at) => {
                clean.push_str("***");
                &after[at..]
            }
            None => after,
        };
    }
    clean.push_str(rest);
    match clean.char_indices().nth(LONGEST_CHARACTERS) {
        Some((end, _)) => format!("{}...", &clean[..end]),
        None => clean,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_cut_out_of_every_url() {
        let said = "no answer from mongodb://lucid:s3cr%2Fet@pi-1:27017,pi-2/?x=a@b, nor from https://key:id@host/p";
        let clean = redact(said);
        assert_eq!(clean, "no answer from mongodb://***@pi-1:27017,pi-2/?x=a@b, nor from https://***@host/p");
        assert_eq!(redact("nothing at http://pi-1/ of note@all"), "nothing at http://pi-1/ of note@all");
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(redact(&"ü".repeat(5_000)).chars().count(), LONGEST_CHARACTERS + 3);
    }
}

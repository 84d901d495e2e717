//! Names in sentences are data: whoever may make a collection must not be able to write headers, markup or mentions.

/// No more of a sentence than this many characters is told.
pub const SENTENCE_LONGEST: usize = 1_000;

/// The sentence on one line, with nothing in it that a terminal, a mail program or a chat would take for more than letters:
/// control characters and invisible ones are shown as such, and what begins markup or a mention is replaced by its look-alike.
pub fn plain(sentence: &str) -> String {
    let mut told: String = sentence.chars().take(SENTENCE_LONGEST).map(harmless).collect();
    if sentence.chars().nth(SENTENCE_LONGEST).is_some() {
        told.push('…');
    }
    told
}

const fn harmless(letter: char) -> char {
    match letter {
        '\n' | '\r' | '\t' => ' ',
        '<' => '‹',
        '>' => '›',
        '@' => '＠',
        '[' => '［',
        ']' => '］',
        '`' => 'ˋ',
        '*' => '∗',
        // Orders to a terminal, and marks that are not seen: they turn the direction of writing, or join and part letters.
        '\u{0}'..='\u{1f}'
        | '\u{7f}'..='\u{9f}'
        | '\u{61c}'
        | '\u{180e}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}' => '\u{fffd}',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_changes_neither_header_nor_markup_nor_mention() {
        let hostile =
            "db\r\nBcc: x@evil.example\u{1b}[31m <script> <!channel> @everyone [a](http://b) `c` **d** \u{202e}e";
        let told = plain(hostile);
        assert!(!told.contains(['\r', '\n', '\u{1b}', '<', '>', '@', '[', ']', '`', '*', '\u{202e}']), "{told}");
        assert!(told.starts_with("db  Bcc: x＠evil.example"), "it is still read: {told}");
    }

    #[test]
    fn ordinary_sentences_stay_as_they_are_and_long_ones_end() {
        let usual = "The backup of \"lucid_ö\" is 36 h old: 1.5 × what its schedule promises.";
        assert_eq!(plain(usual), usual);
        let long = plain(&"ü".repeat(5_000));
        assert_eq!(long.chars().count(), SENTENCE_LONGEST + 1);
        assert!(long.ends_with('…'));
        assert_eq!(plain(&"ü".repeat(SENTENCE_LONGEST)).chars().count(), SENTENCE_LONGEST);
    }
}

//! How long a body is made before it is encrypted (format, section 5), so that its length doesn't answer a guess.
//!
//! Whoever may write one document beside others, and see what is stored, could else compare: compressed together with the right guess, the
//! others take a byte less. Invariant: what [`strip`] leaves is what [`bytes`] was asked for, and the same record is always as long.

use crate::keys::Key;
use crate::record::RecordType;

/// The least that content and padding together have.
const LEAST_BYTES: usize = 512;
/// Lengths are told in parts of a step, so that none is told to the byte.
const PARTS: usize = 8;
/// The end of the padding says how long it is.
const LENGTH_BYTES: usize = 4;

/// Whether the content of such a record comes from documents: what is only counts and hashes isn't padded.
pub(crate) fn is_padded(record_type: RecordType) -> bool {
    match record_type {
        RecordType::Chunk | RecordType::Delta | RecordType::List | RecordType::Manifest => true,
        RecordType::Footer
        | RecordType::Index
        | RecordType::Generation
        | RecordType::Pin
        | RecordType::Distrust
        | RecordType::Master
        | RecordType::Owner
        | RecordType::Inventory
        | RecordType::Forgotten => false,
    }
}

/// How many bytes follow a content of this length in the record of this id: a number that is drawn below one step (Padmé's, 1.6 to
/// 6.3 % of the length), then up to the next eighth of a step. Where a step ends can't be known, so nobody can tune a length to that.
pub(crate) fn bytes(key: &Key, id: &[u8; 32], content_bytes: usize) -> usize {
    let least = (content_bytes + LENGTH_BYTES).max(LEAST_BYTES);
    let step = step(least);
    let drawn = u64::from_le_bytes(*blake3::keyed_hash(key, id).as_bytes().first_chunk().expect("a hash is longer"));
    let ahead = usize::try_from(drawn % step as u64).expect("less than a step");
    (least + ahead).next_multiple_of(step / PARTS) - content_bytes
}

/// What is a power of two below this length, and leaves as many digits of it as the number of its digits has.
fn step(length: usize) -> usize {
    let exponent = length.ilog2();
    1 << (exponent - exponent.ilog2() - 1)
}

/// A sum of stored bytes as it is told to people who can't read the repository: up to the next step, as lengths are.
pub fn rounded(bytes: u64) -> u64 {
    let step = usize::try_from(bytes).map_or(1, |bytes| step(bytes.max(LEAST_BYTES)));
    bytes.checked_next_multiple_of(step as u64).unwrap_or(bytes)
}

/// Adds so many bytes to a body.
pub(crate) fn append(body: &mut Vec<u8>, bytes: usize) {
    body.resize(body.len() + bytes - LENGTH_BYTES, 0);
    body.extend_from_slice(&u32::try_from(bytes).expect("a part of a body").to_le_bytes());
}

/// Takes the padding off a body; the text says why that can't be.
pub(crate) fn strip(body: &mut Vec<u8>) -> Result<(), String> {
    let (rest, length) = body.split_last_chunk::<LENGTH_BYTES>().ok_or("too short for its padding")?;
    let zeros = usize::try_from(u32::from_le_bytes(*length)).ok().and_then(|bytes| bytes.checked_sub(LENGTH_BYTES));
    let start = zeros.and_then(|zeros| rest.len().checked_sub(zeros)).ok_or("its padding is longer than it is")?;
    if rest[start..].iter().any(|byte| *byte != 0) {
        return Err("its padding isn't empty".into());
    }
    body.truncate(start);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compression::compress;
    use crate::delta;
    use crate::keys::random;

    fn key() -> Key {
        Key::new(random().expect("randomness"))
    }

    fn padded(key: &Key, id: &[u8; 32], content_bytes: usize) -> usize {
        content_bytes + bytes(key, id, content_bytes)
    }

    #[test]
    fn what_is_padded_is_longer_by_hardly_more_than_a_step_and_comes_back() {
        let key = key();
        for length in (0..2_000).chain([4_095, 65_536, 300_000, 16 << 20, 32 << 20]) {
            let id = random().expect("randomness");
            let content = vec![7; length];
            let mut body = content.clone();
            append(&mut body, bytes(&key, &id, length));
            assert_eq!(body.len(), padded(&key, &id, length), "always as long");
            let least = (length + 4).max(512);
            let part = step(least) / PARTS;
            assert!((least..least + step(least) + part).contains(&body.len()) && body.len() % part == 0, "{length}");
            strip(&mut body).expect("its own");
            assert_eq!(body, content);
        }
        // The largest record that may be.
        assert!((32 << 20) + bytes(&key, &[0; 32], 32 << 20) <= 34 << 20);
        assert_eq!([512, 1_000, 4_096, 300_000, 1 << 20].map(step), [32, 32, 256, 8_192, 32_768]);
    }

    #[test]
    fn sums_are_told_in_steps() {
        let told = [0, 1, 32, 33, 1_000_000, u64::MAX].map(rounded);
        assert_eq!(told, [0, 32, 32, 64, 1_015_808, u64::MAX]);
    }

    #[test]
    fn bad_padding_is_refused() {
        for bad in
            [&[][..], &[0, 0, 0], &[3, 0, 0, 0], &[1, 0, 0, 0, 0], &[6, 0, 0, 0], &[1, 1, 0, 6, 0, 0, 0], &[255; 8]]
        {
            assert!(strip(&mut bad.to_vec()).is_err(), "{bad:?}");
        }
        let mut empty = vec![4, 0, 0, 0];
        assert_eq!((strip(&mut empty), empty), (Ok(()), Vec::new()));
    }

    /// Yesterday's chunk, with somebody's secret in it.
    fn chunk(digit: char, own: &str) -> Vec<u8> {
        let others: Vec<String> =
            (0..40).map(|n| format!("{{name: 'user{n}', at: {}}}", blake3::hash(&[n]).to_hex())).collect();
        format!("{}{{token: 'reset-77ab{digit}'}}{own}", others.concat()).into_bytes()
    }

    /// Bytes of the delta after the attacker has written a guess into a document of his own, with `filler` bytes that don't compress.
    fn delta_bytes(secret: char, guess: char, filler: usize) -> usize {
        let noise: String = blake3::Hasher::new().update(b"noise").finalize_xof_hex(filler);
        let own = format!("{{mine: '{noise} token: 'reset-77ab{guess}'}}");
        32 + delta::diff(&chunk(secret, "{mine: ''}"), &chunk(secret, &own)).expect("made").len()
    }

    trait Noise {
        fn finalize_xof_hex(&self, length: usize) -> String;
    }

    impl Noise for blake3::Hasher {
        fn finalize_xof_hex(&self, length: usize) -> String {
            let mut bytes = vec![0; length];
            self.finalize_xof().fill(&mut bytes);
            bytes.iter().map(|byte| char::from(33 + byte % 94)).collect()
        }
    }

    const DIGITS: &str = "0123456789abcdef";

    /// Two lengths: with the right digit guessed and with a wrong one, tuned such that the right one ends where a step begins.
    fn tuned() -> (usize, usize) {
        let found = (480..640).find_map(|filler| {
            let (right, wrong) = (delta_bytes('7', '7', filler), delta_bytes('7', '3', filler));
            ((right + 4) % 32 == 0 && wrong > right && right > 512).then_some((right, wrong))
        });
        found.expect("some filler tunes it")
    }

    #[test]
    fn without_padding_every_right_guess_is_told_in_one_night() {
        for secret in DIGITS.chars() {
            let lengths = DIGITS.chars().map(|guess| (delta_bytes(secret, guess, 500), guess));
            assert_eq!(lengths.min().expect("sixteen").1, secret);
        }
    }

    #[test]
    fn with_padding_one_digit_takes_hundreds_of_nights() {
        let ((right, wrong), key) = (tuned(), key());
        let night = |guess: u8, secret: u8| {
            // Each night the chunk is another one, and so is its id.
            let id: [u8; 32] = random().expect("randomness");
            padded(&key, &id, if guess == secret { right } else { wrong })
        };
        let (trials, mut won, mut nights_of) = (400, 0, Vec::new());
        for trial in 0..trials {
            let secret = u8::try_from(trial % 16).expect("small");
            // As it was done: each digit once, and the shortest one is it. Of several he takes the first.
            won += u32::from((0..16).min_by_key(|guess| night(*guess, secret)).expect("sixteen") == secret);
            // With patience: again and again, until one is as short as only the right one ever is.
            let told = (1..100_000u32).find(|n| {
                let guess = u8::try_from((n - 1) % 16).expect("small");
                night(guess, secret) < wrong + LENGTH_BYTES
            });
            nights_of.push(told.expect("some night"));
        }
        nights_of.sort_unstable();
        let median = nights_of[nights_of.len() / 2];
        println!(
            "the attack of one night a guess is right in {won} of {trials} trials; with patience, a digit takes {median} nights"
        );
        assert!(won * 5 < trials, "{won} of {trials}, where chance gives 1 of 16");
        assert!(median > 200, "{median} nights");
    }

    /// A document of words and numbers, as most are.
    fn document(random: &mut impl FnMut() -> u64) -> String {
        let words: Vec<String> = (0..24).map(|_| format!("word{}", random() % 700)).collect();
        format!(
            "{{_id: {}, at: {}, text: '{}', price: {}}}",
            random() % 1_000_000,
            random() % 90_000,
            words.join(" "),
            random() % 5_000
        )
    }

    #[test]
    fn padding_costs_at_most_three_percent_of_a_full_backup_and_little_of_a_night() {
        let (key, mut state) = (key(), 7u64);
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state >> 11
        };
        let (mut full, mut night) = ((0, 0), (0, 0));
        for number in 0..120u8 {
            let mut documents: Vec<String> = (0..1_200).map(|_| document(&mut random)).collect();
            let before = documents.concat().into_bytes();
            for place in (usize::from(number) % 100..1_200).step_by(100) {
                documents[place] = document(&mut random);
            }
            let after = documents.concat().into_bytes();
            let add = |(content, padded): &mut (usize, usize), bytes: usize| {
                // With header and tag, which are there either way.
                *content += bytes + 112;
                *padded += padded_at(&key, number, bytes) + 112;
            };
            add(&mut full, compress(&before, Some(3)).expect("compressed").expect("smaller").len());
            add(&mut night, 32 + delta::diff(&before, &after).expect("made").len());
        }
        // Hundredths of a per cent.
        let more = |(content, padded): (usize, usize)| (padded - content) * 10_000 / content;
        let (full_bytes, night_bytes) = (full.0 / 120, night.0 / 120);
        println!(
            "in hundredths of a per cent: chunks of {full_bytes} bytes {}, deltas of {night_bytes} {}",
            more(full),
            more(night)
        );
        assert!(more(full) <= 300 && more(night) <= 500, "{full:?}, {night:?}");
    }

    fn padded_at(key: &Key, number: u8, content_bytes: usize) -> usize {
        padded(key, blake3::hash(&[number]).as_bytes(), content_bytes)
    }
}

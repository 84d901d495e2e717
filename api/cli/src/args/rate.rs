//! Bytes, and bytes a second, as people write them.

use std::{num::NonZeroU64, str::FromStr};

/// Bytes, or bytes a second, at least 1: a number with KB, MB or GB (powers of 1,000), KiB, MiB or GiB (of 1,024), B or nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate(pub NonZeroU64);

const UNITS: [(&str, u64); 8] = [
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("b", 1),
    ("", 1),
];

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let small = text.trim().to_ascii_lowercase();
        let (number, unit) =
            UNITS.iter().find_map(|(unit, bytes)| Some((small.strip_suffix(unit)?, bytes))).unwrap_or((&small, &1));
        let bytes = number.trim().parse::<u64>().ok().and_then(|number| number.checked_mul(*unit));
        bytes
            .and_then(NonZeroU64::new)
            .map(Self)
            .ok_or_else(|| "expected a number of bytes, such as 500KB, 20MB or 1GiB".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_as_people_write_them() {
        let rate = |text: &str| text.parse::<Rate>().map(|rate| rate.0.get());
        assert_eq!(rate("20MB"), Ok(20_000_000));
        assert_eq!(rate("512 KiB"), Ok(524_288));
        assert_eq!(rate("1gib"), Ok(1 << 30));
        assert_eq!(rate("7B"), Ok(7));
        assert_eq!(rate("123"), Ok(123));
        for bad in ["", "0", "0MB", "MB", "-5MB", "1.5MB", "5TB", "99999999999GB"] {
            assert!(rate(bad).is_err(), "{bad}");
        }
    }
}

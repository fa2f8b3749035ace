//! Looking at small worlds, and at hostile ones.

use super::*;
use crate::sys::lock::FileLock;
use crate::sys::process::{Children, Ending, Finished, Invocation, Runner};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

const EARLIEST: u64 = 1_780_000_000;
/// 2026-11-23, a Monday, 12:00 UTC.
const NOON: u64 = 1_795_435_200;

/// A folder that is a machine.
struct Machine {
    dir: tempfile::TempDir,
    now: u64,
}

impl Machine {
    fn new() -> Machine {
        Machine { dir: tempfile::tempdir().unwrap(), now: NOON }
    }

    fn root(&self) -> &Path {
        self.dir.path()
    }

    fn file(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.root().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn look_with(&self, settings: &str, runner: &dyn Runner) -> Found {
        let settings: Settings = toml::from_str(settings).unwrap();
        let place = Place { now: self.now, ..Place::under(self.root(), EARLIEST, runner) };
        look(&settings.at(self.root()), &place)
    }

    fn look(&self, settings: &str) -> Found {
        self.look_with(settings, &Children)
    }

    /// The one thing that holds, or nothing.
    fn held(&self, settings: &str) -> Option<(What, String)> {
        let mut found = self.look(settings);
        assert!(found.unsure.is_empty() && found.held.len() < 2, "{found:?}");
        found.held.pop().map(|h| (h.what, h.text))
    }
}

#[test]
fn a_machine_without_anything_holds_back_nothing() {
    assert_eq!(Machine::new().look(""), Found::default());
    let place = Place::device(0, &Children);
    assert_eq!(
        (place.sys.as_path(), place.zone.as_path()),
        (Path::new("/sys"), Path::new("/etc/localtime"))
    );
}

#[test]
fn a_file_holds_while_it_exists_and_may_say_why() {
    let machine = Machine::new();
    let settings = "files = [\"run/busy\"]";
    assert_eq!(machine.held(settings), None);
    machine.file("run/busy", "");
    let path = machine.root().join("run/busy").display().to_string();
    assert_eq!(machine.held(settings), Some((What::File, format!("{path} exists"))));
    machine.file("run/busy", "calibrates\u{1b}[2J until noon\nmore\n");
    let text = format!("{path} exists: calibrates?[2J until noon");
    assert_eq!(machine.held(settings), Some((What::File, text)));
    std::fs::remove_file(&path).unwrap();
    assert_eq!(machine.held(settings), None);
    symlink("/nowhere", &path).unwrap();
    assert!(machine.held(settings).is_some(), "a link that leads nowhere is there too");
    machine.file("plain", "");
    assert_eq!(machine.held("files = [\"plain/below\"]"), None);
}

#[test]
fn a_lock_holds_while_somebody_has_it() {
    let machine = Machine::new();
    let settings = "locks = [\"lock\"]";
    assert_eq!(machine.held(settings), None);
    let lock = FileLock::take(&machine.root().join("lock"), Duration::ZERO).unwrap();
    let (what, text) = machine.held(settings).unwrap();
    assert!(what == What::Lock && text.contains("holds a lock on"), "{text}");
    drop(lock);
    assert_eq!(machine.held(settings), None);
    let found = machine.look("locks = [\"/dev/null\"]");
    assert!(found.held.is_empty() && found.unsure[0].contains("/dev/null"), "{found:?}");
}

#[test]
fn outside_of_every_window_is_held_until_one_opens() {
    let mut machine = Machine::new();
    let settings = "zone = \"utc\"\nwindows = [\"02:00-04:00\", \"Sat 00:00-06:00\"]";
    let found = machine.look(settings);
    assert_eq!((found.held[0].what, found.held[0].until), (What::Window, Some(14 * 3_600)));
    let text = "outside of 02:00-04:00, Sat 00:00-06:00; the next begins in 14 hours";
    assert_eq!(found.held[0].text, text);
    machine.now += 14 * 3_600;
    assert_eq!(machine.held(settings), None);
    machine.now -= 1;
    assert_eq!(machine.look(settings).held[0].until, Some(1));
}

#[test]
fn windows_follow_the_zone_of_the_device_and_greenwich_without_one() {
    let mut machine = Machine::new();
    machine.now = NOON + 3_600;
    let (local, utc) =
        ("windows = [\"13:00-14:00\"]", "zone = \"utc\"\nwindows = [\"13:00-14:00\"]");
    assert_eq!(machine.held(local), None);
    machine.file("etc/localtime", zone::tests::file("<+05>-5"));
    assert_eq!(machine.look(local).held[0].until, Some(19 * 3_600));
    assert_eq!(machine.held(utc), None);
    machine.file("etc/localtime", vec![b'x'; 100_000]);
    assert_eq!(machine.held(local), None);
}

#[test]
fn a_clock_that_nobody_has_set_closes_windows_and_says_so() {
    let mut machine = Machine::new();
    let settings = "windows = [\"00:00-24:00\"]";
    for (now, said) in [(0, "1970"), (1_767_225_599, "2025-12-31"), (EARLIEST - 1, "2026-05-28")] {
        machine.now = now;
        let found = machine.look(settings);
        assert_eq!((found.held[0].what, found.held[0].until), (What::Clock, None));
        assert!(found.held[0].text.contains(said), "{found:?}");
        assert_eq!(machine.held(""), None, "without windows it does not matter");
    }
    // An image that is built again byte by byte has dated its files 1970.
    let settings_of = |now: u64| {
        let settings: Settings = toml::from_str(settings).unwrap();
        look(&settings, &Place { now, ..Place::under(machine.root(), 0, &Children) }).held
    };
    assert_eq!(settings_of(86_400)[0].what, What::Clock);
    assert_eq!(settings_of(NOON), []);
    // 2040, the end of 32 bits, and whatever a dead battery says.
    for now in [EARLIEST, 2_208_988_800, 1 << 31, 1 << 32, u64::MAX - 5, u64::MAX] {
        machine.now = now;
        assert_eq!(machine.held(settings), None);
        assert_eq!(machine.look("windows = [\"02:00-02:01\"]").held.len(), 1);
    }
}

/// The bus tool, as it would answer.
struct Bus(Finished);

impl Bus {
    fn says(status: i32, stdout: &str, stderr: &str) -> Bus {
        let (stdout, stderr) = (stdout.as_bytes().to_vec(), stderr.as_bytes().to_vec());
        Bus(Finished { ending: Ending::Exit(status), stdout, stderr })
    }
}

impl Runner for Bus {
    fn run(&self, call: &Invocation<'_>) -> std::io::Result<Finished> {
        assert_eq!(call.command[0], "busctl");
        Ok(self.0.clone())
    }
}

#[test]
fn the_init_system_is_asked_where_somebody_has_asked_it() {
    let machine = Machine::new();
    let one = "{\"data\":[[[\"shutdown\",\"dpkg\",\"half\",\"block\",0,7]]]}";
    let bus = Bus::says(0, one, "");
    assert_eq!(machine.look_with("", &bus), Found::default(), "nobody has asked for one");
    std::fs::create_dir_all(machine.root().join("run/systemd/inhibit")).unwrap();
    let held = machine.look_with("", &bus).held;
    assert_eq!(held[0].what, What::Systemd);
    assert_eq!(held[0].text, "dpkg (process 7) blocks a shutdown: half");
    assert_eq!(machine.look_with("systemd = false", &bus), Found::default());
    for (bus, said) in [
        (Bus::says(1, "", "x\nno such bus\n"), "busctl: no such bus"),
        (Bus::says(0, "nonsense", ""), "busctl: an answer of another form"),
    ] {
        let found = machine.look_with("", &bus);
        assert_eq!((found.held, found.unsure), (vec![], vec![said.to_owned()]));
    }
}

#[test]
fn a_low_battery_holds_until_there_is_a_supply() {
    let machine = Machine::new();
    let class = "sys/class/power_supply";
    machine.file(&format!("{class}/BAT0/type"), "Battery\n");
    machine.file(&format!("{class}/BAT0/capacity"), "12\n");
    machine.file(&format!("{class}/AC/type"), "Mains\n");
    machine.file(&format!("{class}/AC/online"), "0\n");
    let text = "on battery with 12 %; updates wait for 30 % or a supply";
    assert_eq!(machine.held(""), Some((What::Power, text.to_owned())));
    assert_eq!(machine.held("battery_min = 12"), None);
    assert_eq!(machine.held("battery_min = 0"), None);
    assert_eq!(machine.held("power = false"), None);
    machine.file(&format!("{class}/BAT0/scope"), "Device\n");
    assert_eq!(machine.held(""), None, "that of a mouse");
    machine.file(&format!("{class}/BAT0/scope"), "System\n");
    machine.file(&format!("{class}/BAT0/present"), "0\n");
    assert_eq!(machine.held(""), None, "an empty bay");
    machine.file(&format!("{class}/BAT0/present"), "1\n");
    machine.file(&format!("{class}/BAT0/capacity"), "101\n");
    assert_eq!(machine.held(""), None, "no percentage");
    machine.file(&format!("{class}/BAT0/capacity_level"), "Critical\n");
    assert!(machine.held("").is_some());
    machine.file(&format!("{class}/usb/type"), "USB_PD\n");
    machine.file(&format!("{class}/usb/online"), "2\n");
    assert_eq!(machine.held(""), None, "it is plugged in");
}

#[test]
fn an_alarm_of_the_supply_holds() {
    let machine = Machine::new();
    machine.file("sys/class/hwmon/hwmon0/name", "rpi_volt\n");
    machine.file("sys/class/hwmon/hwmon0/in0_lcrit_alarm", "0\n");
    machine.file("sys/class/hwmon/hwmon0/in_lcrit_alarm", "1\n");
    machine.file("sys/class/hwmon/hwmon0/inx_lcrit_alarm", "1\n");
    machine.file("sys/class/hwmon/hwmon0/temp1_lcrit_alarm", "1\n");
    assert_eq!(machine.held(""), None);
    machine.file("sys/class/hwmon/hwmon0/in0_lcrit_alarm", "1\n");
    let text = "the supply's voltage is too low (rpi_volt: in0_lcrit_alarm)";
    assert_eq!(machine.held(""), Some((What::Power, text.to_owned())));
    assert_eq!(machine.held("power = false"), None);
}

#[test]
fn a_worn_out_medium_holds() {
    let machine = Machine::new();
    machine.file("sys/block/mmcblk1/device/life_time", "0x01 0x0b\n");
    machine.file("sys/block/sda/device/life_time", "0x0b 0x0b\n");
    let text = "mmcblk1 has outlived its estimated life; replace it";
    assert_eq!(machine.held(""), Some((What::Wear, text.to_owned())));
    assert_eq!(machine.held("wear = 0"), None);
}

#[test]
fn a_hostile_machine_costs_little_and_says_nothing() {
    let names = [
        "sys/class/power_supply/BAT0/type",
        "sys/class/power_supply/BAT0/capacity",
        "sys/class/power_supply/AC/type",
        "sys/class/power_supply/AC/online",
        "sys/class/hwmon/hwmon0/name",
        "sys/class/hwmon/hwmon0/in0_lcrit_alarm",
        "sys/block/mmcblk0/device/life_time",
        "sys/block/mmcblk0/device/pre_eol_info",
        "etc/localtime",
    ];
    let huge = vec![b'1'; 1 << 20];
    let hostile: [&[u8]; 6] = [b"", b"\n\n", b"\xff\xfe1\n", b"Battery Mains\0", b"-1\n", &huge];
    for text in hostile {
        let machine = Machine::new();
        names.iter().for_each(|name| machine.file(name, text));
        assert_eq!(machine.look("windows = [\"00:00-24:00\"]"), Found::default());
    }
    // Folders and pipes where files should be, and links in a circle.
    let machine = Machine::new();
    for name in names {
        std::fs::create_dir_all(machine.root().join(name)).unwrap();
    }
    assert_eq!(machine.look(""), Found::default());
    let machine = Machine::new();
    for name in names {
        let path = machine.root().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(path.file_name().unwrap(), &path).unwrap();
    }
    assert_eq!(machine.look(""), Found::default());
    let machine = Machine::new();
    let mut pipes = Vec::new();
    for name in names.iter().filter(|n| n.starts_with("sys")) {
        let path = machine.root().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        pipes.push(path);
    }
    let made = std::process::Command::new("mkfifo").args(&pipes).status().unwrap();
    assert!(made.success());
    let start = Instant::now();
    assert_eq!(machine.look(""), Found::default());
    // A thousand supplies.
    let machine = Machine::new();
    for n in 0..1_000 {
        std::fs::create_dir_all(machine.root().join(format!("sys/class/hwmon/hwmon{n}"))).unwrap();
    }
    assert_eq!(machine.look(""), Found::default());
    assert!(start.elapsed() < Duration::from_secs(300));
}

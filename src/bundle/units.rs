//! Units of native apps: which lines of systemd's language they may use, and how they are placed on a device. A unit
//! names its own files as `@ROOT@/PATH` and the app's data folder as `@DATA@`; what it says of other units is of its
//! own bundle, or waits for one of a few of the system.

use super::files::{invalid, is_clean};
use super::{AppDocument, NativeFile, ServiceName};
use crate::model::{Result, printable};
use std::collections::{BTreeMap, BTreeSet};

/// A unit has at most this many bytes.
pub const MAX_UNIT_LEN: u64 = 64 * 1024;
/// Permission to run programs that are not files of the bundle.
pub const FOREIGN_PROGRAMS: &str = "native-programs";
/// Permission for the lines that give a service more than its user has.
pub const MORE_RIGHTS: &str = "native-rights";

/// The tree of the generation that runs, in the text of a unit.
const ROOT: &str = "@ROOT@";
/// The app's data folder.
const DATA: &str = "@DATA@";

const UNIT: &[&str] = &[
    "Description",
    "Documentation",
    "StartLimitBurst",
    "StartLimitIntervalSec",
    // Names of units.
    "After",
    "Before",
    "BindsTo",
    "PartOf",
    "Requires",
    "Wants",
];

/// What describes a service, bounds it or takes something away from it.
const SERVICE: &[&str] = &[
    "CPUQuota",
    "CPUWeight",
    "CacheDirectory",
    "CapabilityBoundingSet",
    "DevicePolicy",
    "DynamicUser",
    "Environment",
    "ExecReload",
    "ExecStart",
    "ExecStartPost",
    "ExecStartPre",
    "ExecStop",
    "ExecStopPost",
    "Group",
    "IOWeight",
    "IPAddressAllow",
    "IPAddressDeny",
    "InaccessiblePaths",
    "KeyringMode",
    "KillMode",
    "KillSignal",
    "LimitCORE",
    "LimitNOFILE",
    "LockPersonality",
    "LogsDirectory",
    "MemoryDenyWriteExecute",
    "MemoryHigh",
    "MemoryMax",
    "Nice",
    "NoNewPrivileges",
    "NotifyAccess",
    "OOMScoreAdjust",
    "PrivateDevices",
    "PrivateNetwork",
    "PrivateTmp",
    "PrivateUsers",
    "ProtectClock",
    "ProtectControlGroups",
    "ProtectHome",
    "ProtectHostname",
    "ProtectKernelLogs",
    "ProtectKernelModules",
    "ProtectKernelTunables",
    "ProtectProc",
    "ProtectSystem",
    "ReadOnlyPaths",
    "ReadWritePaths",
    "RemainAfterExit",
    "Restart",
    "RestartPreventExitStatus",
    "RestartSec",
    "RestrictAddressFamilies",
    "RestrictNamespaces",
    "RestrictRealtime",
    "RestrictSUIDSGID",
    "RuntimeDirectory",
    "Sockets",
    "StandardError",
    "StandardOutput",
    "StateDirectory",
    "SuccessExitStatus",
    "SyslogIdentifier",
    "SystemCallArchitectures",
    "SystemCallErrorNumber",
    "SystemCallFilter",
    "TasksMax",
    "TimeoutSec",
    "TimeoutStartSec",
    "TimeoutStopSec",
    "Type",
    "UMask",
    "User",
    "WatchdogSec",
    "WorkingDirectory",
];

/// What gives a service something.
const RIGHTS: &[&str] = &[
    "AmbientCapabilities",
    "BindPaths",
    "BindReadOnlyPaths",
    "CPUSchedulingPolicy",
    "CPUSchedulingPriority",
    "DeviceAllow",
    "LimitMEMLOCK",
    "LimitRTPRIO",
    "SupplementaryGroups",
];

const SOCKET: &[&str] = &[
    "Backlog",
    "BindIPv6Only",
    "FileDescriptorName",
    "KeepAlive",
    "ListenDatagram",
    "ListenStream",
    "NoDelay",
    "ReusePort",
    "Service",
    "SocketMode",
];

const TIMER: &[&str] = &[
    "AccuracySec",
    "FixedRandomDelay",
    "OnActiveSec",
    "OnBootSec",
    "OnCalendar",
    "OnStartupSec",
    "OnUnitActiveSec",
    "OnUnitInactiveSec",
    "Persistent",
    "RandomizedDelaySec",
    "Unit",
];

const PATH: &[&str] =
    &["DirectoryNotEmpty", "PathChanged", "PathExists", "PathExistsGlob", "PathModified", "Unit"];

/// Units of the system that a unit may wait for: none of them ends or changes anything when it is wanted.
const SYSTEM: [&str; 7] = [
    "dbus.service",
    "dbus.socket",
    "local-fs.target",
    "network-online.target",
    "network.target",
    "time-set.target",
    "time-sync.target",
];

/// What a unit is, from its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitFacts {
    /// The name that it has on a device.
    pub placed: String,
    /// It does one thing and ends: `Type=oneshot`.
    pub once: bool,
    /// Another unit of the bundle starts it, and the app's start does not.
    pub triggered: bool,
}

/// The name of a unit on a device. No app has a `.` in its name, so that no two units have one name.
pub fn placed_name(app: &ServiceName, unit: &str) -> String {
    format!("surefoot-app-{app}.{}", own_name(unit))
}

fn own_name(unit: &str) -> &str {
    unit.rsplit('/').next().unwrap_or(unit)
}

struct Line<'t> {
    section: &'t str,
    key: &'t str,
    value: &'t str,
}

/// The lines of a unit, in order.
fn lines<'t>(unit: &str, text: &'t str) -> Result<Vec<Line<'t>>> {
    let wrong = |at: usize, why: &str| {
        let unit = printable(unit, 200);
        invalid(format!("line {} of the unit `{unit}` {why}", at + 1))
    };
    let (mut section, mut found) = ("", Vec::new());
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if line.chars().any(|c| c.is_control() && c != '\t') {
            return wrong(at, "has a control character");
        }
        if line.ends_with('\\') {
            return wrong(at, "goes on in the next one; write it as one line");
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name;
            continue;
        }
        let Some((key, value)) = line.split_once('=') else {
            return wrong(at, "is no `KEY=VALUE`");
        };
        found.push(Line { section, key: key.trim_end(), value: value.trim_start() });
    }
    Ok(found)
}

impl AppDocument {
    /// Reads the units of a native app with `read`, holds them to the rules, and says what each is, in the order of
    /// the document. A line that needs a permission which the document does not ask for is refused.
    pub fn check_units(
        &self,
        mut read: impl FnMut(&NativeFile) -> Result<Vec<u8>>,
    ) -> Result<Vec<UnitFacts>> {
        let Some(native) = &self.native else { return Ok(Vec::new()) };
        let names: BTreeSet<&str> = native.units.iter().map(|unit| own_name(unit)).collect();
        let (mut found, mut triggered) = (Vec::new(), BTreeSet::new());
        for unit in &native.units {
            let shown = printable(unit, 200);
            let Some(file) = native.files.iter().find(|file| file.path == *unit) else {
                return invalid(format!("the unit `{shown}` is none of the files"));
            };
            if file.size > MAX_UNIT_LEN {
                return invalid(format!("the unit `{shown}` has more than {MAX_UNIT_LEN} bytes"));
            }
            let Ok(text) = String::from_utf8(read(file)?) else {
                return invalid(format!("the unit `{shown}` is not UTF-8"));
            };
            let lines = lines(unit, &text)?;
            let checked = lines.iter().try_for_each(|line| self.check_line(unit, line, &names));
            checked.map_err(|failure| failure.at(format!("units.{shown}")))?;
            let of = |key: &str| lines.iter().rev().find(|line| line.key == key).map(|l| l.value);
            let (stem, kind) = own_name(unit).rsplit_once('.').unwrap_or_default();
            if kind == "service" && of("ExecStart").is_none() {
                return invalid(format!("the service `{shown}` has no `ExecStart=`"));
            }
            if matches!(kind, "timer" | "path" | "socket") {
                let usual = format!("{stem}.service");
                let target = of("Unit").or(of("Service")).unwrap_or(&usual).to_owned();
                if !names.contains(target.as_str()) {
                    return invalid(format!("`{shown}` starts `{target}`, which is no unit here"));
                }
                triggered.insert(target);
            }
            found.push(UnitFacts {
                placed: placed_name(&self.app, unit),
                once: of("Type") == Some("oneshot"),
                triggered: false,
            });
        }
        for (facts, unit) in found.iter_mut().zip(&native.units) {
            facts.triggered = triggered.contains(own_name(unit));
        }
        Ok(found)
    }

    fn check_line(&self, unit: &str, line: &Line<'_>, names: &BTreeSet<&str>) -> Result<()> {
        let Line { section, key, value } = line;
        let shown = format!("`{}={}`", printable(key, 40), printable(value, 120));
        let kind = own_name(unit).rsplit('.').next().unwrap_or_default();
        let (known, rights): (&[&str], &[&str]) = match (*section, kind) {
            ("Unit", _) => (UNIT, &[]),
            ("Service", "service") => (SERVICE, RIGHTS),
            ("Socket", "socket") => (SOCKET, &[]),
            ("Timer", "timer") => (TIMER, &[]),
            ("Path", "path") => (PATH, &[]),
            ("Install", _) => {
                let why = "has no effect: the daemon starts the units; take the section away";
                return invalid(format!("`[Install]` {why}"));
            }
            _ => return invalid(format!("a .{kind} has no section `{}`", printable(section, 40))),
        };
        if rights.contains(key) {
            return self.needs(MORE_RIGHTS, &shown);
        }
        if !known.contains(key) {
            return invalid(format!("{shown}: this line is not for bundles"));
        }
        match *key {
            _ if key.starts_with("Exec") => self.check_program(value, &shown),
            "Type" if !["simple", "exec", "notify", "oneshot"].contains(value) => {
                invalid(format!("{shown}: `simple`, `exec`, `notify` or `oneshot`"))
            }
            "StandardOutput" | "StandardError"
                if !["journal", "null", "inherit"].contains(value) =>
            {
                invalid(format!("{shown}: `journal`, `null` or `inherit`"))
            }
            "ListenStream" | "ListenDatagram" => {
                let inside = value.strip_prefix(DATA).and_then(|rest| rest.strip_prefix('/'));
                let port = value.rsplit(':').next().unwrap_or_default();
                let good = inside.map_or(port.parse::<u16>().is_ok(), is_clean);
                // What is bound to a path takes the place of what is there.
                let text = format!("{shown}: a port, `ADDRESS:PORT` or a path `{DATA}/NAME`");
                if good { Ok(()) } else { invalid(text) }
            }
            _ if is_reference(key) => {
                let foreign = ["After", "Requires", "Wants"].contains(key);
                let known = |n: &&str| names.contains(n) || foreign && SYSTEM.contains(n);
                match value.split_whitespace().find(|name| !known(name)) {
                    Some(name) => {
                        let name = printable(name, 80);
                        invalid(format!("{shown}: `{name}` is no unit of the bundle"))
                    }
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    /// The program is a file of the bundle that can be run.
    fn check_program(&self, value: &str, shown: &str) -> Result<()> {
        // An empty line takes earlier ones away, which only a file that is laid over another one needs.
        let first = value.split_whitespace().next().unwrap_or_default();
        let program = first.strip_prefix('-').unwrap_or(first);
        if value.split_whitespace().any(|word| word == ";") {
            return invalid(format!("{shown}: one command on a line"));
        }
        let own = program.strip_prefix(ROOT).and_then(|rest| rest.strip_prefix('/'));
        match own {
            Some(path) if self.files().iter().any(|f| f.path == path && f.executable) => Ok(()),
            Some(path) => {
                let path = printable(path, 200);
                invalid(format!("{shown}: `{path}` is no file of the bundle that can be run"))
            }
            None if program.strip_prefix('/').is_some_and(is_clean) => {
                self.needs(FOREIGN_PROGRAMS, shown)
            }
            None => invalid(format!("{shown}: the program is not `{ROOT}/PATH`")),
        }
    }

    fn needs(&self, permission: &str, shown: &str) -> Result<()> {
        match self.permissions.iter().any(|p| p.as_str() == permission) {
            true => Ok(()),
            false => invalid(format!("{shown} needs the permission `{permission}`; ask for it")),
        }
    }

    /// The text of a unit as it is placed on a device: names of units of the bundle are those that they have there,
    /// `@ROOT@` and `@DATA@` are paths, and a service has these variables besides its own. The unit was checked.
    pub fn placed_unit(
        &self,
        unit: &str,
        text: &str,
        (root, data): (&str, &str),
        variables: &BTreeMap<String, String>,
    ) -> Result<String> {
        let native = self.native.as_ref().map_or(&[][..], |native| native.units.as_slice());
        let names: BTreeSet<&str> = native.iter().map(|unit| own_name(unit)).collect();
        let (mut out, mut section) = (String::new(), "");
        for line in lines(unit, text)? {
            if line.section != section {
                section = line.section;
                out.push_str(&format!("[{section}]\n"));
            }
            let value = match is_reference(line.key) {
                true => line
                    .value
                    .split_whitespace()
                    .map(|name| match names.contains(name) {
                        true => placed_name(&self.app, name),
                        false => name.to_owned(),
                    })
                    .collect::<Vec<_>>()
                    .join(" "),
                false => line.value.replace(ROOT, root).replace(DATA, data),
            };
            out.push_str(&format!("{}={value}\n", line.key));
        }
        if unit.ends_with(".service") {
            out.push_str("[Service]\n");
            for (name, value) in variables {
                out.push_str(&format!("Environment={}\n", quoted(&format!("{name}={value}"))));
            }
        }
        Ok(out)
    }
}

fn is_reference(key: &str) -> bool {
    ["After", "Before", "BindsTo", "PartOf", "Requires", "Wants", "Unit", "Service", "Sockets"]
        .contains(&key)
}

/// One word of a line of systemd (systemd.syntax(7)), in which nothing is replaced.
fn quoted(word: &str) -> String {
    let mut out = String::from("\"");
    for c in word.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '%' => out.push_str("%%"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Digest, from_json};

    fn document(units: &[&str], permissions: &[&str]) -> AppDocument {
        let files: Vec<_> = units
            .iter()
            .chain(&["bin/web", "readme"])
            .map(|path| {
                serde_json::json!({ "path": path, "size": 1, "sha256": Digest::of(b"x").to_string(),
                    "executable": *path == "bin/web" })
            })
            .collect();
        let text = serde_json::json!({ "format": 1, "app": "shop", "kind": "native",
            "native": { "files": files, "units": units }, "permissions": permissions,
            "deadline": 1000, "soak": 0, "max_restarts": 0, "keep": 1 });
        from_json(text.to_string().as_bytes()).unwrap()
    }

    fn check(document: &AppDocument, text: &str) -> Result<Vec<UnitFacts>> {
        document.check_units(|_| Ok(text.as_bytes().to_vec()))
    }

    #[test]
    fn a_unit_may_say_what_describes_and_bounds_it_and_nothing_else() {
        let one = document(&["web.service"], &[]);
        let start = "[Service]\nExecStart=@ROOT@/bin/web --port 80\n";
        let good = format!(
            "# web\n[Unit]\nDescription=x\nAfter=network-online.target\n{start}Type=notify\nMemoryMax=64M\nUser=web\n"
        );
        let facts = check(&one, &good).unwrap();
        assert_eq!(facts[0].placed, "surefoot-app-shop.web.service");
        assert!(!facts[0].once && !facts[0].triggered);
        for bad in [
            "[Install]\nWantedBy=multi-user.target\n",
            "[Unit]\nConflicts=ssh.service\n",
            "[Unit]\nOnFailure=poweroff.target\n",
            "[Unit]\nWants=poweroff.target\n",
            "[Unit]\nBefore=network.target\n",
            "[Service]\nExecStart=@ROOT@/readme\n",
            "[Service]\nExecStart=@ROOT@/../x\n",
            "[Service]\nExecStart=web\n",
            "[Service]\nExecStart=+@ROOT@/bin/web\n",
            "[Service]\nExecStart=@ROOT@/bin/web ; /bin/sh\n",
            "[Service]\nExecStart=@ROOT@/bin/web \\\n x\n",
            "[Service]\nExecStart=/bin/sh\n",
            "[Service]\nAmbientCapabilities=CAP_SYS_ADMIN\n",
            "[Service]\nRootDirectory=/\n",
            "[Service]\nType=forking\n",
            "[Service]\nStandardOutput=append:/etc/passwd\n",
            "[Socket]\nListenStream=80\n",
            "[Mount]\nWhat=/dev/sda\n",
            "no pair\n",
            "Key=before any section\n",
        ] {
            let failure = check(&one, &format!("{start}{bad}")).unwrap_err();
            assert_eq!(failure.code(), crate::model::ReasonCode::AppInvalid, "{bad}");
        }
        assert!(check(&one, "[Service]\nType=exec\n").is_err(), "no program");
    }

    #[test]
    fn what_gives_more_than_the_users_rights_is_asked_for_by_name() {
        let text = "[Service]\nExecStart=/usr/bin/mosquitto\nDeviceAllow=/dev/ttyS0 rw\n";
        for (granted, good) in [
            (&[][..], false),
            (&["native-programs"], false),
            (&["native-programs", "native-rights"], true),
        ] {
            assert_eq!(check(&document(&["web.service"], granted), text).is_ok(), good);
        }
    }

    #[test]
    fn a_service_with_a_timer_is_started_by_it() {
        let both = document(&["u/tidy.service", "u/tidy.timer"], &[]);
        let read = |file: &NativeFile| {
            Ok(match file.path.ends_with("timer") {
                true => b"[Timer]\nOnBootSec=1h\n".to_vec(),
                false => b"[Service]\nType=oneshot\nExecStart=@ROOT@/bin/web\n".to_vec(),
            })
        };
        let facts = both.check_units(read).unwrap();
        assert!(facts[0].triggered && facts[0].once && !facts[1].triggered);
        let alone = document(&["u/tidy.timer"], &[]);
        assert!(check(&alone, "[Timer]\nOnBootSec=1h\n").is_err());
    }

    #[test]
    fn a_placed_unit_has_paths_names_and_variables_of_the_device() {
        let two = document(&["web.service", "db.service"], &[]);
        let text = "[Unit]\nRequires=db.service\nAfter=network.target db.service\n[Service]\n# x\nExecStart=@ROOT@/bin/web @DATA@/a\n";
        let values = BTreeMap::from([("A".to_owned(), "1 \"two\" %h \\".to_owned())]);
        let placed = two.placed_unit("web.service", text, ("/r", "/d"), &values).unwrap();
        assert_eq!(
            placed,
            "[Unit]\nRequires=surefoot-app-shop.db.service\nAfter=network.target surefoot-app-shop.db.service\n\
             [Service]\nExecStart=/r/bin/web /d/a\n[Service]\nEnvironment=\"A=1 \\\"two\\\" %%h \\\\\"\n"
        );
    }
}

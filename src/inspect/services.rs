//! What lets somebody in besides a password: services that listen, a console without a login, a debug shell.

use std::net::{Ipv4Addr, Ipv6Addr};

/// A root filesystem that is looked at: the one that runs, or one in an image.
pub struct System<'a> {
    /// The text of a file; `None` where there is none.
    pub text: &'a dyn Fn(&str) -> Option<String>,
    /// The names in a folder, sorted; none where there is no folder.
    pub names: &'a dyn Fn(&str) -> Vec<String>,
}

/// Folders of units, those that win first.
const UNITS: [&str; 3] = ["/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];

/// Units that listen for other machines: how their names begin, and what they are.
const LISTENS: [(&str, &str); 9] = [
    ("telnet", "telnet"),
    ("inetd", "an internet superserver"),
    ("xinetd", "an internet superserver"),
    ("adbd", "the debug bridge of Android"),
    ("android-tools-adbd", "the debug bridge of Android"),
    ("vsftpd", "ftp"),
    ("tftp", "tftp"),
    ("rsh", "rsh"),
    ("rlogin", "rlogin"),
];

impl System<'_> {
    fn has(&self, path: &str) -> bool {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        (self.names)(folder).iter().any(|found| found == name)
    }

    /// Whether a unit is installed.
    pub fn has_unit(&self, name: &str) -> bool {
        UNITS.iter().any(|folder| self.has(&format!("{folder}/{name}")))
    }

    /// The units that something wants: links in `*.wants` and `*.requires`.
    pub(super) fn wanted(&self) -> Vec<String> {
        let mut found = Vec::new();
        for folder in UNITS {
            for name in (self.names)(folder) {
                if name.ends_with(".wants") || name.ends_with(".requires") {
                    found.extend((self.names)(&format!("{folder}/{name}")));
                }
            }
        }
        found.sort();
        found.dedup();
        found
    }

    /// Services that listen once the system has started, each with its unit or script.
    pub(super) fn listening(&self) -> Vec<String> {
        let mut found = Vec::new();
        let told = |name: &str| LISTENS.iter().find(|(start, _)| name.starts_with(start));
        for unit in self.wanted() {
            if let Some((_, what)) = told(&unit) {
                found.push(format!("{what} ({unit})"));
            }
        }
        for script in (self.names)("/etc/init.d") {
            let bare = script.trim_start_matches(|c: char| c == 'S' || c.is_ascii_digit());
            if let Some((_, what)) = told(bare) {
                found.push(format!("{what} (/etc/init.d/{script})"));
            }
        }
        found
    }

    /// Where a console needs no login, each with the file that says so.
    pub(super) fn open_consoles(&self) -> Vec<String> {
        // `x@ttyS0.service` is made from `x@.service`. systemd's own debug shell is told by itself.
        let wanted = self.wanted().into_iter().filter(|unit| unit != "debug-shell.service");
        let enabled: Vec<String> = wanted
            .flat_map(|unit| {
                let template = unit.split_once('@').map(|(name, _)| format!("{name}@.service"));
                [Some(unit), template].into_iter().flatten()
            })
            .collect();
        let mut files = vec!["/etc/inittab".to_owned()];
        let openrc = (self.names)("/etc/conf.d").into_iter().filter(|name| name.contains("getty"));
        files.extend(openrc.map(|name| format!("/etc/conf.d/{name}")));
        for folder in UNITS {
            let runs = |name: &String| {
                let unit = name.strip_suffix(".d").unwrap_or(name);
                name.contains("getty") || enabled.iter().any(|wanted| wanted == unit)
            };
            for name in (self.names)(folder).into_iter().filter(runs) {
                let path = format!("{folder}/{name}");
                match name.ends_with(".d") || name.ends_with(".wants") {
                    true => files.extend((self.names)(&path).iter().map(|f| format!("{path}/{f}"))),
                    false => files.push(path),
                }
            }
        }
        // A line that opens a console wherever it stands, and one that does so where a unit has a terminal.
        let opens = |line: &str| {
            let line = line.trim();
            let run = match line.strip_prefix("ExecStart=") {
                Some(command) => command,
                // id:runlevels:action:process
                None => match line.splitn(4, ':').collect::<Vec<_>>()[..] {
                    [_, _, "respawn" | "askfirst" | "once" | "wait", process] => process,
                    _ => "",
                },
            };
            let unit = line.starts_with("ExecStart=");
            let words = || line.split(|c: char| c.is_whitespace() || "\"'=".contains(c));
            !line.starts_with(['#', ';'])
                && (words().any(|word| word == "--autologin")
                    || lets_in(run, if unit { &[Opens::Getty] } else { &Opens::ALL }))
        };
        let shell = |line: &str| {
            let command = line.trim().strip_prefix("ExecStart=");
            command.is_some_and(|command| lets_in(command, &Opens::ALL))
        };
        let terminal = |line: &str| {
            let line = line.trim();
            line.starts_with("StandardInput=tty") || line.starts_with("TTYPath=")
        };
        let open = |file: &String| {
            let text = (self.text)(file).unwrap_or_default();
            text.lines().any(opens) || (text.lines().any(terminal) && text.lines().any(shell))
        };
        files.retain(open);
        files.sort();
        files.dedup();
        files
    }

    /// What of a login over ssh a production device does not have.
    pub(super) fn ssh(&self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        if ["/usr/sbin/sshd", "/usr/bin/sshd", "/sbin/sshd"].iter().any(|p| self.has(p)) {
            found.extend(self.openssh());
        }
        if ["/usr/sbin/dropbear", "/usr/bin/dropbear"].iter().any(|p| self.has(p)) {
            let defaults = (self.text)("/etc/default/dropbear").unwrap_or_default();
            let flag = |flag: &str| {
                let lines = defaults.lines().filter(|line| !line.trim_start().starts_with('#'));
                lines.flat_map(|l| l.split([' ', '=', '"', '\''])).any(|word| word == flag)
            };
            if !flag("-s") {
                let text = "dropbear lets in with a password".to_owned();
                found.push(("-s in DROPBEAR_EXTRA_ARGS of /etc/default/dropbear", text));
            }
        }
        found
    }

    /// Of each configuration that sshd may be started with: its own, that of a read-only system of OpenEmbedded, and what its
    /// defaults name.
    fn openssh(&self) -> Vec<(&'static str, String)> {
        let defaults = (self.text)("/etc/default/ssh").unwrap_or_default();
        let lines = defaults.lines().filter(|line| !line.trim_start().starts_with('#'));
        let words = lines.flat_map(|l| l.split(|c: char| c.is_whitespace() || "\"'=".contains(c)));
        let words: Vec<&str> = words.collect();
        let named = words.windows(2).filter(|pair| pair[0] == "-f").map(|pair| pair[1].to_owned());
        let mut paths: Vec<String> = named.collect();
        if paths.is_empty() {
            paths.push("/etc/ssh/sshd_config".to_owned());
            let other = "/etc/ssh/sshd_config_readonly";
            paths.extend((self.text)(other).map(|_| other.to_owned()));
        }
        let all = paths.iter().flat_map(|path| self.sshd_config(path));
        let mut found: Vec<_> = all.collect();
        found.dedup();
        found
    }

    /// The first value of a keyword counts; what stands behind a `Match` is for some logins only.
    fn sshd_config(&self, path: &str) -> Vec<(&'static str, String)> {
        let main = (self.text)(path).unwrap_or_default();
        let folder = "/etc/ssh/sshd_config.d";
        let included = (self.names)(folder).into_iter().filter(|name| name.ends_with(".conf"));
        let included: Vec<String> =
            included.filter_map(|name| (self.text)(&format!("{folder}/{name}"))).collect();
        let mut lines = Vec::new();
        for line in main.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.first().map(|word| word.to_ascii_lowercase()).as_deref() {
                Some("include") => lines.extend(included.iter().flat_map(|text| text.lines())),
                Some("match") => break,
                _ => lines.push(line),
            }
        }
        let value = |key: &str| {
            lines.iter().find_map(|line| {
                let mut words = line.split([' ', '\t', '=']).filter(|word| !word.is_empty());
                let is = words.next().is_some_and(|word| word.eq_ignore_ascii_case(key));
                is.then(|| words.next().unwrap_or_default().to_ascii_lowercase())
            })
        };
        let mut found = Vec::new();
        if value("PasswordAuthentication").is_none_or(|said| said != "no") {
            let text = format!("ssh lets in with a password, by {path}");
            found.push(("`PasswordAuthentication no` in the configuration of sshd", text));
        }
        if value("PermitRootLogin").is_some_and(|said| said == "yes") {
            let text = format!("ssh lets root in, with a password too, by {path}");
            found.push(("`PermitRootLogin no` in the configuration of sshd", text));
        }
        if value("PermitEmptyPasswords").is_some_and(|said| said == "yes") {
            let text = format!("ssh lets in with an empty password, by {path}");
            found.push(("`PermitEmptyPasswords no` in the configuration of sshd", text));
        }
        found
    }
}

/// What opens a console without a login.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Opens {
    /// A getty that asks for no name.
    Getty,
    /// A shell that is given nothing to run, or a login that is told it was done.
    Shell,
}

impl Opens {
    const ALL: [Opens; 2] = [Opens::Getty, Opens::Shell];
}

/// Whether a command opens a console without a login, in one of these ways.
fn lets_in(command: &str, ways: &[Opens]) -> bool {
    let mut words = command.trim_start_matches(['-', '@', ':', '+', '!']).split_whitespace();
    let base = |path: &'_ str| {
        path.rsplit('/').next().unwrap_or_default().trim_start_matches('-').to_owned()
    };
    let mut name = words.next().map(base).unwrap_or_default();
    if name == "busybox" {
        name = words.next().map(base).unwrap_or_default();
    }
    let rest: Vec<&str> = words.collect();
    let flag = |short: char, long: &str| {
        rest.iter().position(|word| {
            let own = word.split('=').next() == Some(long);
            let group = word
                .strip_prefix('-')
                .is_some_and(|group| !group.starts_with('-') && group.contains(short));
            own || group
        })
    };
    let (way, open) = match name.as_str() {
        "sh" | "ash" | "bash" | "dash" | "hush" | "zsh" => {
            let given = |word: &&str| !word.starts_with('-') || flag('c', "-c").is_some();
            (Opens::Shell, !rest.iter().any(given))
        }
        "login" => (Opens::Shell, flag('f', "-f").is_some()),
        _ if name.contains("getty") => {
            let program =
                flag('l', "--login-program").and_then(|at| rest.get(at + 1)).map(|path| base(path));
            let other = program.is_some_and(|program| program != "login");
            let unasked = flag('n', "--skip-login").is_some() && other;
            (Opens::Getty, flag('a', "--autologin").is_some() || unasked)
        }
        _ => return false,
    };
    open && ways.contains(&way)
}

/// Ports on which this machine listens for others, by the texts of `/proc/net/{tcp,tcp6,udp,udp6}`: `tcp 22`.
pub(super) fn ports(tables: &[(&str, &str)]) -> Vec<String> {
    let mut found = Vec::new();
    for (protocol, text) in tables {
        for line in text.lines().skip(1) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let (Some(local), Some(state)) = (words.get(1), words.get(3)) else { continue };
            let Some((address, port)) = local.split_once(':') else { continue };
            // TCP that listens; UDP that is bound and is no connection.
            let listens = *state == "0A" || (protocol.starts_with("udp") && *state == "07");
            let Ok(port) = u16::from_str_radix(port, 16) else { continue };
            if listens && !is_loopback(address) {
                found.push(format!("{} {port}", protocol.trim_end_matches('6')));
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

/// The kernel writes an address as words of its own byte order.
fn is_loopback(hex: &str) -> bool {
    let word = |at: usize| u32::from_str_radix(hex.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    match hex.len() {
        8 => word(0).is_some_and(|bytes| Ipv4Addr::from(bytes).is_loopback()),
        32 => {
            let words: Vec<u8> = [0, 8, 16, 24].into_iter().filter_map(word).flatten().collect();
            let address = <[u8; 16]>::try_from(words).map(Ipv6Addr::from);
            address.is_ok_and(|a| a.to_canonical().is_loopback())
        }
        _ => false,
    }
}

/// Words on the kernel's command line that open a shell, or a system without logins.
pub(super) fn debug_words(line: &str) -> Vec<&str> {
    let opens = |word: &&str| {
        let shell = word.strip_prefix("init=").is_some_and(|program| {
            let name = program.rsplit('/').next().unwrap_or_default();
            ["sh", "ash", "bash", "dash", "busybox"].contains(&name)
        });
        shell
            || ["systemd.debug-shell", "systemd.debug_shell", "rd.break", "rd.shell", "single"]
                .iter()
                .any(|debug| word.split('=').next() == Some(debug))
            || ["systemd.unit=rescue", "systemd.unit=emergency", "rescue", "emergency"]
                .iter()
                .any(|unit| word == unit || word.strip_suffix(".target") == Some(unit))
    };
    line.split_whitespace().filter(opens).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn with<T>(files: &[(&str, &str)], look: impl Fn(&System<'_>) -> T) -> T {
        let files: BTreeMap<&str, &str> = files.iter().copied().collect();
        let text = |path: &str| files.get(path).map(|text| (*text).to_owned());
        let names = |folder: &str| {
            let prefix = format!("{folder}/");
            let mut names: Vec<String> = files
                .keys()
                .filter_map(|path| path.strip_prefix(&prefix)?.split('/').next())
                .map(str::to_owned)
                .collect();
            names.dedup();
            names
        };
        look(&System { text: &text, names: &names })
    }

    #[test]
    fn services_and_consoles_are_found_where_they_are_switched_on() {
        let telnet = "/etc/systemd/system/sockets.target.wants/telnetd.socket";
        assert_eq!(
            with(&[(telnet, "")], |s: &System<'_>| s.listening()),
            ["telnet (telnetd.socket)"]
        );
        let off = "/usr/lib/systemd/system/telnetd.socket";
        assert_eq!(with(&[(off, "")], |s: &System<'_>| s.listening()).len(), 0);
        let script = [("/etc/init.d/S50telnet", "")];
        assert_eq!(
            with(&script, |s: &System<'_>| s.listening()),
            ["telnet (/etc/init.d/S50telnet)"]
        );
        for (path, text, open) in [
            (
                "/etc/systemd/system/serial-getty@.service.d/auto.conf",
                "ExecStart=-/sbin/agetty --autologin root %I",
                true,
            ),
            ("/usr/lib/systemd/system/getty@.service", "ExecStart=-/sbin/agetty -o x %I", false),
            ("/usr/lib/systemd/system/getty@.service", "# agetty --autologin root", false),
            ("/etc/inittab", "ttyS0::respawn:-/bin/sh", true),
            ("/etc/inittab", "::askfirst:-/bin/sh\n", true),
            ("/etc/inittab", "S0::respawn:/sbin/getty -L ttyS0 115200 vt100\n", false),
            ("/etc/inittab", "x::respawn:/sbin/getty -n -l /bin/sh 0 console", true),
            ("/etc/inittab", "::respawn:/bin/sh", true),
            ("/etc/inittab", "::askfirst:/bin/ash", true),
            ("/etc/inittab", "ttyS0::respawn:/bin/login -f root", true),
            ("/etc/inittab", "ttyS0::respawn:/sbin/getty -n -l /sbin/autologin 0 ttyS0", true),
            ("/etc/inittab", "1:2345:respawn:/sbin/agetty --noclear -a root tty1", true),
            ("/etc/inittab", "::respawn:/bin/busybox sh", true),
            ("/etc/inittab", "::once:-/bin/sh", true),
            ("/etc/inittab", "::respawn:/bin/sh /usr/sbin/kiosk", false),
            ("/etc/inittab", "::sysinit:/bin/sh -c 'mount -a'", false),
            ("/etc/inittab", "tty1::respawn:/bin/login", false),
            ("/etc/inittab", "tty1::respawn:/sbin/getty -n -l /bin/login 0 tty1", false),
            ("/etc/conf.d/agetty.tty1", "agetty_options=\"--autologin root\"", true),
        ] {
            let found = with(&[(path, text)], |s: &System<'_>| s.open_consoles());
            assert_eq!(found == [path], open, "{path}: {text}: {found:?}");
        }
    }

    #[test]
    fn a_shell_on_a_terminal_is_found_in_an_enabled_unit_of_any_name() {
        let unit = "/etc/systemd/system/console.service";
        let link = "/etc/systemd/system/multi-user.target.wants/console.service";
        let agetty = "[Service]\nExecStart=-/usr/sbin/agetty -n -l /bin/bash ttyAMA0\n";
        let bash = "[Service]\nExecStart=-/bin/bash\nStandardInput=tty-force\n";
        for (text, open) in [
            (agetty, true),
            (bash, true),
            ("[Service]\nExecStart=/usr/bin/login -f root\nTTYPath=/dev/tty1\n", true),
            ("[Service]\nExecStart=/bin/sh -c 'x >/dev/tty1'\nTTYPath=/dev/tty1\n", false),
            ("[Service]\nExecStart=/bin/bash\n", false),
            ("[Service]\nExecStart=/usr/bin/kiosk\nStandardInput=tty\n", false),
        ] {
            let found = with(&[(unit, text), (link, "")], |s: &System<'_>| s.open_consoles());
            assert_eq!(found == [unit], open, "{text}: {found:?}");
        }
        assert!(with(&[(unit, agetty)], |s: &System<'_>| s.open_consoles()).is_empty());
        let drop_in = "/etc/systemd/system/console.service.d/a.conf";
        let found = with(&[(drop_in, bash), (link, "")], |s: &System<'_>| s.open_consoles());
        assert_eq!(found, [drop_in]);
        let template = "/etc/systemd/system/shell@.service";
        let link = "/etc/systemd/system/getty.target.wants/shell@ttyS0.service";
        let found = with(&[(template, bash), (link, "")], |s: &System<'_>| s.open_consoles());
        assert_eq!(found, [template]);
    }

    #[test]
    fn the_first_value_of_sshd_counts_and_a_match_is_for_some_only() {
        let sshd = ("/usr/sbin/sshd", "");
        let config = |text: &'static str| {
            with(&[sshd, ("/etc/ssh/sshd_config", text)], |s: &System<'_>| s.ssh().len())
        };
        assert_eq!(with(&[], |s: &System<'_>| s.ssh().len()), 0, "there is no sshd");
        assert_eq!(config(""), 1, "a password is enough where nothing is said");
        assert_eq!(config("PasswordAuthentication no\n"), 0);
        assert_eq!(config("passwordauthentication=no\nPasswordAuthentication yes\n"), 0);
        assert_eq!(config("Match User x\nPasswordAuthentication no\n"), 1);
        assert_eq!(config("PermitRootLogin yes\nPermitEmptyPasswords yes\n"), 3);
        let files = [
            sshd,
            (
                "/etc/ssh/sshd_config",
                "Include /etc/ssh/sshd_config.d/*.conf\nPasswordAuthentication yes\n",
            ),
            ("/etc/ssh/sshd_config.d/10.conf", "PasswordAuthentication no\n"),
        ];
        assert_eq!(with(&files, |s: &System<'_>| s.ssh().len()), 0);
        // OpenEmbedded starts it with another file where the root is read-only.
        let good = ("/etc/ssh/sshd_config", "PasswordAuthentication no\n");
        let readonly = ("/etc/ssh/sshd_config_readonly", "PermitRootLogin yes\n");
        assert_eq!(with(&[sshd, good, readonly], |s: &System<'_>| s.ssh().len()), 2);
        let options = ("/etc/default/ssh", "SSHD_OPTS='-f /etc/ssh/sshd_config_readonly'\n");
        assert_eq!(with(&[sshd, good, options], |s: &System<'_>| s.ssh().len()), 1);
        let bear = ("/usr/sbin/dropbear", "");
        assert_eq!(with(&[bear], |s: &System<'_>| s.ssh().len()), 1);
        let safe = ("/etc/default/dropbear", "DROPBEAR_EXTRA_ARGS=\"-s -w\"\n");
        assert_eq!(with(&[bear, safe], |s: &System<'_>| s.ssh().len()), 0);
    }

    #[test]
    fn ports_for_others_are_told_and_those_for_this_machine_are_not() {
        let tcp = "  sl  local_address rem_address   st\n\
                   0: 00000000:0016 00000000:0000 0A x\n\
                   1: 0100007F:1F90 00000000:0000 0A x\n\
                   2: 0100000A:0017 0200000A:9999 01 x\n";
        let udp = "h\n0: 00000000:0044 00000000:0000 07 x\n";
        let tcp6 = "h\n0: 00000000000000000000000000000000:0016 0:0 0A\n\
                    1: 00000000000000000000000001000000:0019 0:0 0A\n";
        assert_eq!(ports(&[("tcp", tcp), ("udp", udp), ("tcp6", tcp6)]), ["tcp 22", "udp 68"]);
        assert_eq!(ports(&[("tcp", "x\ny z\n"), ("tcp", "")]).len(), 0);
    }

    #[test]
    fn words_that_open_a_shell_are_known() {
        let line = "root=/dev/x init=/bin/sh systemd.debug-shell rd.break=pre quiet single";
        assert_eq!(
            debug_words(line),
            ["init=/bin/sh", "systemd.debug-shell", "rd.break=pre", "single"]
        );
        assert_eq!(debug_words("ro init=/sbin/init quiet rootwait singleton"), [""; 0]);
        assert_eq!(debug_words("systemd.unit=rescue.target"), ["systemd.unit=rescue.target"]);
    }
}

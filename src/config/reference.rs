//! Every setting, for people: the one list from which the reference page and the man page are made.
//! A test walks through what [`super::Fragment`] reads and compares.

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// Where it stands, as in `device.disk`; `health.check.name` is `name` in a `[[health.check]]`.
    pub key: &'static str,
    /// What is written there.
    pub takes: &'static str,
    /// What counts where nothing is written; empty if it must be.
    pub usual: &'static str,
    /// What it means, as one sentence or two.
    pub text: &'static str,
}

const fn setting(
    key: &'static str,
    takes: &'static str,
    usual: &'static str,
    text: &'static str,
) -> Setting {
    Setting { key, takes, usual, text }
}

/// The tables, in the order of the page, each with what it is for.
pub const TABLES: [(&str, &str); 18] = [
    ("[device]", "What this device is, and where its disk and state are."),
    ("[slots]", "Which partitions make a slot."),
    ("[trust]", "Whose signatures this device accepts."),
    ("[boot]", "How the bootloader is reached."),
    ("[health]", "How a new system proves itself."),
    (
        "[[health.check]]",
        "One check; repeat the table for more. It names exactly one thing to look at.",
    ),
    ("[trial]", "How long a trial may take."),
    ("[update]", "What happens with updates that no person asked for."),
    (
        "[[hook]]",
        "One program of the integrator that is run at a step of an update; repeat the table for more.",
    ),
    ("[inhibit]", "What holds back an automatic update or reboot."),
    ("[daemon]", "Where the daemon's sockets are."),
    ("[metrics]", "What a monitoring system reads."),
    ("[stick]", "What is done with a USB stick that is put in."),
    ("[inbox]", "Where files are moved into, to be installed."),
    ("[source]", "How this device fetches files from servers: docs/network.md."),
    ("[first_boot]", "What is done once, at the first boot: docs/first-boot.md."),
    (
        "[apps]",
        "Where apps live, and what they may have of this device. Nothing is granted by itself: docs/apps.md.",
    ),
    (
        "surefoot-forge.toml",
        "The settings of the build host are described in the file that `surefoot-forge init` writes.",
    ),
];

/// Every setting of a device, in the order of the tables.
#[rustfmt::skip]
pub const SETTINGS: [Setting; 89] = [
    setting("device.product", "a name", "", "The product. An artifact must name the same one."),
    setting("device.compatible", "a name", "", "What an artifact must be compatible with."),
    setting("device.hardware", "one of `{ fixed = \"r1\" }`, `{ file = \"/path\" }`, `{ device_tree = \"board-rev\" }`, `{ env = \"board_rev\" }`, `{ command = [\"/program\"] }`", "not asked", "Where the hardware revision is read, if artifacts depend on it."),
    setting("device.disk", "a path, or `auto`", "`auto`", "The disk: a block device, or an image file. `auto` is the one that the running root filesystem is on, whatever the kernel calls it."),
    setting("device.booted", "a path", "the kernel is asked", "For an image file only: the file whose first line is the slot that runs."),
    setting("device.state", "a folder", concat!("`", env!("SUREFOOT_PATH_STATE"), "`"), "The folder that outlives updates. It is not on a slot."),
    setting("device.hold", "`true` or `false`", "`false`", "Automatic updates are stopped: a developer's device."),
    setting("device.id", "text", "the first line of `device.id_file`", "What a channel tells this device apart from others by: its place in a rollout follows from it."),
    setting("device.id_file", "a path", concat!("`", env!("SUREFOOT_PATH_MACHINE_ID"), "`"), "The file whose first line is the id."),
    setting("device.tags", "a list of names", "`[]`", "What a channel may choose devices by, like `[\"canary\"]`."),
    setting("slots.a", "a list of partitions", "`[\"rootfs-a\"]`", "The parts of slot a: `PARTITION` or `PART=PARTITION`, the partition by its name or as `partuuid:…`. The first carries the slot record; `boot` comes first, one is `rootfs`, and a single one always is."),
    setting("slots.b", "a list of partitions", "`[\"rootfs-b\"]`", "The same parts of slot b, in the same order."),
    setting("trust.file", "a path", concat!("`", env!("SUREFOOT_PATH_TRUST"), "`"), "The trust file: the keys, their roles and thresholds."),
    setting("boot.loader", "`uboot`", "`uboot`", "Which bootloader the board has. A program for devices knows U-Boot alone."),
    setting("boot.fw_env_config", "a path", concat!("`", env!("SUREFOOT_PATH_FW_ENV_CONFIG"), "`"), "The file that says where U-Boot's environment is stored."),
    setting("boot.accept_single_copy", "`true` or `false`", "`false`", "Whether an environment of a single copy is good enough. One torn write loses it."),
    setting("health.stable", "a duration", "`30s`", "For how long all checks must pass without a break before the system is committed."),
    setting("health.deadline", "a duration", "`10m`", "After how long in one boot a check that fails has failed."),
    setting("health.check.name", "text", "", "What people call it. `surefoot status` names it when it fails."),
    setting("health.check.need", "`required` or `wanted`", "`required`", "`wanted`: a failure counts only if the check had passed before the update."),
    setting("health.check.timeout", "a duration", "`60s`", "After this long without an answer the check has failed."),
    setting("health.check.command", "a list: program and arguments", "", "The program ends with exit status 0. No shell is involved."),
    setting("health.check.unit", "a unit, or a list of units", "", "The units of systemd are active."),
    setting("health.check.steady", "a service, a list, or `\"*\"`", "", "None of these services is restarted again and again."),
    setting("health.check.http", "a URL", "", "The server answers with a status from 200 to 399."),
    setting("health.check.tcp", "`host:port`", "", "The port accepts a connection."),
    setting("health.check.reach", "`host:port`, or a list", "", "At least one of the ports accepts a connection."),
    setting("health.check.file", "a path", "", "The file exists."),
    setting("health.check.space.path", "a path", "", "A path on the filesystem that must have room."),
    setting("health.check.space.free", "a size", "", "How much of it must be free."),
    setting("trial.deadline", "a duration", "`1h`", "After this long, summed over its boots, an undecided trial is left."),
    setting("trial.clean_reboots", "0 to 3", "`3`", "How many orderly reboots of a trial are no failed boots."),
    setting("update.confirm", "`true` or `false`", "`false`", "An automatic update waits, staged, for `surefoot confirm`."),
    setting("update.reboot", "`now`, `window` or `asked`", "`window`", "When the device reboots into an automatic update: at once, in the next window of `[inhibit]` (at once where there is none), or when a person does it."),
    setting("hook.name", "a name", "", "What people call it."),
    setting("hook.at", "`before-download`, `before-install`, `after-install`, `before-reboot`, `first-boot`, `before-commit`, `after-commit` or `after-rollback`", "", "At which step of an update it is run."),
    setting("hook.command", "a list: program and arguments", "", "The program, by its full path. No shell is involved."),
    setting("hook.timeout", "a duration, at most `1h`", "`60s`", "After this long it is ended, with all that it has started."),
    setting("inhibit.files", "a list of paths", "`[]`", "Held while one of these files exists."),
    setting("inhibit.locks", "a list of paths", "`[]`", "Held while a process holds a lock on one of these files."),
    setting("inhibit.windows", "a list like `[\"Sat,Sun 02:00-05:00\"]`", "`[]`", "Held outside of all of these; without any there is no wrong time."),
    setting("inhibit.zone", "`local` or `utc`", "`local`", "Which clock the windows are read by."),
    setting("inhibit.systemd", "`true` or `false`", "`true`", "Whether inhibitors of systemd count."),
    setting("inhibit.power", "`true` or `false`", "`true`", "Whether the power supply is looked at."),
    setting("inhibit.battery_min", "0 to 100", "`30`", "On battery, held below this many per cent. 0: never."),
    setting("inhibit.wear", "0 to 11", "`11`", "Held when an eMMC has used this many tenths of its life; 11: more than all of it. 0: never."),
    setting("daemon.folder", "a folder", concat!("`", env!("SUREFOOT_PATH_RUN"), "`"), "Where the sockets and the status are."),
    setting("metrics.file", "a path", "none", "The text file that a monitoring system reads."),
    setting("stick.enabled", "`true` or `false`", "`true`", "Whether a stick is looked at when it is put in."),
    setting("stick.report", "`true` or `false`", "`true`", "Whether a report is left on it."),
    setting("inbox.folder", "a folder", "`inbox` in the state folder", "The folder that whole artifacts are moved into. Reports go to `outbox` in the state folder."),
    setting("source.channel", "a URL", "none", "The channel that this device follows. Without one it updates only when something is brought to it."),
    setting("source.poll", "a duration", "what the channel says, else `1h`", "How often the daemon looks at the channel, with a tenth more or less by chance."),
    setting("source.report", "a URL", "what the channel says", "Where the device posts what came of an update."),
    setting("source.witness", "a list of up to 4 `host:port`", "`[]`", "Other places than the server of the channel. Where that is silent after an update, an answer of one of them (also a refusal) shows that the network works."),
    setting("source.options", "a table of up to 64 keys with texts", "`{}`", "What this device tells of itself in every report, such as `site = \"north\"`. A key has letters, digits, `-`, `_` and `.`; a value is one line of at most 1024 bytes."),
    setting("source.roots", "a path, or a list", "`/etc/ssl/certs/ca-certificates.crt`", "Files of certificates (PEM). A server is believed whose certificate one of these authorities has made."),
    setting("source.client_cert", "a path", "none", "The certificate (PEM) that this device shows to a server which asks for one."),
    setting("source.client_key", "a path", "none", "Its key (PEM)."),
    setting("source.proxy", "`http://[user:password@]host:port`", "none", "The proxy. Variables of the environment set none."),
    setting("source.no_proxy", "a list of names, or `.domain`", "`[]`", "Hosts that are reached without the proxy."),
    setting("source.rate", "a size", "no limit", "Bytes in a second that are fetched at most."),
    setting("source.budget", "a size, at least `1MiB`", "no limit", "Bytes of answers that are fetched in a day at most. A release that the channel calls `critical` is fetched all the same."),
    setting("source.min_rate", "a size", "`100`", "Bytes in a second. A transfer that brings less over the time of `stall` has stalled."),
    setting("source.connect", "a duration", "`20s`", "How long a connection to a server may take."),
    setting("source.header", "a duration", "`60s`", "How long TLS, and how long the head of an answer may take."),
    setting("source.stall", "a duration", "`60s`", "After this long without enough bytes a transfer has stalled; it is gone on with anew."),
    setting("source.connections", "1 to 8", "`4`", "How many connections fetch at the same time."),
    setting("first_boot.grow", "`true` or `false`", "`true`", "Whether the data partition gets the rest of the disk."),
    setting("first_boot.provision", "`true` or `false`", "`true`", "Whether `provision.toml` and `devices.csv` are taken from the boot partition. Its file system is not signed: with `true`, a person with the card decides which ssh keys may log in. `false` in production."),
    setting("first_boot.keep", "a list of paths below `/etc`", "`[]`", "Files and folders that are copied to the data partition once, and mounted from there at every boot: programs may write to them. Host name, machine id and ssh host keys are kept without it."),
    setting("first_boot.identity", "as `device.hardware`", "the board's serial number", "Where the id of the device is read, where neither `provision.toml` nor `devices.csv` names one."),
    setting("apps.engine", "a path", "none", "The socket of the container engine, such as `/run/podman/podman.sock`. Without it bundles of containers are refused."),
    setting("apps.data", "a folder", "`apps` beside the state folder", "The folder for the data of apps: volumes, and the files of native apps. It outlives updates."),
    setting("apps.secrets", "a folder", "`secrets` in the state folder", "The folder with a file for each secret. Its name is the name of the secret."),
    setting("apps.preload", "a folder", "`preload` beside the state folder", "The folder whose bundles are installed at the first start, without a network."),
    setting("apps.keep_files", "`true` or `false`", "`false`", "Whether whole bundles are kept, so that a lost or damaged store of the engine is filled again without a network."),
    setting("apps.store_epoch", "a number", "`0`", "The form in which this system's engine keeps its store. Another number is another store: raise it with an engine whose store the one before cannot read."),
    setting("apps.binds", "a list of paths", "`[]`", "Files, folders and sockets of the device that may be mounted in a service, and what lies below such a folder."),
    setting("apps.devices", "a list of paths below `/dev`", "`[]`", "Device nodes that a service may have."),
    setting("apps.capabilities", "a list like `[\"NET_ADMIN\"]`", "`[]`", "Capabilities that a service may have beyond those that the engine gives to every container."),
    setting("apps.host_network", "`true` or `false`", "`false`", "Whether a service may use the network of the device itself."),
    setting("apps.privileged", "`true` or `false`", "`false`", "Whether a service may have all rights of root on the device."),
    setting("apps.permissions", "a list of names", "`[]`", "What bundles are granted that they ask for by name."),
    setting("apps.provides", "a list of names", "`[]`", "What the system and its hardware provide to bundles, by name."),
    setting("apps.reserved_memory", "a size", "`0`", "How much of the memory is not for apps: what they reserve together fits into the rest."),
    setting("apps.variables", "a table of up to 256 variables with texts", "`{}`", "Variables of services whose value is this device's, such as `SITE = \"north\"`."),
    setting("apps.external", "a table of up to 256 names with texts", "`{}`", "Addresses of endpoints elsewhere, by the name that bundles use."),
    setting("apps.commands", "a table of up to 64 names with paths", "`{}`", "Programs of this system for apps of the kind `command`, by name: each a full path."),
];

/// The table that a setting stands in, and its name there.
pub fn place(key: &str) -> (&str, &str) {
    let lists = ["health.check.", "hook."];
    let list = lists.iter().find(|list| key.starts_with(**list));
    let table = list.map_or_else(|| key.find('.').unwrap_or(0), |list| list.len() - 1);
    (&key[..table], key.get(table + 1..).unwrap_or_default())
}

#[cfg(test)]
#[path = "reference_tests.rs"]
mod tests;

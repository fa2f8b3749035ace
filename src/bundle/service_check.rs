//! The rules of one service.

use super::check::{HOUR, LARGEST, MOST, is_variable, within};
use super::files::{invalid, is_absolute};
use super::{
    AppDocument, HealthProbe, MountKind, RunWhen, Service, ServiceName, ServiceNetwork,
    StartCondition,
};
use crate::model::{Result, printable};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// Where secrets are laid.
const SECRETS: &str = "/run/secrets";
/// Labels that say whose a container is.
const OWN_LABELS: &str = "io.surefoot";
const SIGNALS: [&str; 15] = [
    "SIGABRT",
    "SIGALRM",
    "SIGCONT",
    "SIGHUP",
    "SIGINT",
    "SIGIO",
    "SIGKILL",
    "SIGPIPE",
    "SIGPWR",
    "SIGQUIT",
    "SIGTERM",
    "SIGUSR1",
    "SIGUSR2",
    "SIGVTALRM",
    "SIGWINCH",
];
const ULIMITS: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];
/// Kernel settings that belong to a container alone.
const SYSCTLS: [&str; 5] = ["net.", "kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue."];
/// No engine takes a container with less memory.
const LEAST_MEMORY: u64 = 6 << 20;

fn shown(text: &str) -> String {
    printable(text, 200)
}

impl AppDocument {
    pub(super) fn check_service(&self, name: &ServiceName, service: &Service) -> Result<()> {
        if !self.images.contains_key(&service.image) {
            return invalid(format!("its image {} is none of the bundle", service.image));
        }
        within("replicas", service.replicas.into(), 1, 64)?;
        self.check_conditions(name, service)?;
        self.check_secrets(service)?;
        check_texts(service)?;
        check_network(service)?;
        self.check_mounts(service)?;
        check_rights(service)?;
        check_resources(service)?;
        service.health.iter().try_for_each(HealthProbe::check)?;
        if service.run != RunWhen::Always && (service.health.is_some() || service.replicas != 1) {
            return invalid("what runs once has no health check and no replicas");
        }
        Ok(())
    }

    fn check_conditions(&self, name: &ServiceName, service: &Service) -> Result<()> {
        for (other, after) in &service.after {
            let Some(found) = self.services.get(other) else {
                return invalid(format!("it waits for `{other}`, which is no service of the app"));
            };
            let once = found.run != RunWhen::Always;
            match after.condition {
                StartCondition::ServiceHealthy if found.health.is_none() && other != name => {
                    return invalid(format!(
                        "it waits for `{other}` to be well, which has no health check"
                    ));
                }
                StartCondition::ServiceCompletedSuccessfully if !once && other != name => {
                    return invalid(format!(
                        "it waits for `{other}` to end, which runs for as long as the app does: say `run` for it"
                    ));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn check_secrets(&self, service: &Service) -> Result<()> {
        let different: BTreeSet<&ServiceName> = service.secrets.iter().collect();
        if different.len() < service.secrets.len() {
            return invalid("a secret is named twice");
        }
        match service.secrets.iter().find(|secret| !self.secrets.contains_key(secret)) {
            Some(secret) => invalid(format!("the secret `{secret}` is none of the app")),
            None => Ok(()),
        }
    }

    fn check_mounts(&self, service: &Service) -> Result<()> {
        let mut targets = BTreeSet::new();
        let mut take = |target: &str| match targets.insert(target.to_owned()) {
            true => Ok(()),
            false => invalid(format!("two things are mounted at `{}`", shown(target))),
        };
        for mount in &service.mounts {
            check_target(&mount.target)?;
            take(&mount.target)?;
            match &mount.what {
                MountKind::Volume { volume } if !self.volumes.contains_key(volume) => {
                    return invalid(format!("the volume `{volume}` is none of the app"));
                }
                MountKind::Bind { source, .. } if !is_absolute(source) => {
                    let source = shown(source);
                    return invalid(format!(
                        "`{source}` is no absolute path without `..`, `:` and `,`"
                    ));
                }
                MountKind::Bind { of: Some(of), .. }
                    if !["file", "dir", "socket"].contains(&of.as_str()) =>
                {
                    let of = shown(of);
                    return invalid(format!("a bind is of `file`, `dir` or `socket`, not `{of}`"));
                }
                MountKind::Tmpfs { size: Some(size) } => within("tmpfs", *size, 4096, LARGEST)?,
                _ => {}
            }
        }
        for (folder, size) in &service.logs {
            check_target(folder)?;
            take(folder)?;
            within("logs", *size, 16 * 1024, LARGEST)?;
        }
        if !service.secrets.is_empty() {
            take(SECRETS)?;
        }
        for node in &service.devices {
            if !node.source.starts_with("/dev/") || !is_absolute(&node.source) {
                return invalid(format!("`{}` is no device node below /dev", shown(&node.source)));
            }
            check_target(&node.target)?;
            take(&node.target)?;
            let rights = &node.rights;
            let twice = rights.len() > 3 || rights.is_empty();
            if twice || !["r", "rw", "rm", "rwm", "w", "wm", "m"].contains(&rights.as_str()) {
                return invalid(format!(
                    "rights of a device are of `rwm`, not `{}`",
                    shown(rights)
                ));
            }
        }
        Ok(())
    }
}

/// Over the root or the kernel's own files nothing is mounted.
fn check_target(target: &str) -> Result<()> {
    let kernel = target == "/proc" || target.starts_with("/proc/");
    match is_absolute(target) && !kernel && !["/sys", "/dev"].contains(&target) {
        true => Ok(()),
        false => invalid(format!(
            "`{}` is no place to mount something: absolute, without `..`, `:` and `,`, not /proc, /sys or /dev",
            shown(target)
        )),
    }
}

/// Words that a program is given.
fn check_words(what: &str, words: &[String]) -> Result<()> {
    match words.len() > MOST || words.iter().any(|word| word.contains('\0')) {
        true => invalid(format!("`{what}` has more than {MOST} words, or one with a zero byte")),
        false => Ok(()),
    }
}

fn check_texts(service: &Service) -> Result<()> {
    for (what, words) in [("command", &service.command), ("entrypoint", &service.entrypoint)] {
        check_words(what, words.as_deref().unwrap_or_default())?;
    }
    let mut names = BTreeSet::new();
    for name in service.environment.keys().chain(&service.variables) {
        if !is_variable(name) {
            return invalid(format!("`{}` is no name of a variable", shown(name)));
        }
        if !names.insert(name) {
            return invalid(format!("the variable `{name}` is there twice"));
        }
    }
    if service.environment.values().any(|value| value.contains('\0')) {
        return invalid("the value of a variable has a zero byte");
    }
    let name = |part: &str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
        (1..=32).contains(&part.len()) && part.bytes().all(plain)
    };
    if let Some(user) = &service.user
        && (user.split(':').count() > 2 || !user.split(':').all(name))
    {
        return invalid(format!("`{}` is no user: `UID[:GID]` or a name", shown(user)));
    }
    if let Some(folder) = &service.working_dir
        && folder != "/"
        && !is_absolute(folder)
    {
        return invalid(format!("`{}` is no absolute folder", shown(folder)));
    }
    for (label, value) in &service.labels {
        if label.is_empty() || label.len() > 128 || value.len() > 4096 || has_control(label) {
            return invalid(format!("the label `{}` is too long or empty", shown(label)));
        }
        if label.starts_with(OWN_LABELS) {
            return invalid(format!("labels that begin with `{OWN_LABELS}` are the updater's own"));
        }
    }
    match service.labels.len() > MOST {
        true => invalid(format!("more than {MOST} labels")),
        false => Ok(()),
    }
}

fn has_control(text: &str) -> bool {
    text.chars().any(char::is_control)
}

/// A label of DNS, or several with dots.
fn is_host(name: &str) -> bool {
    let label = |label: &str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        (1..=63).contains(&label.len())
            && label.bytes().all(plain)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(label)
}

fn check_network(service: &Service) -> Result<()> {
    let own = service.network == ServiceNetwork::App;
    if !(own || service.ports.is_empty() && service.aliases.is_empty()) {
        return invalid("only in the app's own network a service has ports and aliases");
    }
    if service.network == ServiceNetwork::None && !service.extra_hosts.is_empty() {
        return invalid("without a network there are no other hosts");
    }
    if let Some(bad) = service.hostname.iter().chain(&service.aliases).find(|name| !is_host(name)) {
        return invalid(format!("`{}` is no name of a host", shown(bad)));
    }
    if service.ports.len() + service.aliases.len() + service.extra_hosts.len() > MOST {
        return invalid(format!("more than {MOST} ports and names"));
    }
    for pair in &service.ports {
        if pair.container == 0 || pair.host == Some(0) {
            return invalid("there is no port 0");
        }
        if service.replicas > 1 && pair.host.is_some() {
            return invalid("a port of the device leads to one service, and this has replicas");
        }
        if let Some(address) = &pair.address
            && address.parse::<IpAddr>().is_err()
        {
            return invalid(format!("`{}` is no address of the device", shown(address)));
        }
    }
    for line in &service.extra_hosts {
        let (name, address) = line.split_once(':').unwrap_or((line, ""));
        let good = address == "host-gateway" || address.parse::<IpAddr>().is_ok();
        if !is_host(name) || !good {
            return invalid(format!("`{}` is not NAME:ADDRESS", shown(line)));
        }
    }
    match service.dns.iter().find(|server| server.parse::<IpAddr>().is_err()) {
        Some(server) => invalid(format!("`{}` is no address of a name server", shown(server))),
        None => Ok(()),
    }
}

fn check_rights(service: &Service) -> Result<()> {
    for name in service.cap_add.iter().chain(&service.cap_drop) {
        let plain = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
        if !(3..=32).contains(&name.len()) || !name.bytes().all(plain) || name.starts_with("CAP_") {
            let name = shown(name);
            return invalid(format!("`{name}` is no capability: `NET_ADMIN`, without `CAP_`"));
        }
    }
    for (name, value) in &service.sysctls {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_.-".contains(&b);
        let own = SYSCTLS.iter().any(|begin| name.starts_with(begin));
        if !own || name.len() > 128 || !name.bytes().all(plain) || has_control(value) {
            let name = shown(name);
            return invalid(format!("`{name}` is no kernel setting of a container alone"));
        }
        if name.starts_with("net.") && service.network == ServiceNetwork::Host {
            return invalid(format!("`{name}` is a setting of the device's network"));
        }
    }
    for (name, [soft, hard]) in &service.ulimits {
        // -1 is no limit at all.
        let order = *hard == -1 || (*soft != -1 && soft <= hard);
        if !ULIMITS.contains(&name.as_str()) || *soft < -1 || *hard < -1 || !order {
            let name = shown(name);
            return invalid(format!(
                "`{name}` is no limit, or its soft limit is above its hard one"
            ));
        }
    }
    match &service.stop_signal {
        Some(signal) if !is_signal(signal) => {
            invalid(format!("`{}` is no signal: SIGTERM, SIGRTMIN+3", shown(signal)))
        }
        _ => Ok(()),
    }
}

fn is_signal(name: &str) -> bool {
    let real_time = name.strip_prefix("SIGRTMIN+").and_then(|n| n.parse::<u8>().ok());
    SIGNALS.contains(&name) || real_time.is_some_and(|n| (1..=30).contains(&n))
}

fn check_resources(service: &Service) -> Result<()> {
    let resources = &service.resources;
    let most = resources.most_cpu;
    let thousand_processors = 1_000_000;
    within("reserved_cpu", resources.reserved_cpu, 0, most.unwrap_or(thousand_processors))?;
    within("most_cpu", most.unwrap_or(1), 1, thousand_processors)?;
    let most = resources.most_memory;
    within("reserved_memory", resources.reserved_memory, 0, most.unwrap_or(LARGEST))?;
    within("most_memory", most.unwrap_or(LEAST_MEMORY), LEAST_MEMORY, LARGEST)?;
    within("most_processes", resources.most_processes.unwrap_or(1), 1, 4 << 20)?;
    within("shm_size", service.shm_size.unwrap_or(4096), 4096, LARGEST)?;
    within("stop_grace_period", service.stop_grace_period.unwrap_or(0), 0, HOUR)?;
    within("log_size", service.log_size.unwrap_or(16 * 1024), 16 * 1024, LARGEST)
}

impl HealthProbe {
    fn check(&self) -> Result<()> {
        if self.command.first().is_none_or(String::is_empty) {
            return invalid("its health check names no program");
        }
        check_words("health.command", &self.command)?;
        within("health.interval", self.interval, 100, 24 * HOUR)?;
        within("health.timeout", self.timeout, 100, HOUR)?;
        within("health.retries", self.retries.into(), 1, 1000)?;
        within("health.start_period", self.start_period, 0, 24 * HOUR)
    }
}

//! Units of the init system, through its own tool.

use super::Outcome;
use crate::sys::process::{Ending, Invocation, Runner, is_cut};
use std::path::Path;
use std::time::Duration;

/// More restarts of one service in one boot than bad luck.
const RESTARTS_MAX: u32 = 3;

struct Unit {
    id: String,
    active: String,
    sub: String,
    result: String,
    restarts: u32,
}

/// What was found, and the units that are not as they should be.
pub(super) type Found = (Outcome, Vec<String>);

/// Whether all of `names` are active.
pub(super) fn active(names: &[String], timeout: Duration, runner: &dyn Runner) -> Found {
    let units = match show(names, timeout, runner) {
        Ok(units) => units,
        Err(why) => return (Outcome::CouldNot(why), Vec::new()),
    };
    let bad: Vec<_> = units.iter().filter(|u| u.active != "active").collect();
    match units.len() >= names.len() {
        true => judged(&bad),
        false => (Outcome::Bad(words(&bad)), Vec::new()),
    }
}

/// Whether none of `names` is restarted again and again in this boot.
pub(super) fn steady(names: &[String], timeout: Duration, runner: &dyn Runner) -> Found {
    let units = match show(names, timeout, runner) {
        Ok(units) => units,
        Err(why) => return (Outcome::CouldNot(why), Vec::new()),
    };
    let loops = |u: &&Unit| {
        u.restarts >= RESTARTS_MAX || u.result == "start-limit-hit" && u.active == "failed"
    };
    judged(&units.iter().filter(loops).collect::<Vec<_>>())
}

fn judged(bad: &[&Unit]) -> Found {
    match bad.is_empty() {
        true => (Outcome::Good, Vec::new()),
        false => (Outcome::Bad(words(bad)), bad.iter().map(|u| u.id.clone()).collect()),
    }
}

fn words(units: &[&Unit]) -> String {
    units.iter().map(|u| told(u)).collect::<Vec<_>>().join(", ")
}

fn told(unit: &Unit) -> String {
    let Unit { id, active, sub, result, restarts } = unit;
    let result = if result == "success" || result.is_empty() { "" } else { result };
    let result = if result.is_empty() { String::new() } else { format!(", {result}") };
    let again =
        if *restarts == 0 { String::new() } else { format!(", restarted {restarts} times") };
    format!("{id} is {active} ({sub}{result}{again})")
}

fn show(names: &[String], timeout: Duration, runner: &dyn Runner) -> Result<Vec<Unit>, String> {
    let words = ["systemctl", "show", "-p", "Id,ActiveState,SubState,Result,NRestarts", "--"];
    let mut command: Vec<String> = words.map(str::to_owned).to_vec();
    match names.iter().any(|n| n == "*") {
        true => command.push("*.service".to_owned()),
        false => command.extend(names.iter().cloned()),
    }
    let call = Invocation {
        command: &command,
        folder: Path::new("/"),
        environment: &[],
        input: b"",
        deadline: timeout,
        keep: 256 * 1024,
    };
    let done = runner.run(&call).map_err(|e| format!("systemctl: {e}"))?;
    if done.ending != Ending::Exit(0) {
        let said = String::from_utf8_lossy(&done.stderr);
        return Err(format!("systemctl: {}", said.lines().next_back().unwrap_or("no answer")));
    }
    if is_cut(&done.stdout) {
        return Err("systemctl: the answer is too long".to_owned());
    }
    Ok(parse(&String::from_utf8_lossy(&done.stdout)))
}

/// Blocks of `key=value` lines, an empty line between two units.
/// Reads an answer of systemctl and tells of every unit in it.
#[cfg(any(test, fuzzing))]
pub(super) fn tell(text: &str) {
    std::hint::black_box(parse(text).iter().map(told).collect::<Vec<_>>());
}

fn parse(text: &str) -> Vec<Unit> {
    let blocks = text.split("\n\n").filter(|b| !b.trim().is_empty());
    let unit = |block: &str| {
        let of = |key: &str| {
            let line = block.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix('='));
            line.unwrap_or("").to_owned()
        };
        let restarts = of("NRestarts").parse().unwrap_or(0);
        let (active, sub, result) = (of("ActiveState"), of("SubState"), of("Result"));
        Unit { id: of("Id"), active, sub, result, restarts }
    };
    blocks.map(unit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::process::Finished;

    struct Systemctl(&'static str, i32);

    impl Runner for Systemctl {
        fn run(&self, call: &Invocation<'_>) -> std::io::Result<Finished> {
            assert_eq!(call.command[0], "systemctl");
            let (stdout, stderr) = (self.0.as_bytes().to_vec(), b"no bus\n".to_vec());
            Ok(Finished { ending: Ending::Exit(self.1), stdout, stderr })
        }
    }

    const GOOD: &str =
        "Id=a.service\nActiveState=active\nSubState=running\nResult=success\nNRestarts=0\n";
    const LOOPS: &str = "Id=b.service\nActiveState=activating\nSubState=auto-restart\nResult=exit-code\nNRestarts=7\n";

    fn look(text: &'static str, status: i32) -> [Found; 2] {
        let (names, second) = (["x".to_owned()], Duration::from_secs(1));
        let systemctl = Systemctl(text, status);
        [active(&names, second, &systemctl), steady(&names, second, &systemctl)]
    }

    #[test]
    fn a_unit_that_runs_is_good_and_one_that_loops_is_named() {
        let good = || (Outcome::Good, Vec::new());
        assert_eq!(look(GOOD, 0), [good(), good()]);
        let said = "b.service is activating (auto-restart, exit-code, restarted 7 times)";
        let both = look(LOOPS, 0);
        let bad = || (Outcome::Bad(said.into()), vec!["b.service".to_owned()]);
        assert_eq!(both, [bad(), bad()]);
    }

    #[test]
    fn no_word_from_the_init_system_is_not_a_bad_word() {
        let [a, b] = look("", 1);
        assert_eq!(a.0, Outcome::CouldNot("systemctl: no bus".to_owned()));
        assert_eq!(b, a);
        assert!(matches!(look("", 0)[0].0, Outcome::Bad(_)), "fewer units than asked for");
    }
}

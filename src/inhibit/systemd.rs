//! What the init system's login manager says that holds back a shutdown (systemd.io/INHIBITOR_LOCKS).
//! Its own tool is asked, and for JSON: the table of `systemd-inhibit --list` cannot be read back.

use crate::model::from_json;
use crate::sys::process::{Ending, Invocation, Runner};
use std::path::Path;
use std::time::Duration;

const ASK: [&str; 7] = [
    "busctl",
    "--json=short",
    "call",
    "org.freedesktop.login1",
    "/org/freedesktop/login1",
    "org.freedesktop.login1.Manager",
    "ListInhibitors",
];

/// Who blocks a shutdown, one line each; an error says why nobody could be asked.
pub(super) fn blocked(runner: &dyn Runner) -> Result<Vec<String>, String> {
    let command = ASK.map(str::to_owned);
    let call = Invocation {
        command: &command,
        folder: Path::new("/"),
        environment: &[],
        input: b"",
        deadline: Duration::from_secs(10),
        keep: 256 * 1024,
    };
    let done = runner.run(&call).map_err(|e| format!("busctl: {e}"))?;
    if done.ending != Ending::Exit(0) {
        let said = String::from_utf8_lossy(&done.stderr);
        return Err(format!("busctl: {}", said.lines().next_back().unwrap_or("no answer")));
    }
    parse(&done.stdout, std::process::id())
        .ok_or_else(|| "busctl: an answer of another form".into())
}

/// `a(ssssuu)`: what, who, why, mode, user, process.
pub(super) fn parse(answer: &[u8], own: u32) -> Option<Vec<String>> {
    type Inhibitor = (String, String, String, String, u32, u32);
    #[derive(serde::Deserialize)]
    struct Answer {
        data: (Vec<Inhibitor>,),
    }
    let answer: Answer = from_json(answer).ok()?;
    let blocks = |(what, _, _, mode, _, process): &Inhibitor| {
        mode == "block" && what.split(':').any(|w| w == "shutdown") && *process != own
    };
    let told = |(_, who, why, _, _, process): &Inhibitor| match why.is_empty() {
        true => format!("{who} (process {process}) blocks a shutdown"),
        false => format!("{who} (process {process}) blocks a shutdown: {why}"),
    };
    Some(answer.data.0.iter().filter(|i| blocks(i)).map(told).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As systemd-logind 252 answers.
    const ANSWER: &[u8] = br#"{"type":"a(ssssuu)","data":[[
        ["sleep","NetworkManager","turns off networks","delay",0,722],
        ["shutdown","Logger","flushes","delay",0,723],
        ["sleep:shutdown:idle","Package Manager","a \"package\" is half done","block",0,724],
        ["idle","Player","plays","block",1000,725],
        ["shutdown","Nice","asks","block-weak",1000,726],
        ["shutdown","Ourselves","","block",0,4242]]]}"#;

    #[test]
    fn only_what_blocks_a_shutdown_counts_and_never_ourselves() {
        let one = "Package Manager (process 724) blocks a shutdown: a \"package\" is half done";
        assert_eq!(parse(ANSWER, 4242), Some(vec![one.to_owned()]));
        assert_eq!(parse(ANSWER, 1).unwrap()[1], "Ourselves (process 4242) blocks a shutdown");
        assert_eq!(parse(br#"{"type":"a(ssssuu)","data":[[]]}"#, 1), Some(vec![]));
        for bad in ["", "{}", "[]", r#"{"data":[]}"#, r#"{"data":[[["x"]]]}"#, r#"{"data":[[]]"#] {
            assert_eq!(parse(bad.as_bytes(), 1), None, "{bad}");
        }
    }
}

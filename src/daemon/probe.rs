//! Looking over the network from a process that has none: one question to a unit that has.

use crate::health::{Kind, Outcome, Remote, probe};
use crate::model::{Result, from_json};
use crate::source::Setup;
use crate::sys::{stop, systemd, wait};
use serde::{Deserialize, Serialize};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What is asked, on one line.
#[derive(Debug, Serialize, Deserialize)]
struct Question {
    kind: Kind,
    /// Seconds.
    timeout: f64,
    #[serde(default)]
    net: Setup,
}

/// A longer line is none of ours.
const LINE_MAX: u64 = 1024 * 1024;

/// How much later than its own time an answer may come.
const GRACE: Duration = Duration::from_secs(5);

/// The socket at which units with a network are started, one for each connection.
pub(super) struct Window {
    pub(super) socket: PathBuf,
}

impl Remote for Window {
    fn probe(&self, kind: &Kind, timeout: Duration, net: &Setup) -> Outcome {
        self.ask(kind, timeout, net)
            .unwrap_or_else(|e| Outcome::CouldNot(format!("{}: {e}", self.socket.display())))
    }
}

impl Window {
    fn ask(&self, kind: &Kind, timeout: Duration, net: &Setup) -> std::io::Result<Outcome> {
        let mut stream = UnixStream::connect(&self.socket)?;
        let due = Instant::now() + timeout + GRACE;
        let (kind, net) = (kind.clone(), net.clone());
        let question = Question { kind, timeout: timeout.as_secs_f64(), net };
        let mut line = serde_json::to_string(&question)?;
        line.push('\n');
        stream.write_all(line.as_bytes())?;
        // Whoever asks may have a watchdog of less patience than the question.
        // Or be told to stop.
        while !wait::any(&[stream.as_fd()], Some(stop::SLICE))?.first().is_some_and(|ready| *ready)
        {
            systemd::waits();
            stop::look_reading()?;
            if Instant::now() >= due {
                return Err(ErrorKind::TimedOut.into());
            }
        }
        stream.set_read_timeout(Some(GRACE))?;
        let mut answer = String::new();
        BufReader::new(stream).take(LINE_MAX).read_line(&mut answer)?;
        from_json(answer.as_bytes()).map_err(std::io::Error::other)
    }
}

/// The other end: one question on standard input, one answer for standard output.
pub fn answer_probe() -> Result<String> {
    let mut line = String::new();
    let read = std::io::stdin().lock().take(LINE_MAX).read_line(&mut line);
    let question = read
        .map_err(|e| e.to_string())
        .and_then(|_| from_json::<Question>(line.as_bytes()).map_err(|e| e.to_string()));
    let outcome = match question {
        Ok(Question { kind, timeout, net }) => {
            let timeout = Duration::try_from_secs_f64(timeout).unwrap_or(GRACE);
            probe(&kind, timeout.min(Duration::from_secs(600)), &net)
        }
        Err(e) => Outcome::CouldNot(format!("the question is none: {e}")),
    };
    let text = serde_json::to_string(&outcome).unwrap_or_default();
    Ok(text + "\n")
}

#!/usr/bin/env python3
"""docs/first-afternoon.md, word for word: every command of the page, in its order, in one shell, and what a person types at the board's console.

    tests/vm/afternoon.py

Blocks that begin with ```sh afternoon are for the shell, those with ```sh console for the console of the board that the command before them has
switched on. At most fifteen commands stand on the page.
"""
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import bench  # noqa: E402

PAGE = bench.TOP / "docs/first-afternoon.md"
PROMPT = rb"(?:root@\S+|bash-[0-9.]+)[^\n]*# $"


def commands():
    """(where, command) in the order of the page."""
    for info, text in re.findall(r"^```sh (afternoon|console)\n(.*?)^```", PAGE.read_text(), re.M | re.S):
        for line in text.splitlines():
            yield info, line


class Terminal:
    """A shell in a terminal, as a person has it."""

    def __init__(self, home):
        self.output = b""
        environment = {**os.environ, "HOME": str(home), "TERM": "dumb", "PS1": "", "CARGO_HOME": cargo_home(), "RUSTUP_HOME": rustup_home(),
                       "SUREFOOT_CACHE": str(bench.CACHE)}
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(bench.TOP)
            os.execvpe("bash", ["bash", "--norc", "--noprofile"], environment)
        self.say("stty -echo; PS1=; PS2=")

    def say(self, line):
        os.write(self.fd, line.encode() + b"\n")

    def until(self, pattern, timeout=900):
        """What came up to the end of the match."""
        deadline, seen = time.monotonic() + timeout, re.compile(pattern)
        while True:
            if found := seen.search(self.output):
                text, self.output = self.output[:found.end()], self.output[found.end():]
                return text.decode("utf-8", "replace"), found
            if not select.select([self.fd], [], [], max(0, deadline - time.monotonic()))[0]:
                raise AssertionError(f"nothing like {pattern!r} in {timeout} s:\n{self.output[-4000:].decode('utf-8', 'replace')}")
            self.output += os.read(self.fd, 65536)

    def run(self, command):
        """One command; its output. It must succeed."""
        self.say(f"{command}\necho; echo END $?")
        text, found = self.until(rb"\nEND (\d+)\r?\n", 1800)
        assert found[1] == b"0", f"{command}\n{text[-4000:]}"
        return text

    def end(self):
        os.kill(self.pid, signal.SIGHUP)
        os.close(self.fd)
        os.waitpid(self.pid, 0)


def cargo_home():
    return os.environ.get("CARGO_HOME", str(Path.home() / ".cargo"))


def rustup_home():
    return os.environ.get("RUSTUP_HOME", str(Path.home() / ".rustup"))


def story(home):
    steps = list(commands())
    assert 10 < len(steps) <= 15, f"{len(steps)} commands stand on the page"
    terminal, said = Terminal(home), {}
    try:
        running = False
        for where, command in steps:
            print(f"{'#' if where == 'console' else '$'} {command}", flush=True)
            if where == "console":
                assert running, "no board runs"
                if "wait" in command:
                    # The shell of the second start: the board has installed, and started again by itself.
                    terminal.until(rb"surefoot: trial of slot b", 1200)
                terminal.until(PROMPT, 1200)
                terminal.say(command)
                said[command], _ = terminal.until(PROMPT, 1200)
                continue
            if running:
                terminal.say("\x01x")           # Ctrl-A X
                terminal.until(rb"Terminated|QEMU: Terminated")
                terminal.say("stty -echo; PS1=; PS2=")
                running = False
            if command.startswith("qemu-arm64 run"):
                terminal.say(command)
                terminal.until(rb"surefoot: slot=", 300)
                running = True
            else:
                said[command] = terminal.run(command)
    finally:
        terminal.end()
    status = [text for command, text in said.items() if command.endswith("surefoot status")]
    assert re.search(r"Running 1\.0\.0 \(slot a\)", status[0]), status[0]
    assert re.search(r"Running 2\.0\.0 \(slot b\), committed", status[1]), status[1]
    return len(steps)


def main():
    started = time.monotonic()
    with bench.scratch("surefoot-afternoon-") as home:
        number = story(Path(home))
    print(f"afternoon: 1 passed, 0 failed\nnote: {number} commands, {time.monotonic() - started:.0f} s on this machine")


if __name__ == "__main__":
    main()

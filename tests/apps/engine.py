"""A real container engine in namespaces of its own: started, asked beside surefoot, killed, and started again."""
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
INSIDE = "SUREFOOT_STORY_INSIDE"
LABEL = "io.surefoot.app"


def enter():
    """Goes on in namespaces of its own for mounts, network and processes: what is left at the end goes with them. True, or why not."""
    if os.environ.get(INSIDE):
        return True
    if os.geteuid() != 0:
        return "not root"
    words = ["unshare", "-m", "-n", "-p", "-f", "--mount-proc", "--kill-child"]
    if subprocess.run([*words, "true"], stderr=subprocess.DEVNULL).returncode:
        return "no namespaces here"
    os.environ[INSIDE] = "1"
    # A shell as the first process, so that what is orphaned has a parent that reaps it.
    os.execvp("unshare", [*words, "bash", "-c", '"$@"; exit $?', "bash", sys.executable, *sys.argv])


def until(what, look, seconds=60):
    """Waits until `look` says something true. The time only ends a hang."""
    end = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"not in {seconds} s: {what}")
        time.sleep(0.02)


class Connection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("engine", timeout=60)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Engine:
    """The engine `name`, from `tests/apps/engines`, with all that it keeps below `folder`, which is made."""

    def __init__(self, name, folder):
        self.name, self.folder = name, Path(folder)
        self.folder.mkdir(parents=True)
        # Mounts of its own: the script ends all that is left in them.
        self.script = subprocess.Popen(["unshare", "-m", HERE / "engines", "inside", self.folder], env={**os.environ, "SUREFOOT_ENGINES": name},
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.missing = "tests/apps/engines said nothing of it"
        self.pid = None
        for line in self.script.stdout:
            words = line.rstrip("\n").split(" ", 2)
            if words[0] == "skip" and words[1] == name:
                self.missing = words[2]
            elif words[0] == name:
                self.socket, self.pid, self.missing = Path(words[1]), int(words[2]), None
            elif words[0] == "ready":
                break

    def ask(self, method, path, body=None):
        """(status, what it answered)"""
        connection = Connection(self.socket)
        try:
            data = json.dumps(body) if body is not None else None
            connection.request(method, "/v1.41" + path, data, {"Content-Type": "application/json"} if data else {})
            answer = connection.getresponse()
            text = answer.read()
            try:
                return answer.status, json.loads(text)
            except ValueError:
                return answer.status, text.decode(errors="replace")
        finally:
            connection.close()

    def answers(self):
        try:
            return self.ask("GET", "/_ping")[0] == 200
        except OSError:
            return False

    def containers(self):
        """Ours, by service and replica: all that the engine says of each."""
        found = {}
        for one in self.ask("GET", "/containers/json?all=true")[1] or []:
            labels = one.get("Labels") or {}
            if LABEL in labels:
                full = self.ask("GET", f"/containers/{one['Id']}/json")[1]
                if isinstance(full, dict) and "State" in full:
                    found.setdefault((labels[LABEL], labels.get("io.surefoot.service", "")), []).append(full)
        return found

    def running(self):
        """{(app, service): (id, since when)} of those that run; replicas of one service together."""
        return {key: tuple(sorted((c["Id"], c["State"]["StartedAt"]) for c in all if c["State"]["Running"]))
                for key, all in self.containers().items() if any(c["State"]["Running"] for c in all)}

    def images(self):
        """Ids of images with a tag of ours."""
        all = self.ask("GET", "/images/json?all=true")[1] or []
        return {one["Id"].removeprefix("sha256:") for one in all if any("surefoot.local/" in tag for tag in one.get("RepoTags") or [])}

    def plug(self):
        """What a power cut does to containers: none runs."""
        for all in self.containers().values():
            for one in all:
                if one["State"]["Running"]:
                    self.ask("POST", f"/containers/{one['Id']}/kill")
        until("containers end", lambda: not self.running())

    def clean(self):
        """Takes all containers and images of ours away."""
        for all in self.containers().values():
            for one in all:
                self.ask("DELETE", f"/containers/{one['Id']}?force=true")
        for one in self.images():
            self.ask("DELETE", f"/images/{one}?force=true")
        for one in self.ask("GET", "/networks")[1] or []:
            if one["Name"].startswith("sf-"):
                self.ask("DELETE", f"/networks/{one['Name']}")

    def kill(self):
        """As a crash of the engine: containers go on, or not, as it happens to be with this one."""
        proc = Path(f"/proc/{self.pid}")
        self.words = [os.fsdecode(word) for word in (proc / "cmdline").read_bytes().split(b"\0")[:-1]]
        self.environment = dict(os.fsdecode(one).split("=", 1) for one in (proc / "environ").read_bytes().split(b"\0")[:-1])
        os.kill(self.pid, signal.SIGKILL)
        until("the engine is gone", lambda: not self.answers())

    def again(self):
        """Starts it as it was started."""
        log = open(self.folder / "again.log", "ab")
        self.process = subprocess.Popen(["nsenter", "-t", str(self.script.pid), "-m", *self.words], env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.pid = self.process.pid
        until("the engine answers again", self.answers)

    def end(self):
        self.script.stdin.close()
        try:
            self.script.wait(60)
        except subprocess.TimeoutExpired:
            self.script.kill()
        if getattr(self, "process", None):
            self.process.kill()
            self.process.wait()

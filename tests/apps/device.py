"""A simulated device with a container engine, the app that the stories install on it, and a client that asks it."""
import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

from engine import until
from images import Image, base, layer

PORT = 18080
COMPOSE = """\
services:
  init:
    image: shop-db
    command: [/app/init, "{version}"]
    volumes: ["data:/data"]
    restart: "no"
    x-surefoot: {{ run: once-per-release }}
  db:
    image: shop-db
    command: [/app/db]
    volumes: ["data:/data"]
    depends_on: {{ init: {{ condition: service_completed_successfully }} }}
    healthcheck: {{ test: [CMD, wget, -q, -O, /dev/null, "http://127.0.0.1:5432/rows"], interval: 200ms, timeout: 5s, retries: 50 }}
    stop_grace_period: 5s
  web:
    image: {web}
    command: [/app/web]
    depends_on: {{ db: {{ condition: service_healthy }} }}
    ports: ["127.0.0.1:{port}:8080"]
    healthcheck: {{ test: [CMD, wget, -q, -O, /dev/null, "http://127.0.0.1:8080/version"], interval: 200ms, timeout: 5s, retries: 5 }}
    stop_grace_period: 5s
    x-surefoot: {{ critical: true }}
{web_more}
volumes:
  data: {{ {volume} }}
x-surefoot: {{ deadline: {deadline}, soak: {soak}{more} }}
"""
# Once for each release: the first one makes the rows of the database.
INIT = b"""#!/bin/sh
echo "$1" >>/data/inits
[ -e /data/rows ] || { seq 2000 >/data/rows.new && mv /data/rows.new /data/rows; }
"""
# Once for each release: writes the rows in another form, which the release before cannot read.
MIGRATE = b"""#!/bin/sh
echo "$1" >>/data/inits
sed 's/^/new /' /data/rows >/data/rows.new && mv /data/rows.new /data/rows
"""
# The folder of the database is what it serves: the web asks it by its name.
DB = b"""#!/bin/sh
trap 'kill $! $server; exit 0' TERM INT
httpd -f -p 5432 -h /data & server=$!
n=0
while :; do n=$((n + 1)); echo $n >/data/beat; sleep 1 & wait $!; done
"""
WEB = b"""#!/bin/sh
trap 'kill $!; exit 0' TERM INT
echo "web begins"
wget -q -O /tmp/rows http://db:5432/rows || echo "the database does not answer"
httpd -f -p 8080 -h /www & wait $!
"""


# What runs until it is told to end, and shows what it was given.
IDLE = b"""#!/bin/sh
trap 'kill $!; exit 0' TERM INT
echo "site=$SITE color=$COLOR level=$LEVEL"
[ ! -e /run/secrets/token ] || sha256sum /run/secrets/token
sleep 1000000 & wait $!
"""


class Programs:
    """The three programs of one folder."""

    def __init__(self, folder):
        self.folder = Path(folder).resolve()
        for name in ("surefoot", "surefoot-forge", "surefoot-sim"):
            setattr(self, name.replace("-", "_"), self.folder / name)


def run(words, **more):
    """The whole of a command: its status, and what it said on both outputs."""
    return subprocess.run([str(word) for word in words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", timeout=300, **more)


def code(done):
    """The reason code that a command has ended with; its status where it gave none."""
    found = re.findall(r"\[([A-Z][A-Z_]+)\]", done.stdout)
    return found[0] if found else f"status {done.returncode}: {done.stdout[-300:]}"


class Shelf:
    """Images and bundles of the app `shop`."""

    def __init__(self, programs, folder, key, architecture="amd64"):
        self.programs, self.folder, self.key, self.architecture = programs, Path(folder), key, architecture
        (self.folder / "images").mkdir(parents=True)
        self.base = base()
        db = Image("localhost/shop-db:latest", [self.base, layer({"app/init": INIT, "app/migrate": MIGRATE, "app/db": DB, "app/idle": IDLE})], architecture)
        db.oci_archive(self.folder / "images/db.tar")
        self.images = {"shop-db": db}

    def web(self, version, healthy=True):
        """The web's image of a version, in an archive of the other kind."""
        name = f"shop-web:{version}{'' if healthy else '-ill'}"
        if name not in self.images:
            # What its health check asks for is missing, but it answers.
            files = {"app/web": WEB, "www/index.html": version.encode(), **({"www/version": version.encode()} if healthy else {})}
            self.images[name] = Image(name, [self.base, layer(files)], self.architecture)
            self.images[name].docker_archive(self.folder / f"images/{name.replace(':', '-')}.tar")
        return name

    def big(self, version, length):
        """The web's image of a version, with so many zeros more."""
        files = {"app/web": WEB, "www/index.html": version.encode(), "www/version": version.encode(), "www/zeros": bytes(length)}
        name = f"shop-web:{version}"
        self.images[name] = Image(name, [self.base, layer(files)], self.architecture)
        self.images[name].docker_archive(self.folder / f"images/web-{version}.tar")

    def compose(self, version, healthy=True, migrates=False, web_more="", volume="", deadline="60s", soak="300ms", more="", port=PORT):
        """The text of a Compose file."""
        text = COMPOSE.format(version=version, web=self.web(version, healthy), web_more=web_more, volume=volume, deadline=deadline, soak=soak, more=more,
                              port=port)
        return text.replace("/app/init", "/app/migrate") if migrates else text

    def forge(self, *words):
        return run([self.programs.surefoot_forge, *words])

    def build(self, version, text=None, app="shop", **words):
        """A signed bundle of what `compose` says; or the failed command."""
        name = f"{app}-{version}-{len(list(self.folder.glob('*.surefoot')))}"
        compose, out = self.folder / f"{name}.yaml", self.folder / f"{name}.surefoot"
        compose.write_text(text or self.compose(version, **words))
        done = self.forge("build", "--app", app, "--compose", compose, "--images", self.folder / "images", "--product", "demo",
                          "--compatible", "demo-board", "--version", version, "--level", "1", "--key", self.key, "-o", out)
        return out if done.returncode == 0 else done

    def bundle(self, version, *words, **more):
        """The same, and it must be one."""
        out = self.build(version, *words, **more)
        assert isinstance(out, Path), f"forge: {out.stdout}"
        return out


class Device:
    """A simulated device whose settings name the engine."""

    def __init__(self, programs, folder, engine, settings="", key=None):
        self.programs, self.folder, self.engine = programs, Path(folder), engine
        trust = ["--trust", key.parent / "trust.toml"] if key else []
        done = run([programs.surefoot_sim, "new", self.folder, "--slot-size", "8M", *trust])
        assert done.returncode == 0, done.stdout
        self.config = self.folder / "surefoot.toml"
        self.usual = self.config.read_text()
        self.settings(settings)
        self.daemon_process = None
        self.key = self.folder / "keys/release.key"

    def settings(self, more=""):
        """`[apps]` with this beside the engine; what begins with a table of its own goes on from there."""
        self.config.write_text(f'{self.usual}\n[health]\nstable = "0s"\n\n[apps]\nengine = "{self.engine.socket}"\n{more}\n')

    def surefoot(self, *words, **more):
        return run([self.programs.surefoot, "--config", self.config, *words], **more)

    def ok(self, *words):
        """The same, and it must succeed."""
        done = self.surefoot(*words)
        assert done.returncode == 0, f"surefoot {' '.join(map(str, words))}: status {done.returncode}: {done.stdout}"
        return done.stdout

    def apps(self):
        """`surefoot apps status --json`"""
        done = subprocess.run([self.programs.surefoot, "--config", self.config, "apps", "status", "--json"], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, f"apps status: {done.returncode}: {done.stdout} {done.stderr}"
        return json.loads(done.stdout)

    def app(self, name="shop"):
        return next((one for one in self.apps()["apps"] if one["name"] == name), None)

    def boot(self, *words):
        """A reboot, and with it the end of all that runs. The first line says which slot runs."""
        self.stop()
        self.engine.plug()
        done = run([self.programs.surefoot_sim, "reboot", self.folder, *words])
        assert done.returncode == 0, done.stdout
        return next((line for line in done.stdout.splitlines() if line.startswith("slot ")), done.stdout)

    def start(self):
        """The daemon, until it answers."""
        log = open(self.folder / "daemon.log", "ab")
        environment = {**os.environ, "SUREFOOT_SIM_PACE": "100"}
        self.daemon_process = subprocess.Popen([self.programs.surefoot, "--config", self.config, "daemon"], stdin=subprocess.DEVNULL, stdout=log,
                                               stderr=log, env=environment)
        until("the daemon answers", lambda: list(self.folder.glob("run/**/*.sock")) and self.surefoot("status").returncode == 0)

    def stop(self, how=signal.SIGTERM):
        if self.daemon_process:
            self.daemon_process.send_signal(how)
            self.daemon_process.wait(60)
            self.daemon_process = None

    def volume(self, app="shop", name="data"):
        return self.folder / "apps" / app / "volumes" / name

    def rows(self):
        """What the database has, as a checksum."""
        path = self.volume() / "rows"
        return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else None

    def inits(self):
        """The releases whose run-once service has run, one after the other."""
        path = self.volume() / "inits"
        return path.read_text().split() if path.exists() else []


def get(path="/", port=PORT, seconds=2):
    """What the web answers, or None."""
    try:
        with socket.create_connection(("127.0.0.1", port), seconds) as connection:
            connection.settimeout(seconds)
            connection.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            data = b""
            while chunk := connection.recv(65536):
                data += chunk
    except OSError:
        return None
    head, _, body = data.partition(b"\r\n\r\n")
    return body.decode(errors="replace").strip() if b" 200 " in head.split(b"\r\n")[0] else None


class Client(threading.Thread):
    """Asks the web every 50 ms, and remembers when it answered what."""

    def __init__(self, port=PORT):
        super().__init__(daemon=True)
        self.port, self.seen, self.ends = port, [], threading.Event()
        self.start()

    def run(self):
        next_at = time.monotonic()
        while not self.ends.is_set():
            asked = time.monotonic()
            self.seen.append((asked, get(port=self.port)))
            next_at = max(next_at + 0.05, time.monotonic())
            self.ends.wait(max(0.0, next_at - time.monotonic()))

    def end(self):
        self.ends.set()
        self.join()
        return self

    def answers(self):
        """Each different answer once, in the order in which they came."""
        said = []
        for _, text in self.seen:
            if text is not None and (not said or said[-1] != text):
                said.append(text)
        return said

    def downtime(self):
        """The longest time between two answers, in seconds."""
        at = [when for when, text in self.seen if text is not None]
        return max((b - a for a, b in zip(at, at[1:])), default=0.0)

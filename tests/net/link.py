#!/usr/bin/env python3
"""A bad link in a process: what comes at one address is passed on to another one, late, slowly, and not for long.

    tests/net/link.py --listen HOST:PORT --to HOST:PORT [--delay MS] [--rate BYTES] [--cut BYTES] [--refuse N] [--flap UP:DOWN] [--link DEVICE]

--delay   each byte arrives so much later, in both directions
--rate    bytes a second towards the one that has connected, over all connections; without it as fast as the kernel passes them
--cut     a connection is reset once about so many bytes have gone that way
--refuse  each Nth connection is reset at once
--flap    after UP seconds the link is down for DOWN seconds, again and again: the network device --link, or without one the proxy itself
          stands still and resets who comes

The first line on standard output is the address on which it listens. At SIGTERM the last line is a JSON object: connections,
resets, flaps, and the bytes that were passed towards those that have connected. Only Python's own library is needed.
"""
import argparse
import collections
import json
import random
import signal
import socket
import struct
import subprocess
import threading
import time

BLOCK = 2048
# So many bytes wait in the proxy; more would only be lost with a cut.
ROOM = 64 * 1024


class Link:
    def __init__(self, asked):
        self.asked, self.lock = asked, threading.Lock()
        self.connections = self.resets = self.flaps = self.passed = 0
        self.up = threading.Event()
        self.up.set()
        self.free = time.monotonic()

    def paced(self, size):
        """Waits until these bytes may go: the rate is that of the whole link."""
        self.up.wait()
        if self.asked.rate:
            with self.lock:
                self.free = max(self.free, time.monotonic()) + size / self.asked.rate
                pause = self.free - time.monotonic()
            time.sleep(max(0, pause))

    def counted(self, name, number=1):
        with self.lock:
            setattr(self, name, getattr(self, name) + number)

    def flap(self):
        up, down = map(float, self.asked.flap.split(":"))
        while True:
            time.sleep(up)
            self.counted("flaps")
            self.switch(False)
            time.sleep(down)
            self.switch(True)

    def switch(self, up):
        if self.asked.link:
            subprocess.run(["ip", "link", "set", self.asked.link, "up" if up else "down"], check=True)
        else:
            (self.up.set if up else self.up.clear)()

    def serve(self, listener):
        for number in range(1, 1 << 30):
            try:
                self.take(number, listener.accept()[0])
            except OSError:
                # The one who called is gone already, or the server is: the next one may fare better.
                self.counted("resets")

    def take(self, number, near):
        self.counted("connections")
        if self.asked.refuse and number % self.asked.refuse == 0 or not self.up.is_set():
            self.counted("resets")
            reset(near)
            return
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * 1024)
        far = socket.create_connection(place(self.asked.to))
        cut = self.asked.cut and int(self.asked.cut * random.uniform(0.5, 1.5))
        for one in (Way(self, near, far, None, None), Way(self, far, near, cut, self.paced)):
            one.start()


class Way:
    """One direction of one connection."""

    def __init__(self, link, source, target, cut, paced):
        self.link, self.source, self.target, self.cut, self.paced = link, source, target, cut, paced
        self.queue, self.changed, self.waiting = collections.deque(), threading.Condition(), 0

    def start(self):
        for act in (self.read, self.write):
            threading.Thread(target=act, daemon=True).start()

    def put(self, block):
        with self.changed:
            self.changed.wait_for(lambda: self.waiting < ROOM)
            self.queue.append((time.monotonic() + self.link.asked.delay / 1000, block))
            self.waiting += len(block)
            self.changed.notify_all()

    def read(self):
        block = True
        while block:
            try:
                block = self.source.recv(BLOCK)
            except OSError:
                block = b""
            self.put(block)

    def write(self):
        gone = 0
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.queue)
                due, block = self.queue.popleft()
                self.waiting -= len(block)
                self.changed.notify_all()
            time.sleep(max(0, due - time.monotonic()))
            try:
                if not block:
                    self.target.shutdown(socket.SHUT_WR)
                    return
                if self.paced:
                    self.paced(len(block))
                self.target.sendall(block)
            except OSError:
                self.drop()
                return
            gone += len(block)
            if self.paced:
                self.link.counted("passed", len(block))
            if self.cut and gone >= self.cut:
                self.link.counted("resets")
                self.drop()
                return

    def drop(self):
        reset(self.target)
        reset(self.source)
        with self.changed:
            # The one that reads ends by its socket.
            self.waiting = -1 << 40


def reset(line):
    """Closes it the hard way: what is under way is lost."""
    try:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # A thread that reads from it wakes up.
        line.shutdown(socket.SHUT_RD)
    except OSError:
        pass
    line.close()


def place(text):
    host, port = text.rsplit(":", 1)
    return host, int(port)


def main():
    arguments = argparse.ArgumentParser(usage=__doc__)
    arguments.add_argument("--listen", required=True)
    arguments.add_argument("--to", required=True)
    arguments.add_argument("--delay", type=int, default=0)
    arguments.add_argument("--rate", type=int)
    arguments.add_argument("--cut", type=int)
    arguments.add_argument("--refuse", type=int)
    arguments.add_argument("--flap")
    arguments.add_argument("--link")
    asked = arguments.parse_args()
    link = Link(asked)
    listener = socket.create_server(place(asked.listen))
    print("%s:%d" % listener.getsockname()[:2], flush=True)
    # So that the signal wakes this thread and no other.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    threading.Thread(target=link.serve, args=(listener,), daemon=True).start()
    if asked.flap:
        threading.Thread(target=link.flap, daemon=True).start()
    signal.sigwait([signal.SIGTERM])
    print(json.dumps({name: getattr(link, name) for name in ("connections", "resets", "flaps", "passed")}), flush=True)


if __name__ == "__main__":
    main()

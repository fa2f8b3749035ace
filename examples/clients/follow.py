#!/usr/bin/env python3
"""follow.py [SOCKET]: prints where the device stands, then every event on a line. The standard library alone.

    follow.py /run/surefoot/status.sock

Comes again when the daemon was restarted, and says what it has seen already.
"""
import http.client
import json
import socket
import sys
import time


class Surefoot(http.client.HTTPConnection):
    """HTTP over the Unix socket of the daemon."""

    def __init__(self, path):
        super().__init__("localhost")
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)

    def ask(self, target, method="GET"):
        """The answer, to be read as lines; an exception says why there is none."""
        self.request(method, target)
        answer = self.getresponse()
        if answer.status != 200:
            error = json.load(answer)["error"]
            raise RuntimeError(f"{error['code']}: {error['detail']}")
        return answer


def tell(event):
    """One line for people."""
    kind = event.pop("event")
    number, _, _ = event.pop("number"), event.pop("v"), event.pop("at")
    if kind == "progress":
        if event["total"]:
            print(f"{event['phase']} {100 * event['done'] // event['total']} %", flush=True)
    else:
        print(f"{number} {kind}", *(f"{k}={v}" for k, v in event.items()), flush=True)


def main():
    if sys.argv[1:2] in (["-h"], ["--help"]):
        print(__doc__.strip())
        sys.exit()
    path = sys.argv[1] if len(sys.argv) > 1 else "/run/surefoot/status.sock"
    seen, told = 0, False
    while True:
        try:
            if not told:
                print(json.load(Surefoot(path).ask("/v1/status"))["summary"], flush=True)
                told = True
            for line in Surefoot(path).ask(f"/v1/events?after={seen}&follow=1"):
                event = json.loads(line)
                # Progress is not kept, and its number may be given again after a restart.
                seen = event["number"]
                tell(event)
        except (OSError, http.client.HTTPException, RuntimeError) as error:
            print(f"follow: {error}", file=sys.stderr, flush=True)
        time.sleep(2)


if __name__ == "__main__":
    main()

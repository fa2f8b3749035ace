"""Part of `without-libc`: the servers, and the device in a root without any library. Runs in a network of its own.

Named `updates.lab.example` the web server has three addresses, of which the first two answer nobody; the answer of the name
server is cut off over UDP, so that it is asked for over TCP."""

import http.server, os, socket, struct, subprocess, sys, threading

work = sys.argv[1]
for command in (
    "ip link set lo up", "ip addr add 203.0.113.7/32 dev lo", "ip addr add 10.9.9.9/32 dev lo",
    f"mount -t proc proc {work}/root/proc", f"mount --bind /dev/null {work}/root/dev/null",
):
    subprocess.run(command.split(), check=True)

A = {
    "updates.lab.example": ["203.0.113.8", "127.0.0.9", "203.0.113.7"],
    "inner.lab.example": ["10.9.9.9"],
}
asked = []


def answer(packet, tcp):
    labels, at = [], 12
    while packet[at]:
        labels.append(packet[at + 1:at + 1 + packet[at]].decode().lower())
        at += 1 + packet[at]
    name, kind = ".".join(labels), struct.unpack(">H", packet[at + 1:at + 3])[0]
    question = packet[12:at + 5]
    asked.append((name, kind, tcp))
    found = A.get(name, []) if kind == 1 else []
    code = 0 if name in A else 3
    cut = bool(found) and not tcp
    records = b"" if cut else b"".join(
        b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + socket.inet_aton(address) for address in found)
    flags = 0x8180 | code | (0x0200 if cut else 0)
    return packet[:2] + struct.pack(">HHHHH", flags, 1, 0 if cut else len(found), 0, 0) + question + records


def over_udp(server):
    while True:
        packet, sender = server.recvfrom(512)
        server.sendto(answer(packet, False), sender)


def over_tcp(server):
    while True:
        line, _ = server.accept()
        size = struct.unpack(">H", line.recv(2, socket.MSG_WAITALL))[0]
        reply = answer(line.recv(size, socket.MSG_WAITALL), True)
        line.sendall(struct.pack(">H", len(reply)) + reply)
        line.close()


for kind, serve in ((socket.SOCK_DGRAM, over_udp), (socket.SOCK_STREAM, over_tcp)):
    server = socket.socket(socket.AF_INET, kind)
    server.bind(("127.0.0.53", 53))
    if kind == socket.SOCK_STREAM:
        server.listen()
    threading.Thread(target=serve, args=(server,), daemon=True).start()


class Files(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        if self.path.startswith("/inwards"):
            self.send_response(302)
            self.send_header("Location", "https://inner.lab.example/u.surefoot")
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            super().do_GET()

    def log_message(self, *_):
        pass


os.chdir(f"{work}/served")
web = http.server.ThreadingHTTPServer(("203.0.113.7", 80), Files)
threading.Thread(target=web.serve_forever, daemon=True).start()


def device(*words):
    command = ["chroot", f"{work}/root", "/surefoot", "--config", "/DEV/surefoot.toml", *words]
    done = subprocess.run(command, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


passed = failed = 0


def check(name, good, said):
    global passed, failed
    passed, failed = passed + good, failed + (not good)
    print(f"{name}: {'ok' if good else 'FAILED'}" + ("" if good else f"\n{said}\nasked: {asked}"))


code, said = device("install", "http://updates/u.surefoot", "--dry-run")
check("a name is found by its search domain, over UDP and then TCP, and every address is tried",
      code == 0 and ("updates.nowhere.example", 1, False) in asked and ("updates.lab.example", 1, True) in asked
      and ("updates.lab.example", 28, False) in asked, (code, said))
code, said = device("install", "http://updates.lab.example/inwards")
check("a redirect from a public address never leads to a private one", code == 69 and "REDIRECT_REFUSED" in said, (code, said))
code, said = device("install", "http://unknown.lab.example/u.surefoot")
check("a name that does not exist ends it at once", code == 69 and "NAME_UNKNOWN" in said, (code, said))
code, said = device("install", "http://updates.lab.example/u.surefoot")
check("a release is fetched by name and armed", code == 0 and "armed" in said, (code, said))
print(f"{passed} passed, {failed} failed")
sys.exit(1 if failed else 0)

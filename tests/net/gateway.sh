#!/bin/bash
# gateway.sh PROGRAM: what the fetcher says of a source that cannot be reached, in a network namespace of its own (unshare -n) whose
# default gateway refuses, then drops what it gets, then is gone. One line of JSON each.
set -euo pipefail
ip link set lo up
unshare -n sleep 300 & peer=$!
trap 'kill $peer' EXIT
until [ "$(readlink "/proc/$peer/ns/net")" != "$(readlink /proc/$$/ns/net)" ]; do sleep 0.1; done
ip link add near type veth peer name far netns $peer
gateway() { nsenter -n -t $peer ip "$@"; }
ip addr add 10.9.0.2/24 dev near
gateway addr add 10.9.0.1/24 dev far
ip link set near up
gateway link set far up
ip route add default via 10.9.0.1
# A new link carries nothing for a while, for longer under load.
until [[ $( (exec 3<>/dev/tcp/10.9.0.1/53) 2>&1) == *refused* ]]; do sleep 0.2; done
ask() {
    ip neigh flush dev near
    python3 - "$1" <<'PYTHON'
import json, socket, subprocess, sys
near, far = socket.socketpair()
child = subprocess.Popen([sys.argv[1], "fetch"], stdin=far, stdout=far)
far.close()
# An address to which nothing is ever sent.
reach = {"reach": {"witnesses": [], "again": True}}
near.sendall(json.dumps({"url": "http://255.255.255.255/", "want": reach, "net": {}}).encode() + b"\n")
said = b"".join(iter(lambda: near.recv(65536), b""))
print(said[said.index(b'{"source"'):said.rindex(b"}") + 1].decode())
PYTHON
}
ask "$1"
# It gets what is sent, and has no way back.
gateway route add blackhole 10.9.0.2/32
ask "$1"
gateway link set far arp off
ask "$1"

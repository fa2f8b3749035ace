# Part of `bad-link` and `demo`: a web server at the far end of a bad link, in two network namespaces where they can be made.
# shellcheck shell=bash
#
# link_up FOLDER LOG RATE OPTIONS...   serves FOLDER at $link_url; RATE in bytes a second, the options are link.py's
# near COMMAND...                      runs a command at this end of the link
# link_down                            ends all of it; LOG has the web server's lines (bytes of the body, status), LOG.link what the link has done
#
# With namespaces the rate is a token bucket of the kernel's (tbf), whose short queue loses packets, and flaps take the network
# device down. Without them ($link_plain says why) the proxy plays both on the loopback.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
link_near='' link_far='' link_pids=() link_plain='' link_url=''

near() { if [ -n "$link_near" ]; then ip netns exec "$link_near" "$@"; else "$@"; fi; }
# For what goes on in the background: the process is the one whose id the caller has.
far_stays() { if [ -n "$link_far" ]; then exec ip netns exec "$link_far" "$@"; else exec "$@"; fi; }
far() { if [ -n "$link_far" ]; then ip netns exec "$link_far" "$@"; else "$@"; fi; }

# link_spaces RATE: both namespaces and the wire between them, or nothing and why.
link_spaces() {
    [ "$(id -u)" = 0 ] || { link_plain="not root, so no network of its own can be made"; return; }
    link_near=surefoot-near-$$ link_far=surefoot-far-$$
    if ! { ip netns add "$link_near" && ip netns add "$link_far" &&
        ip -n "$link_near" link add sf-near type veth peer name sf-far netns "$link_far" &&
        ip -n "$link_near" addr add 192.0.2.2/24 dev sf-near && ip -n "$link_far" addr add 192.0.2.1/24 dev sf-far &&
        ip -n "$link_near" link set sf-near up && ip -n "$link_far" link set sf-far up &&
        ip -n "$link_near" link set lo up && ip -n "$link_far" link set lo up &&
        ip netns exec "$link_far" tc qdisc add dev sf-far root tbf rate "$(($1 * 8))bit" burst 4kb limit 12kb; } >/dev/null 2>&1; then
        ip netns del "$link_near" 2>/dev/null || true
        ip netns del "$link_far" 2>/dev/null || true
        link_near='' link_far='' link_plain="no network of its own can be made here"
    fi
}

link_up() {
    local folder=$1 log=$2 rate=$3 port options=("${@:4}") address
    [ -n "$link_far$link_plain" ] || link_spaces "$rate"
    port=$(far python3 -c 'import socket; print(socket.create_server(("127.0.0.1", 0)).getsockname()[1])')
    : >"$log"
    {
        echo "daemon off; master_process off; pid $log.pid; error_log $log.error; events {}"
        [ "$(id -u)" != 0 ] || echo "user root;"
        echo "http { log_format bytes '\$body_bytes_sent \$status \$request_uri'; access_log $log bytes;"
        for way in client_body proxy fastcgi uwsgi scgi; do echo "${way}_temp_path $log.$way;"; done
        echo "server { listen 127.0.0.1:$port; root $folder; } }"
    } >"$log.conf"
    far_stays nginx -c "$log.conf" 2>/dev/null &
    link_pids+=($!)
    far python3 - "$port" <<'PYTHON'
import socket, sys, time
for _ in range(3000):
    with socket.socket() as line:
        if line.connect_ex(("127.0.0.1", int(sys.argv[1]))) == 0:
            sys.exit()
    time.sleep(0.02)
sys.exit("nginx does not listen")
PYTHON
    if [ -n "$link_far" ]; then options+=(--listen 192.0.2.1:80 --link sf-far); else options+=(--listen 127.0.0.1:0 --rate "$rate"); fi
    far_stays python3 "$here/link.py" --to "127.0.0.1:$port" "${options[@]}" >"$log.link" &
    link_pids+=($!)
    until [ -s "$log.link" ]; do kill -0 $!; sleep 0.02; done
    read -r address <"$log.link"
    link_url=http://${address%:80}
}

# link_still: ends the link and its server; the namespaces stay for the next one.
link_still() {
    local pid
    for pid in "${link_pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${link_pids[@]}"; do wait "$pid" 2>/dev/null || true; done
    link_pids=()
    # A flap may have been under way.
    [ -z "$link_far" ] || ip -n "$link_far" link set sf-far up
}

link_down() {
    link_still
    [ -z "$link_near" ] || ip netns del "$link_near"
    [ -z "$link_far" ] || ip netns del "$link_far"
    link_near='' link_far=''
}

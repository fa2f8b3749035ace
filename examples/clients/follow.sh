#!/bin/sh
# follow.sh [SOCKET]: prints where the device stands, then every event as a JSON line. Needs curl alone.
# Comes again when the daemon was restarted, and says what it has seen already.
#
#   follow.sh /run/surefoot/status.sock
case ${1-} in -h | --help) sed -n '2,5s/^# \{0,1\}//p' "$0"; exit;; esac
socket=${1:-/run/surefoot/status.sock}
seen=$(mktemp) || exit
trap 'rm -f "$seen"' EXIT
trap 'exit 1' HUP INT TERM
echo 0 >"$seen"

ask() {
    curl --silent --show-error --fail-with-body --no-buffer --unix-socket "$socket" "http://localhost$1"
}

until status=$(ask /v1/status); do
    echo "$status" >&2
    sleep 2
done
printf '%s\n' "$status" | sed 's/.*"summary":"\(\([^"\\]\|\\.\)*\)".*/\1/'

while :; do
    ask "/v1/events?follow=1&after=$(cat "$seen")" | while read -r line; do
        printf '%s\n' "$line"
        number=${line#*\"number\":}
        echo "${number%%[!0-9]*}" >"$seen"
    done
    sleep 2
done

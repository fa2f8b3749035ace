# Part of ./demo: what --network shows. It is read into that script, with its functions, its systems and its folder.
# shellcheck shell=bash
# shellcheck source=tests/net/link.sh
source "$top/tests/net/link.sh"
trap 'link_down; [ -n "$keep" ] && echo "kept: $folder" || rm -rf "$folder"' EXIT
rate=32000
# over FILE COMMAND...: runs a command of the device, at this end of the link; what it prints goes into the file. Sets `took`.
over() {
    local out=$1 begun=${EPOCHREALTIME/[.,]/}; shift
    printf '%s$ %s >%s%s\n' "$dim" "$*" "$out" "$plain"
    near "$@" >"$out" || { cat "$out"; echo "demo: that should not have failed" >&2; exit 1; }
    took=$(((${EPOCHREALTIME/[.,]/} - begun) / 1000000))
}
# fetched FILE VIA: the bytes that came, as the command's last document says; they must have come that way.
fetched() {
    python3 - "$@" <<'PYTHON'
import json, sys
text, decoder = open(sys.argv[1]).read().strip(), json.JSONDecoder()
while text:
    last, end = decoder.raw_decode(text)
    text = text[end:].strip()
assert last["via"] == sys.argv[2], last
print(last["fetched"])
PYTHON
}
build() {
    run surefoot-forge build --rootfs "$1" --product demo --compatible demo-board --version "$2" --level 3 --key KEYS/release.key -o "$3"
}

chapter "1. Two releases of a device, and the delta between them"
tell "A Debian with an application of some thousand functions. The second release has one function more: it is compiled anew, and nearly all of its code moves."
python3 - <<'PYTHON'
import random
def source(name, functions):
    with open(name, "w") as out:
        out.write("#include <stdio.h>\n")
        for n in functions:
            made = random.Random(n)
            out.write(f'int f{n}(int x) {{ for (int i = {n % 9}; i < x; i++) x = x * {made.randrange(1, 1 << 30)} ^ i * {made.randrange(1, 1 << 30)};'
                      f' if (x > {made.randrange(1 << 20)}) puts("step {n} needs {made.randrange(1 << 60):x}"); return x; }}\n')
        out.write("int main(int n, char **v) { (void)v; int x = n;\n" + "".join(f"x += f{n}(x);\n" for n in functions) + "return x & 1; }\n")
source("app1.c", range(1, 6000))
source("app2.c", range(0, 6000))
PYTHON
for version in 1 2; do
    gcc -O1 -s -o app$version app$version.c &
done
wait
for version in 1 2; do
    cp --sparse=always "$images/v$version.ext4" "with-app$version.ext4"
    printf 'write app%s /usr/local/bin/app\nsif /usr/local/bin/app mode 0100755\n' $version | debugfs -w -f - "with-app$version.ext4" >/dev/null 2>&1
    [ "$(debugfs -R 'cat /usr/local/bin/app' "with-app$version.ext4" 2>/dev/null | sha256sum)" = "$(sha256sum <app$version)" ]
done
run surefoot-forge keygen --out KEYS
mkdir -p www/deltas
build with-app1.ext4 1.0.0 www/demo-1.surefoot
build with-app2.ext4 2.0.0 www/demo-2.surefoot
run surefoot-forge delta --from www/demo-1.surefoot --to www/demo-2.surefoot --key KEYS/release.key -o www/deltas/demo-2.from-1.0.0.delta.surefoot

tell "It lies in a folder of its own here: beside the artifact a device would find it by its name, and take it by itself."

chapter "2. A device that runs the first one"
run surefoot-sim new dev --rootfs with-app1.ext4 --trust KEYS/trust.toml --slot-size 400M
export SUREFOOT_CONFIG=$folder/dev/surefoot.toml
expect 0 surefoot install www/demo-1.surefoot
show '^slot b' surefoot-sim reboot dev
expect 0 surefoot commit
tell "A connection that has died without a word is given up after five seconds here; a minute is usual:"
printf '\n[source]\nstall = "5s"\n' | tee -a "$SUREFOOT_CONFIG"
cp -a --sparse=always dev kept

chapter "3. A bad link"
link_up "$folder/www" "$folder/log" $rate --delay 150 --cut 60000 --refuse 5 --flap 4:1
if [ -n "$link_plain" ]; then
    tell "A web server on the loopback, behind a process that plays the link ($link_plain): 256 kbit/s, a round trip of 300 ms; connections are reset after some 60 kB, each fifth one at once, and for one second in five nothing comes."
else
    tell "A web server and the device in two network namespaces. The wire between them has 256 kbit/s and a round trip of 300 ms, loses what its short queue cannot hold, and is down for one second in five; connections are reset after some 60 kB, each fifth one at once."
fi
tell "Nothing runs on the server but nginx with a folder. What would have to come is told before anything is changed:"
over plan.txt surefoot install "$link_url/demo-2.surefoot" --dry-run
cat plan.txt

chapter "4. The same artifact, and only what this device has not"
over adaptive.json surefoot install "$link_url/demo-2.surefoot" --wait --json
adaptive=$(fetched adaptive.json adaptive) adaptive_took=$took
link_still
show '^slot a \(trial' surefoot-sim reboot dev
expect 0 surefoot commit
show 'Running 2.0.0' surefoot status
show 'exactly 2.0.0' surefoot verify a
tell "The link has done this meanwhile: $(tail -n 1 log.link)"

chapter "5. The same device once more, with the delta"
rm -rf dev && mv kept dev
link_up "$folder/www" "$folder/log" $rate --delay 150 --cut 60000 --refuse 5 --flap 4:1
over delta.json surefoot install "$link_url/deltas/demo-2.from-1.0.0.delta.surefoot" --wait --json
delta=$(fetched delta.json delta) delta_took=$took
link_still
show '^slot a \(trial' surefoot-sim reboot dev
expect 0 surefoot commit
show 'exactly 2.0.0' surefoot verify a

chapter "6. What was saved"
whole=$(stat -c %s www/demo-2.surefoot)
row() { printf '  %-38s %12s bytes %7s %%   %s\n' "$1" "$2" "$(python3 -c "print(f'{100 * $2 / $whole:.2f}')")" "$3"; }
row "all of the artifact" "$whole" "$((whole / rate / 60)) min at this rate without any loss (calculated)"
row "ranges of the artifact (adaptive)" "$adaptive" "$adaptive_took s, measured"
row "delta" "$delta" "$delta_took s, measured"

chapter "Done in $((SECONDS - started)) s"
tell "Where to go next: docs/network.md, docs/adaptive.md and docs/channel.md; './demo' for bad releases and pulled plugs."

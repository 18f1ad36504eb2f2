#!/bin/sh
# Runs every fuzz target of the module for $FUZZTIME, as many at once as there are
# cores, one worker each. Exits 1 when one fails and prints its output. All packages are
# built at once, and all of it gives way to what else runs on the machine.
set -eu
GO=${GO:-go}
FUZZTIME=${FUZZTIME:-30s}
FUZZCACHE=$($GO env GOCACHE)/fuzz
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export FUZZTIME FUZZCACHE dir
renice -n 10 -p $$ >/dev/null 2>&1 || true

grep -rl --include='*_test.go' '^func Fuzz' . | sort | while read -r file; do
    pkg=$(dirname "${file#./}")
    sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$file" | while read -r name; do
        echo "$pkg $name"
    done
done >"$dir/targets"
test -s "$dir/targets" || { echo "fuzz: no targets found" >&2; exit 1; }
# Not by -fuzz, which instruments the standard library and all dependencies as well, a
# few minutes of work, and takes one package at a time.
module=$(sed -n 's/^module //p' go.mod)
$GO test -c -vet=off -ldflags '-s -w' -o "$dir/" \
    -gcflags "$module/...=-d=libfuzzer" -gcflags 'github.com/vmihailenco/msgpack/...=-d=libfuzzer' \
    -gcflags 'go.yaml.in/yaml/...=-d=libfuzzer' \
    $(cut -d' ' -f1 "$dir/targets" | sort -u | sed 's,^,./,')
echo "fuzz: $(wc -l <"$dir/targets") targets, $FUZZTIME each"

# one PACKAGE TARGET: fuzzes one target. What the target did wrong is in its seeds, or is
# an input that was written down. Else it was Go's engine that failed: it takes the end
# of the time for an error where a worker answers late (golang.org/issue/75804), and a
# worker may be killed for want of memory. The former is the end, the latter tried again.
cat >"$dir/one" <<'ONE'
pkg=$1 name=$2 log=$dir/$(echo "$1" | tr / _).$2.log
module=$(sed -n 's/^module //p' go.mod)
fuzz() {
    (cd "$pkg" && "$dir/$(basename "$pkg").test" -test.run '^$' -test.fuzz "^$name\$" -test.fuzztime "$FUZZTIME" \
        -test.parallel 1 -test.fuzzcachedir "$FUZZCACHE/$module/$pkg") >"$log" 2>&1
}
ours() { grep -qE 'Failing input written|failure while testing seed corpus|panic:|DATA RACE' "$log"; }
late() { grep -qx ' *context deadline exceeded' "$log" && ! grep -qE '_test\.go:[0-9]+:|hung or terminated' "$log"; }
for try in first second; do
    if fuzz; then
        echo "ok    ./$pkg $name: $(grep -o 'execs: [0-9]*' "$log" | tail -1)"
        exit 0
    elif ours; then
        break
    elif late; then
        echo "ok    ./$pkg $name: $(grep -o 'execs: [0-9]*' "$log" | tail -1); a worker was late at the end"
        exit 0
    fi
    [ "$try" = second ] || { echo "again ./$pkg $name: it failed, and no input did"; tail -5 "$log"; }
done
echo "FAIL  ./$pkg $name"
cat "$log"
exit 1
ONE
xargs -P "$(getconf _NPROCESSORS_ONLN)" -L 1 sh "$dir/one" <"$dir/targets"

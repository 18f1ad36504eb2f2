#!/bin/sh
# Runs every fuzz target of the module for $FUZZTIME, as many at once as there
# are cores, one worker each. Exits 1 when one fails and prints its output.
set -eu
GO=${GO:-go}
FUZZTIME=${FUZZTIME:-30s}
export GO FUZZTIME
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export dir

git ls-files '*_test.go' | xargs grep -l '^func Fuzz' | while read -r file; do
    pkg=./$(dirname "$file")
    sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$file" | while read -r name; do
        echo "$pkg $name"
    done
done >"$dir/targets"
test -s "$dir/targets" || { echo "fuzz: no targets found" >&2; exit 1; }
echo "fuzz: $(wc -l <"$dir/targets") targets, $FUZZTIME each"

xargs -P "$(getconf _NPROCESSORS_ONLN)" -L 1 sh -c '
    if $GO test -run "^$" -fuzz "^$2\$" -fuzztime "$FUZZTIME" -fuzzminimizetime 100x -parallel 1 "$1" >"$dir/$2.log" 2>&1; then
        echo "ok    $1 $2: $(grep -o "execs: [0-9]*" "$dir/$2.log" | tail -1)"
    else
        echo "FAIL  $1 $2"; cat "$dir/$2.log"; exit 1
    fi' fuzz <"$dir/targets"

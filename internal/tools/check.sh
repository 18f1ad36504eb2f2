#!/bin/sh
# Runs the stages of `make check` one after the other, and says at the end how long each
# took, and which ten tests took longest. MAKE, GO and TOOLS are the Makefile's.
set -eu
dir=$(mktemp -d)
finish() {
    status=$?
    echo
    cat "$dir/stages" 2>/dev/null || true
    if test -s "$dir/tests.json"; then
        echo "slowest tests:"
        $TOOLS gotestsum tool slowest --num 10 --jsonfile "$dir/tests.json" || true
    fi
    rm -rf "$dir"
    test $status = 0 && echo "make check: all passed" || echo "make check: failed"
    exit $status
}
trap finish EXIT
trap 'exit 130' INT TERM

# stage NAME COMMAND...: runs one and notes its time, also where it fails.
stage() {
    name=$1 began=$(date +%s) status=0
    shift
    echo "== $name"
    "$@" || status=$?
    printf '%-20s %4d s\n' "$name" $(($(date +%s) - began)) >>"$dir/stages"
    return $status
}

# What lint has vetted need not be vetted again by each go test. The slow packages mostly
# wait, for disks and clocks: one more of them than there are cores goes at once.
atonce="-p $(($(getconf _NPROCESSORS_ONLN) + 1))"
gotest="$TOOLS gotestsum --format pkgname --format-hide-empty-pkg --hide-summary skipped --jsonfile $dir/tests.json --"
stage lint $MAKE lint
stage test $MAKE test GOTEST="$gotest -vet=off $atonce"
stage "fuzz, soak" $MAKE -j2 --output-sync=target fuzz soak-short
stage race $MAKE race GOTEST="$GO test -vet=off $atonce"

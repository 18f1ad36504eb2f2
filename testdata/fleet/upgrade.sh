#!/bin/sh
# Upgrades the fleet on this machine, with three agents in one process: nothing is
# touched but the directory DIR. A second call changes nothing; after editing a file
# below files, the jobs that depend on it run, and only they.
#
#     testdata/fleet/upgrade.sh DIR [OPTION...]     options are those of quorate orchestrate
#
# quorate has to be in PATH, and python3, which serves the mirror.
set -eu
dir=${1:?usage: upgrade.sh DIR [OPTION...]}
shift
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$dir"
python3 -u -m http.server --bind 127.0.0.1 --directory "$here/files" 0 > "$dir/mirror.log" 2>&1 &
mirror=$!
trap 'kill $mirror' EXIT
until port=$(sed -n 's/.* port \([0-9]*\) .*/\1/p' "$dir/mirror.log") && [ -n "$port" ]; do
    kill -0 $mirror
    sleep 0.1
done
PATH="$here/tools:$PATH" quorate orchestrate --embedded --yes --data-dir "$dir/fleet" \
    --var "mirror=http://127.0.0.1:$port" "$@" "$here/upgrade.yaml"

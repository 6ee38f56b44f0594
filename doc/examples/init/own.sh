#!/bin/sh
# own.sh SET DIRECTORY: an instance of cairn-init for the user who calls it, with what it keeps below DIRECTORY.
set -eu
mkdir -p -m 0700 "$2" "$2/run"
sed "s,HOME,$2,g" "$1" >"$2/set"
exec cairn-init --run-dir "$2/run" "$2/set"

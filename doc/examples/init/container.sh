#!/bin/sh
# container.sh ROOT SET: cairn-init as PID 1 of ROOT, with process numbers and mounts of its own; it ends with this script.
set -eu
[ "$(id -u)" = 0 ] || user=--map-root-user
exec unshare ${user:-} --pid --fork --kill-child --mount-proc="$1/proc" chroot "$1" /cairn-init "$2"

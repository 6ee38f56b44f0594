-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- The services that open mapped devices which the machine starts without, and close them at shutdown. Those that asked for a
-- passphrase were opened by stage 1; their services only know, and close.

local mapped_devices = require "system.mapped_devices"
local tools = require "system.tools"

local M = {}

local LUKS = [[
#!@busybox@ sh
b=@busybox@
cairn=$1 cryptsetup=$2 modules=$3 target=$4 source=$5 key=$6
shift 6
[ ! -b "/dev/mapper/$target" ] || exit 0
if [ "$key" = - ]; then
	echo "it was not opened when the machine started; 'cryptsetup open $source $target' asks for the passphrase again"
	exit 1
fi
case $source in
	[A-Z]*=*) source=$("$cairn" system find-device "$source") || exit 1;;
esac
$b modprobe -a $modules 2>/dev/null
exec "$cryptsetup" open --type luks --key-file "$key" "$@" "$source" "$target"
]]

-- All disks are waited for a while; then the array runs without those that are missing.
local RAID = [[
#!@busybox@ sh
b=@busybox@
cairn=$1 mdadm=$2 modules=$3 device=$4 uuid=$5
shift 5
[ ! -b "$device" ] || exit 0
$b modprobe -a $modules 2>/dev/null
assemble() {
	how=$1 found=
	shift
	for disk; do
		case $disk in
			[A-Z]*=*) disk=$("$cairn" system find-device --now "$disk" 2>/dev/null) || continue;;
		esac
		[ ! -b "$disk" ] || found="$found $disk"
	done
	[ "$uuid" = - ] || found="--config=partitions --uuid=$uuid"
	[ -n "$found" ] || { echo "none of its disks is there" >&2; return 1; }
	"$mdadm" --assemble "$device" $how $found
}
n=0
until assemble --no-degraded "$@" 2>/dev/null; do
	n=$((n + 1))
	[ $n -lt 10 ] || { assemble --run "$@"; exit; }
	$b sleep 1
done
]]

local LVM = [[
#!@busybox@ sh
b=@busybox@
lvm=$1 modules=$2 device=$3 volume=$4
[ ! -b "$device" ] || exit 0
$b modprobe -a $modules 2>/dev/null
n=0
until "$lvm" lvchange -ay --activationmode complete "$volume" 2>/dev/null; do
	n=$((n + 1))
	[ $n -lt 10 ] || exec "$lvm" lvchange -ay --activationmode degraded "$volume"
	$b sleep 1
done
]]

-- Words that open and close it.
local function commands(script, m)
	local cairn, modules = tools.cairn .. "/bin/cairn", table.concat(mapped_devices.modules(m), " ")
	if m.type == "luks" then
		local cryptsetup = require "packages.cryptsetup" .. "/sbin/cryptsetup"
		return { script("open-luks", LUKS), cairn, cryptsetup, modules, m.target, m.source, m.key_file or "-",
			m.allow_discards and "--allow-discards" or nil }, { cryptsetup, "close", m.target }
	elseif m.type == "raid" then
		local mdadm = require "packages.mdadm" .. "/sbin/mdadm"
		local open = { script("open-raid", RAID), cairn, mdadm, modules, mapped_devices.path(m), m.source and m.source:sub(6) or "-" }
		table.move(m.sources, 1, #m.sources, #open + 1, open)
		return open, { mdadm, "--stop", mapped_devices.path(m) }
	end
	local lvm, volume = require "packages.lvm2" .. "/sbin/lvm", m.source .. "/" .. mapped_devices.volume(m)
	return { script("open-volume", LVM), lvm, modules, mapped_devices.path(m), volume }, { lvm, "lvchange", "-an", volume }
end

-- Adds the services to out. script: makes a program of a text. mounts: names of the services of the file systems that a path is
-- on. Returns a function: names of the services that a file system, swap space or mapped device waits for.
function M.services(os, out, script, mounts)
	local _, list = mapped_devices.split(os)
	local has = {}
	for _, m in ipairs(list) do
		has[m] = true
	end
	local function names(devices)
		local found = {}
		for _, m in ipairs(devices) do
			found[#found + 1] = has[m] and "mapped@" .. m.target or nil
		end
		return found
	end
	for _, m in ipairs(list) do
		local exec, stop_exec = commands(script, m)
		local requires = { "activation", "devices" }
		for _, name in ipairs(names(mapped_devices.sources_of(os, m))) do
			requires[#requires + 1] = name
		end
		out[#out + 1] = {
			name = "mapped@" .. m.target, type = "oneshot", description = "mapped device " .. m.target, exec = exec, stop_exec = stop_exec,
			requires = requires, after = m.key_file and mounts(os, m.key_file) or nil, on_change = "later", start_timeout = "5min",
			stop_timeout = "1min",
		}
	end
	return function(v)
		return names(mapped_devices.under(os, v))
	end
end

return M

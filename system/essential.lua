-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- The services that every system has, made from the fields of operating_system: activation, mounts,
-- swap, kernel modules and settings, the loopback, the random seed. They are not for configurations to
-- name; services wait for the group "base" (all of it) or "file-systems".

local file_systems = require "system.file_systems"
local tools = require "system.tools"

local M = {}

M.GATE = "boot-good"

local SEED = "/var/lib/cairn/random-seed"

local function script(name, contents)
	local busybox = tools.busybox .. "/bin/busybox"
	return text(name, (contents:gsub("@busybox@", function()
		return busybox
	end)), { executable = true, busybox = busybox })
end

-- What programs expect in /dev and the kernel does not make. (The file systems below /dev are mounted
-- by PID 1 before anything runs.)
local DEVICES = [[
#!@busybox@ sh
b=@busybox@
for l in fd:/proc/self/fd stdin:/proc/self/fd/0 stdout:/proc/self/fd/1 stderr:/proc/self/fd/2; do
	[ -e "/dev/${l%%:*}" ] || $b ln -s "${l#*:}" "/dev/${l%%:*}"
done
]]

local LOOPBACK = [[
#!@busybox@ sh
@busybox@ ip addr show dev lo | @busybox@ grep -q 'inet 127.0.0.1/8' || @busybox@ ip addr add 127.0.0.1/8 dev lo
exec @busybox@ ip link set dev lo up
]]

-- The old seed goes in, a new one takes its place at once: no seed is ever used twice.
local RANDOM = [[
#!@busybox@ sh
b=@busybox@
seed=$2
umask 077
[ "$1" = stop ] || [ ! -f "$seed" ] || $b cat "$seed" >/dev/urandom
$b dd if=/dev/urandom of="$seed.new" bs=512 count=1 2>/dev/null && $b fsync "$seed.new" && $b mv "$seed.new" "$seed"
]]

local MOUNT = [[
#!@busybox@ sh
b=@busybox@
cairn=$1 check=$2 type=$3 options=$4 device=$5 where=$6
$b mountpoint -q "$where" && exit 0
case $device in
	[A-Z]*=*) device=$("$cairn" system find-device "$device") || exit 1;;
esac
[ "$check" = - ] || { "$check" -p "$device"; [ $? -lt 2 ] || exit 1; }
$b mkdir -p "$where"
exec $b mount -t "$type" -o "$options" "$device" "$where"
]]

-- On and off: the device is found as those of file systems are.
local SWAP = [[
#!@busybox@ sh
cairn=$1 what=$2 device=$3
shift 3
case $device in
	[A-Z]*=*) device=$("$cairn" system find-device "$device") || exit 1;;
esac
exec @busybox@ "$what" "$@" "$device"
]]

local KEYBOARD = [[
#!@busybox@ sh
exec @busybox@ loadkmap <"$1"
]]

-- A part of a service's name from a path or device.
local function slug(s)
	local out = s:gsub("^/", ""):gsub("[^%w._]", "-")
	return out
end

local function mounts(os, out)
	local required, wanted = {}, {}
	for _, fs in ipairs(os.file_systems) do
		if not fs.needed_for_boot then
			local name = "mount@" .. slug(fs.mount_point)
			local list = fs.may_fail and wanted or required
			local after = {}
			list[#list + 1] = name
			for _, other in ipairs(os.file_systems) do
				if not other.needed_for_boot and other ~= fs
					and fs.mount_point:sub(1, #other.mount_point + 1) == other.mount_point .. "/" then
					after[#after + 1] = "mount@" .. slug(other.mount_point)
				end
			end
			out[#out + 1] = {
				name = name, type = "oneshot", description = "file system " .. fs.mount_point,
				exec = {
					script("mount", MOUNT), tools.cairn .. "/bin/cairn", fs.check and tools.e2fsprogs .. "/sbin/e2fsck" or "-", fs.type,
					#fs.options > 0 and table.concat(fs.options, ",") or "defaults", fs.device, fs.mount_point,
				},
				stop_exec = { tools.busybox .. "/bin/busybox", "umount", fs.mount_point },
				requires = { "devices" }, after = #after > 0 and after or nil,
				on_change = "later", start_timeout = "10min",
			}
		end
	end
	for i, s in ipairs(os.swap) do
		local name = "swap@" .. i
		local program, cairn = script("swap", SWAP), tools.cairn .. "/bin/cairn"
		local exec = { program, cairn, "swapon", s.device }
		wanted[#wanted + 1] = name
		if s.priority then
			exec[#exec + 1] = "-p"
			exec[#exec + 1] = tostring(s.priority)
		end
		out[#out + 1] = {
			name = name, type = "oneshot", description = "swap space " .. s.device, exec = exec,
			stop_exec = { program, cairn, "swapoff", s.device }, start_timeout = "1min",
			requires = { "devices" }, on_change = "later",
		}
	end
	table.insert(required, 1, "devices")
	table.insert(required, 1, "activation")
	out[#out + 1] = {
		name = "file-systems", type = "group", description = "all file systems",
		requires = required, wants = #wanted > 0 and wanted or nil,
	}
end

local function sysctl(settings, out, base)
	local lines = {}
	for name, value in pairs(settings) do
		lines[#lines + 1] = name .. " = " .. tostring(value) .. "\n"
	end
	out[#out + 1] = {
		name = "sysctl", type = "oneshot", description = "kernel settings",
		exec = { tools.busybox .. "/bin/busybox", "sysctl", "-e", "-p", text("sysctl.conf", table.concat(lines)) },
		requires = { "activation" },
	}
	base[#base + 1] = "sysctl"
end

-- Terminals begin when base is up, so passwords are typed with the right one. A machine without screen
-- has nothing to load it into.
local function keyboard(name, out, base)
	if not name then
		return
	end
	out[#out + 1] = {
		name = "keyboard", type = "oneshot", description = "keyboard layout " .. name,
		exec = { script("keyboard", KEYBOARD), require("packages.keymaps") .. "/share/keymaps/" .. name .. ".bmap" },
		requires = { "devices" }, condition = { "exists:/dev/tty0" },
	}
	base[#base + 1] = "keyboard"
end

local function modules(names, out, base)
	if #names == 0 then
		return
	end
	local exec = { tools.busybox .. "/bin/busybox", "modprobe", "-a" }
	for _, name in ipairs(names) do
		exec[#exec + 1] = name
	end
	out[#out + 1] = {
		name = "kernel-modules", type = "oneshot", description = "kernel modules", exec = exec,
		requires = { "activation" },
	}
	base[#base + 1] = "kernel-modules"
end

-- The last of a boot: what the machine must have is up, so the boot loader may rely on this generation.
local function gate(os, all, out)
	local needed = os.health_gate.services
	if not needed then
		needed = { "base" }
		for _, s in ipairs(all.init) do
			if s.name == "cairn-daemon" then
				needed[2] = s.name
			end
		end
	end
	local known = {}
	for _, list in ipairs { out, all.init } do
		for _, s in ipairs(list) do
			known[s.name] = true
		end
	end
	for _, name in ipairs(needed) do
		if not known[name] then
			schema.fail(os.health_gate, "there is no service '" .. name .. "'", "services")
		end
	end
	out[#out + 1] = {
		name = M.GATE, type = "oneshot", description = "this generation came up well",
		exec = { tools.cairn .. "/bin/cairn", "system", "mark-good" },
		requires = needed, on_change = "later",
	}
end

-- all: the fold of the configured services (their sysctl and kernel_modules count).
function M.services(os, all)
	local out, base = {}, { "loopback", "random-seed" }
	out[#out + 1] = {
		name = "activation", type = "oneshot", description = "accounts, /etc, links of this system",
		exec = { tools.cairn .. "/bin/cairn", "system", "activate", "--boot" },
		critical = true, on_change = "later", start_timeout = "10min",
	}
	out[#out + 1] = {
		name = "devices", type = "oneshot", description = "links in /dev",
		exec = { script("devices", DEVICES) }, on_change = "later", start_timeout = "10min",
	}
	out[#out + 1] = {
		name = "loopback", type = "oneshot", description = "the loopback interface",
		exec = { script("loopback", LOOPBACK) },
	}
	out[#out + 1] = {
		name = "random-seed", type = "oneshot", description = "randomness kept over reboots",
		exec = { script("random-seed", RANDOM), "start", SEED },
		stop_exec = { script("random-seed", RANDOM), "stop", SEED },
		requires = { "file-systems" }, on_change = "later",
	}
	mounts(os, out)
	-- Nobody writes there but by the build daemon or a command that does its work, which have a mount of
	-- their own. A container may not be allowed to.
	if os.read_only_store then
		out[#out + 1] = {
			name = "store", type = "oneshot", description = "the store is not written by others",
			exec = { tools.cairn .. "/bin/cairn", "store", "protect", "/gnu/store" },
			requires = { "file-systems" }, on_change = "later",
		}
		base[#base + 1] = "store"
	end
	local settings, names, seen = {}, {}, {}
	for _, map in ipairs { all.sysctl, os.sysctl } do
		for k, v in pairs(map) do
			settings[k] = v
		end
	end
	for _, list in ipairs { os.kernel_modules, all.kernel_modules } do
		for _, name in ipairs(list) do
			if not seen[name] then
				seen[name] = true
				names[#names + 1] = name
			end
		end
	end
	sysctl(settings, out, base)
	keyboard(os.keyboard, out, base)
	modules(names, out, base)
	table.sort(base)
	out[#out + 1] = {
		name = "base", type = "group", description = "what services may count on",
		requires = { "activation", "file-systems" }, wants = base,
	}
	gate(os, all, out)
	-- They make the machine what it is: mounts, modules, settings, accounts.
	for _, s in ipairs(out) do
		if s.type ~= "group" then
			s.sandbox = "none"
		end
	end
	return out
end

return M

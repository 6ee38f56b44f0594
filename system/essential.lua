-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- The services that every system has, made from the fields of operating_system: activation, mounts,
-- swap, kernel modules and settings, the loopback, the random seed, clock, directories, devices, power button. They are not for configurations to
-- name; services wait for the groups "base" (all of it), "file-systems" or "networks".

local conf = require "system.conf"
local file_systems = require "system.file_systems"
local keyboards = require "system.keyboards"
local mapped_devices = require "system.mapped_devices"
local mapping = require "system.mapping"
local module_tree = require "system.module_tree"
local tools = require "system.tools"
local tree = require "system.tree"

local M = {}

M.GATE = "boot-good"

local SEED = "/var/lib/cairn/random-seed"
local STAMP = "/var/lib/cairn/clock"

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

-- The clock is never before the day that this was written, nor before the last time that was seen. Where the kernel did not
-- read the hardware's clock (its driver is a module) that is done first.
local CLOCK = [[
#!@busybox@ sh
b=@busybox@
stamp=$2
rtc=/sys/class/rtc/rtc0
floor=1767225600
case $1 in
start)
	[ ! -e $rtc/hctosys ] || [ "$($b cat $rtc/hctosys)" = 1 ] || $b hwclock -s -u
	seen=$($b stat -c %Y "$stamp" 2>/dev/null) && [ "$seen" -gt $floor ] && floor=$seen
	now=$($b date +%s)
	if [ "$now" -lt "$floor" ]; then
		echo "the clock said $($b date -u -d "@$now" '+%Y-%m-%d %H:%M:%S'), which is in the past"
		$b date -u -s "@$floor" || exit 1
	fi ;;
stop)
	if hardware=$($b cat $rtc/since_epoch 2>/dev/null); then
		off=$(($($b date +%s) - hardware))
		[ $off -ge -2 ] && [ $off -le 2 ] || $b hwclock -w -u
	fi ;;
esac
exec $b touch "$stamp"
]]

local MOUNT = [[
#!@busybox@ sh
b=@busybox@
cairn=$1 check=$2 how=$3 type=$4 options=$5 device=$6 where=$7 make=$8
# mountpoint(1) does not see what is bound from the same file system.
while read -r _ at _; do
	case $at in *\\*) at=$(printf %b "$at");; esac
	[ "$at" != "$where" ] || exit 0
done </proc/self/mounts
case $device in
	[A-Z]*=*) device=$("$cairn" system find-device "$device") || exit 1;;
esac
[ "$check" = - ] || { "$check" $how "$device"; [ $? -lt 2 ] || exit 1; }
[ "$make" = no ] || $b mkdir -p "$where"
exec $b mount -t "$type" -o "$options" "$device" "$where"
]]

-- Below a root that is only read stage 1 mounts everything so, and checks nothing; an initramfs that is the whole system mounts
-- nothing. What is to be written to is mounted anew before activation looks into it.
local WRITABLE = [[
#!@busybox@ sh
b=@busybox@
check=$2 how=$3 type=$4 options=$5 device=$6 where=$7
case " $($b cat /proc/cmdline) " in
	*" cairn.volatile "* | *" root=initramfs "*) ;;
	*) exit 0;;
esac
if ! why=$($b umount "$where" 2>&1); then
	case $why in *[Bb]usy*) exec $b mount -o "remount,rw,$options" "$where";; esac
fi
case $device in
	[A-Z]*=*) device=$("$1" system find-device "$device") || exit 1;;
esac
[ "$check" = - ] || { "$check" $how "$device"; [ $? -lt 2 ] || options=ro,$options; }
$b mkdir -p "$where"
exec $b mount -t "$type" -o "$options" "$device" "$where"
]]

-- Services that leave together with it may be on it for a moment yet.
local UMOUNT = [[
#!@busybox@ sh
b=@busybox@ n=0
until why=$($b umount "$1" 2>&1); do
	case $why in *"Invalid argument"* | *"No such file"*) exit 0;; esac # it is not mounted
	n=$((n + 1))
	[ $n -lt 30 ] || { echo "$why" >&2; exit 1; }
	$b usleep 100000
done
]]

-- A file of its own is made anew when it has another size; where the file system cannot give it room at once, with zeros.
local SWAP_FILE = [[
#!@busybox@ sh
b=@busybox@
file=$1 size=$2
[ "$($b stat -c %F:%s "$file" 2>/dev/null)" != "regular file:$size" ] || exit 0
umask 077
$b mkdir -p "${file%/*}" && $b rm -f "$file" "$file.new" || exit 1
$b fallocate -l "$size" "$file.new" 2>/dev/null ||
	$b dd if=/dev/zero of="$file.new" bs=1048576 count=$((size / 1048576)) 2>/dev/null || exit 1
$b mkswap "$file.new" >/dev/null && $b sync "$file.new" && $b mv "$file.new" "$file"
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

-- The services of the file systems that path lies on; they are no others than those of out.
local function mounts_of(os, path)
	local out = {}
	for _, fs in ipairs(os.file_systems) do
		if fs.mount and not mapped_devices.first(os, fs) and path:sub(1, #fs.mount_point + 1) == fs.mount_point .. "/" then
			out[#out + 1] = "mount@" .. slug(fs.mount_point)
		end
	end
	return #out > 0 and out or nil
end

local function mount_names(points)
	local out = {}
	for _, point in ipairs(points) do
		out[#out + 1] = point:sub(1, 1) == "/" and "mount@" .. slug(point) or nil
	end
	return #out > 0 and out or nil
end

-- Those of the mount points that services mount.
local function needed_later(os, points)
	local out = {}
	for _, point in ipairs(points) do
		local first = false
		for _, fs in ipairs(os.file_systems) do
			first = first or fs.mount_point == point and mapped_devices.first(os, fs)
		end
		out[#out + 1] = not first and point or nil
	end
	return out
end

local function extend(list, more)
	table.move(more, 1, #more, #list + 1, list)
end

-- The service swap@i, and where its file is made one for that. mapped: of mapping.services.
local function swap(os, i, s, out, mapped)
	local program, cairn = script("swap", SWAP), tools.cairn .. "/bin/cairn"
	local exec, requires = { program, cairn, "swapon", s.device }, { "devices" }
	if s.priority then
		exec[#exec + 1] = "-p"
		exec[#exec + 1] = tostring(s.priority)
	end
	if s.size then
		requires = { "swap-file@" .. i }
		out[#out + 1] = {
			name = requires[1], type = "oneshot", description = "file for swap space " .. s.device,
			exec = { script("swap-file", SWAP_FILE), s.device, tostring(file_systems.bytes(s.size)) },
			requires = { "devices" }, wants = mounts_of(os, s.device), on_change = "later", start_timeout = "30min",
		}
	end
	if s.discard then
		exec[#exec + 1] = "-d"
	end
	extend(requires, mapped(s))
	out[#out + 1] = {
		name = "swap@" .. i, type = "oneshot", description = "swap space " .. s.device, exec = exec,
		stop_exec = { program, cairn, "swapoff", s.device }, start_timeout = "1min", stop_timeout = "1min",
		requires = requires, after = mount_names(needed_later(os, s.dependencies)), on_change = "later",
	}
end

-- Services that go before activation: of what stage 1 mounts, those that are written to. Their names; nil: there are none.
local function writable(os, out)
	local names, list = {}, {}
	for _, fs in ipairs(mapped_devices.mounted_early(os)) do
		list[#list + 1] = not file_systems.is_read_only(fs) and fs or nil
	end
	for i, fs in ipairs(list) do
		local options = file_systems.options(fs)
		out[#out + 1] = {
			name = "writable@" .. slug(fs.mount_point), type = "oneshot", description = "file system " .. fs.mount_point .. " is written to",
			exec = {
				script("writable", WRITABLE), tools.cairn .. "/bin/cairn", fs.check and tools.e2fsprogs .. "/sbin/e2fsck" or "-",
				file_systems.how_checked(fs), fs.type, #options > 0 and table.concat(options, ",") or "defaults", fs.device, fs.mount_point,
			},
			after = i > 1 and { names[i - 1] } or nil, on_change = "later", start_timeout = "10min",
		}
		names[i] = out[#out].name
	end
	return #names > 0 and names or nil
end

local function mounts(os, out)
	local required, wanted = {}, {}
	local mapped = mapping.services(os, out, script, mounts_of)
	for _, fs in ipairs(os.file_systems) do
		if fs.mount and not mapped_devices.first(os, fs) then
			local name = "mount@" .. slug(fs.mount_point)
			local list = fs.may_fail and wanted or required
			local after, options = {}, file_systems.options(fs)
			local requires = { "devices" }
			if #fs.services == 0 then
				list[#list + 1] = name
			end
			for _, service in ipairs(fs.services) do
				requires[#requires + 1] = service
			end
			extend(requires, mount_names(needed_later(os, fs.dependencies)) or {})
			extend(requires, mapped(fs))
			for _, other in ipairs(os.file_systems) do
				if other.mount and other ~= fs and not mapped_devices.first(os, other)
					and fs.mount_point:sub(1, #other.mount_point + 1) == other.mount_point .. "/" then
					after[#after + 1] = "mount@" .. slug(other.mount_point)
				end
			end
			-- What is bound, or a file that has a file system in it, may lie on another one.
			for _, other in ipairs(fs.device:find("^/") and not fs.device:find("^/dev/") and mounts_of(os, fs.device) or {}) do
				if other ~= name then
					after[#after + 1] = other
				end
			end
			out[#out + 1] = {
				name = name, type = "oneshot", description = "file system " .. fs.mount_point,
				exec = {
					script("mount", MOUNT), tools.cairn .. "/bin/cairn", fs.check and tools.e2fsprogs .. "/sbin/e2fsck" or "-",
					file_systems.how_checked(fs), fs.type,
					#options > 0 and table.concat(options, ",") or "defaults", fs.device, fs.mount_point,
					fs.create_mount_point and "yes" or "no",
				},
				stop_exec = { script("umount", UMOUNT), fs.mount_point },
				requires = requires, after = #after > 0 and after or nil,
				on_change = "later", start_timeout = "10min",
			}
		end
	end
	for i, s in ipairs(os.swap) do
		swap(os, i, s, out, mapped)
		wanted[#wanted + 1] = "swap@" .. i
	end
	-- Milestones, so that another disk in the configuration restarts nobody who requires the group.
	out[#out + 1] = {
		name = "file-systems", type = "group", description = "all file systems",
		requires = { "activation", "devices" }, milestones = #required > 0 and required or nil,
		wants = #wanted > 0 and wanted or nil,
	}
end

-- Nobody is tricked by links, pipes and files that others put into /tmp.
local SETTINGS = {
	["fs.protected_fifos"] = 1, ["fs.protected_hardlinks"] = 1, ["fs.protected_regular"] = 2, ["fs.protected_symlinks"] = 1,
}

-- A setting is kept as it was before the first generation that names it, in a file of its name below /run/cairn/sysctl; the run for one that
-- does not name it writes it back. All systems have this service, so that run is always made, and no setting falls back for a moment
-- between two that name it, as it would if a stop wrote it back.
--
-- One of each pair is 0 when the other one is set, and 0 is refused or sets that to 0; both are kept, and only what differs is written.
--
-- What the kernel does not have is passed over, since a module that comes later may bring it; but it is named.
local SYSCTL = [[
#!@busybox@ sh
b=@busybox@
sys=/proc/sys
kept=/run/cairn/sysctl
set -f
umask 077
keys=$($b cut -d ' ' -f 1 "$1")
differs() { [ "$($b cat "$sys/$1" 2>/dev/null)" != "$($b cat "$kept/$1")" ]; }
# As paths: the kernel's net.ipv4.conf.eth0/1.mtu is net/ipv4/conf/eth0.1/mtu.
named=$(for key in $keys; do
	said=$($b sysctl "$key" 2>&1)
	case $said in
	*' = '*) echo "${said%% = *}" ;;
	'') echo "$key: it cannot be read, so going back to another generation does not take it back" >&2 ;;
	esac
done | $b tr ./ /. | $b sed -n -e p -e 's/^\(vm.dirty.*\)_ratio$/\1_bytes/p;t' -e 's/^\(vm.dirty.*\)_bytes$/\1_ratio/p;t' \
	-e 's/^vm.overcommit_ratio$/vm\/overcommit_kbytes/p;t' -e 's/^vm.overcommit_kbytes$/vm\/overcommit_ratio/p')
gone=$(cd "$kept" 2>/dev/null && $b find . -type f | $b sort | while read -r k; do
	k=${k#./}
	case "
$named
" in *"
$k
"*) ;; *) echo "$k" ;; esac
done)
for k in $gone; do
	! differs "$k" || echo "$($b cat "$kept/$k")" 2>/dev/null >"$sys/$k"
done
for k in $gone; do
	if [ -e "$sys/$k" ] && differs "$k"; then
		echo "$(echo "$k" | $b tr ./ /.): the kernel does not take '$($b cat "$kept/$k")' back, so it stays '$($b cat "$sys/$k")' until the next boot" >&2
	else
		$b rm "$kept/$k"
	fi
done
for k in $named; do
	if [ -f "$sys/$k" ] && ! [ -e "$kept/$k" ]; then
		$b mkdir -p "$kept/${k%/*}" && $b cat "$sys/$k" >"$kept.new" && $b mv "$kept.new" "$kept/$k" ||
			echo "$k: its value cannot be kept, so going back to another generation does not take it back" >&2
	fi
done
$b sysctl -e -p "$1"
status=$?
$b sysctl -n $keys 2>&1 >/dev/null | $b grep 'unknown key' >&2
exit $status
]]

local function sysctl(settings, out, base)
	local lines = {}
	for name, value in pairs(settings) do
		lines[#lines + 1] = name .. " = " .. tostring(value) .. "\n"
	end
	-- A value may be a program of a package (kernel.modprobe, kernel.core_pattern).
	local file = text("sysctl.conf", table.concat(lines), { busybox = tools.busybox .. "/bin/busybox" })
	out[#out + 1] = {
		name = "sysctl", type = "oneshot", description = "kernel settings", exec = { script("sysctl", SYSCTL), file },
		requires = { "activation" },
	}
	base[#base + 1] = "sysctl"
end

-- Terminals begin when base is up, so passwords are typed with the right one. A machine without screen
-- has nothing to load it into. The initramfs may have none, or that of another generation.
local function keyboard(name, out, base)
	if not name then
		return
	end
	out[#out + 1] = {
		name = "keyboard", type = "oneshot", description = "keyboard layout " .. name,
		exec = { script("keyboard", KEYBOARD), keyboards.file(name) },
		requires = { "devices" }, condition = { "exists:/dev/tty0" },
	}
	base[#base + 1] = "keyboard"
end

-- A container's clock is its machine's.
local function clock(out, base)
	local program = script("clock", CLOCK)
	out[#out + 1] = {
		name = "clock", type = "oneshot", description = "the time", exec = { program, "start", STAMP },
		stop_exec = { program, "stop", STAMP }, requires = { "file-systems" }, condition = { "not-virtual:container" },
		on_change = "later",
	}
	out[#out + 1] = {
		name = "clock-stamp", type = "oneshot", description = "keeps the time, should the power fail",
		exec = { program, "keep", STAMP }, every = "1h", requires = { "clock" }, condition = { "not-virtual:container" },
	}
	base[#base + 1] = "clock"
end

-- Who may use which devices; the kernel makes their nodes for root alone, but for those that everybody may use.
local DEVICE_RULES = [[
block sr* 660 cdrom
block * 660 disk
drm renderD* 666 root
drm * 660 video
video4linux * 660 video
graphics fb* 660 video
sound * 660 audio
tty ttyS* 660 dialout
tty ttyUSB* 660 dialout
tty ttyACM* 660 dialout
misc kvm 666 root
misc fuse 666 root
]]

local function hotplug(os, out, base)
	local lines = {}
	for i, r in ipairs(os.device_rules) do
		lines[i] = table.concat({ r.subsystem, r.name, r.mode, r.group }, " ") .. "\n"
	end
	out[#out + 1] = {
		name = "hotplug", type = "notify", notify = "fd:3", description = "devices as they come",
		exec = {
			tools.cairn .. "/bin/cairn", "system", "hotplug", "--ready", "--modprobe=" .. tools.busybox .. "/bin/modprobe",
			text("device-rules", table.concat(lines) .. DEVICE_RULES),
		},
		requires = { "activation" }, condition = { "not-virtual:container" }, restart_limit = 0, restart_delay_max = "5s",
	}
	base[#base + 1] = "hotplug"
end

local function power_button(os, out)
	local command = ({ poweroff = "poweroff", reboot = "reboot" })[os.power_button]
	if not command then
		return
	end
	local handlers = tree.derivation("power-button", {
		tree.file("PWRF/00000080", "#!" .. tools.busybox .. "/bin/busybox sh\nexec " .. tools.cairn .. "/bin/cairn " .. command .. "\n",
			{ executable = true }),
	})
	out[#out + 1] = {
		name = "power-button", description = "the power button: " .. command,
		exec = { tools.busybox .. "/bin/busybox", "acpid", "-d", "-c", handlers, "-p", "/run/power-button.pid" },
		requires = { "devices" }, after = { "base", "hotplug" }, condition = { "exists:/dev/input/event0" },
	}
end

local function font(file, out, base)
	if not file then
		return
	end
	out[#out + 1] = {
		name = "console-font", type = "oneshot", description = "font of the console",
		exec = { tools.busybox .. "/bin/busybox", "setfont", file },
		requires = { "devices" }, condition = { "exists:/dev/tty0" },
	}
	base[#base + 1] = "console-font"
end

-- Modules are read where those of the system that was booted are. What packages have put into another tree since then is not there.
local MODULES = [[
#!@busybox@ sh
tree=$1
shift
[ "$(@busybox@ readlink -f /lib/modules)" != "$tree" ] || exec @busybox@ modprobe -a "$@"
status=0
has() {
	@busybox@ grep -qsE "(^|/)$file(\.[a-z0-9]+)?(:|$)" "$@"
}
for name; do
	@busybox@ modprobe -q "$name" && continue
	file=$(echo "$name" | @busybox@ sed 's/[-_]/[-_]/g').ko
	if has "$tree"/*/modules.dep && ! has /lib/modules/*/modules.dep; then
		echo "$name comes with the next boot"
	elif ! @busybox@ modprobe "$name"; then
		echo "the module $name cannot be loaded" >&2
		status=1
	fi
done
exit $status
]]

local function modules(os, names, out, base)
	if #names == 0 then
		return
	end
	local exec = { tools.busybox .. "/bin/busybox", "modprobe", "-a" }
	if #os.kernel_loadable_modules > 0 then
		exec = { script("kernel-modules-load", MODULES), module_tree(os) .. "/lib/modules" }
	end
	for _, name in ipairs(names) do
		exec[#exec + 1] = name
	end
	out[#out + 1] = {
		name = "kernel-modules", type = "oneshot", description = "kernel modules", exec = exec,
		requires = { "activation" },
	}
	base[#base + 1] = "kernel-modules"
end

-- That all services of the list field of v are there.
local function check_services(v, field, list, all, out)
	local known, names = {}, {}
	for _, from in ipairs { out, all.init } do
		for _, s in ipairs(from) do
			known[s.name], names[#names + 1] = true, s.name
		end
	end
	for _, name in ipairs(list) do
		if not known[name] and not known[name:match("^(.-@).") or ""] then
			schema.fail(v, "there is no service '" .. name .. "'" .. schema.suggestion(name, names), field)
		end
	end
end

local LONGEST_HOLD = 30 -- unless the configuration says how long

-- Seconds that a generation must hold once everything is up: time for the watchdog to end one that hangs at once. And until
-- when the gate waits: a hold that nobody asked for leaves the services all of the time that they were given.
function M.gate_times(os)
	local g = os.health_gate
	local timeout = conf.seconds(g.timeout)
	if g.hold then
		local wanted = conf.seconds(g.hold)
		if wanted >= timeout then
			schema.fail(g, "all of timeout (" .. g.timeout .. ") passes before the services have held for so long", "hold")
		end
		return wanted, g.timeout
	end
	local long = os.watchdog and math.min(conf.seconds(os.watchdog.timeout), LONGEST_HOLD, timeout // 2) or 0
	return long, long > 0 and timeout + long .. "s" or g.timeout
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
	check_services(os.health_gate, "services", needed, all, out)
	local exec = { tools.cairn .. "/bin/cairn", "system", "mark-good" }
	local long, timeout = M.gate_times(os)
	if long > 0 then
		extend(exec, { "--hold", tostring(long) })
	end
	out[#out + 1] = {
		name = M.GATE, type = "oneshot", description = "this generation came up well",
		exec = exec,
		requires = needed, on_change = "later", start_timeout = timeout,
	}
end

-- all: the fold of the configured services (their sysctl and kernel_modules count).
function M.services(os, all)
	local out, base = {}, { "directories", "loopback", "random-seed" }
	local before = writable(os, out)
	out[#out + 1] = {
		name = "activation", type = "oneshot", description = "accounts, /etc, links of this system",
		exec = { tools.cairn .. "/bin/cairn", "system", "activate", "--boot" },
		after = before, critical = true, on_change = "later", start_timeout = "10min",
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
		exec = { tools.cairn .. "/bin/cairn", "system", "random-seed", "load", SEED },
		stop_exec = { tools.cairn .. "/bin/cairn", "system", "random-seed", "save", SEED },
		requires = { "file-systems" }, on_change = "later",
	}
	out[#out + 1] = {
		name = "directories", type = "oneshot", description = "directories that the configuration asks for",
		exec = { tools.cairn .. "/bin/cairn", "system", "activate", "--directories" },
		requires = { "file-systems" }, on_change = "later", start_timeout = "10min",
	}
	clock(out, base)
	hotplug(os, out, base)
	power_button(os, out)
	font(os.console_font, out, base)
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
	for _, map in ipairs { SETTINGS, all.sysctl, os.sysctl } do
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
	modules(os, names, out, base)
	table.sort(base)
	out[#out + 1] = {
		name = "base", type = "group", description = "what services may count on",
		requires = { "activation", "file-systems" }, wants = base,
	}
	out[#out + 1] = {
		name = "networks", type = "group", description = "networks, as far as there are any",
		requires = { "activation" }, wants = #all.network > 0 and all.network or nil, on_change = "later",
	}
	gate(os, all, out)
	for _, fs in ipairs(os.file_systems) do
		check_services(fs, "services", fs.services, all, out)
	end
	-- They make the machine what it is: mounts, modules, settings, accounts.
	for _, s in ipairs(out) do
		if s.type ~= "group" then
			s.sandbox = "none"
		end
	end
	return out
end

return M

-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- The text installer on the terminals of an installation medium, and what it installs from: the
-- programs and boot loader code that an installed machine needs are in the medium's store, so that no
-- network is. The kernel argument cairn.answers=FILE installs without questions (doc/install.md).

local grub = require "bootloader.grub"
local service = require "system.service"
local tools = require "system.tools"

-- Number of the root's partition on disks that are used as a whole.
local ROOT = 3

-- Started again wherever it was cut off; a shell once the user has left.
local QUESTIONS = [[
#!@busybox@ sh
b=@busybox@
export HOME=/root TERM=$2
cd /root
for word in $($b cat /proc/cmdline); do
	case $word in
	cairn.answers=*) exec $b sh -l ;;
	esac
done
$b stty sane 2>/dev/null
if [ ! -e "/run/cairn-install.left-$1" ]; then
	cairn install --state "/run/cairn-install-$1.state"
	status=$?
	# Left by the user, or done; anything else is tried again.
	case $status in
	0 | 6) : >"/run/cairn-install.left-$1" ;;
	*) exit 1 ;;
	esac
	# Answers so far are those of the command in the shell.
	[ ! -e "/run/cairn-install-$1.state" ] || $b mv "/run/cairn-install-$1.state" /run/cairn-install.state
fi
echo 'A shell. "cairn install" goes on with the installer, "reboot" restarts the machine.'
exec $b sh -l
]]

local UNATTENDED = [[
#!@busybox@ sh
b=@busybox@
for word in $($b cat /proc/cmdline); do
	case $word in
	cairn.answers=*) answers=${word#*=} ;;
	esac
done
[ -n "$answers" ] || exit 0
tries=30
while [ ! -e "$answers" ] && [ $tries -gt 0 ]; do
	tries=$((tries - 1))
	$b sleep 1
done
if cairn install --quiet --answers "$answers"; then
	echo 'installation: done'
else
	echo "installation: failed with status $?"
	exit 1
fi
]]

return service.service_type {
	name = "installer",
	doc = "the text installer",
	example = [[services.installer { terminals = { "tty1" } }]],
	fields = {
		terminals = schema.list(schema.string { pattern = "^[%w]+$", what = "the name of a terminal (such as tty1)" },
			{ default = { "tty1", "ttyS0" }, unique = true, doc = "where it asks" }),
	},
	extend = function(s)
		local busybox = tools.busybox .. "/bin/busybox"
		local function script(name, contents)
			return text(name, (contents:gsub("@busybox@", function()
				return busybox
			end)), { executable = true, busybox = busybox })
		end
		local init = {
			{
				name = "install-answers", type = "oneshot", description = "installation without questions",
				exec = { script("install-answers", UNATTENDED) }, output = "console",
				requires = { "base" }, after = { "cairn-daemon" }, start_timeout = "60min",
				sandbox = "none", -- it partitions and mounts disks
			},
		}
		for _, terminal in ipairs(s.terminals) do
			init[#init + 1] = {
				name = "installer@" .. terminal, description = "installer on " .. terminal,
				exec = { script("installer", QUESTIONS), terminal, terminal:find("^tty%d") and "linux" or "vt100" },
				condition = { "exists:/dev/" .. terminal }, terminal = "/dev/" .. terminal,
				requires = { "base" }, after = { "cairn-daemon", "install-answers" },
				restart_limit = 0, restart_delay_max = "5s", stop_signal = "HUP",
				on_change = "later", sandbox = "none",
			}
		end
		return {
			init = init,
			profile = {
				require "packages.dosfstools", require "packages.mtools", require "packages.dropbear",
				require "packages.keymaps", require "packages.util-linux",
			},
			-- GRUB itself for a root that is another partition.
			etc = { ["cairn-installer/boot"] = { text = ("%s\n%s\n%s\n%s\n"):format(
				grub.bios(ROOT), grub.efi(ROOT), require "packages.grub", require "packages.grub-efi") } },
		}
	end,
}

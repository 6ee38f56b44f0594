-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- operating_system or image -> what the emulator needs to start it on a store that it shares with its host
-- (the value of sys_eval_request.apply in image/cmd_vm.c): the generation, kernel, initramfs, and a disk with
-- everything but the store's items. args: free = size of the free space on the disk; shares = words such as
-- "rw:/where ro:/else": directories of the host, called share1, share2, …; report = "yes": the second serial line tells
-- how the services are (system/test-vm.c reads it), and configured is the system that this was made from.

local file_systems = require "system.file_systems"
local generation = require "system.generation"
local image = require "image"
local mapped_devices = require "system.mapped_devices"
local pack = require "image.pack"
local raw = require "image.raw"
local services = require "services"
local tools = require "system.tools"

local LABEL = "cairn-vm"
local MODULES = { "9p", "9pnet_virtio" }

-- The disk, what needs none, and the directories of the host. Other disks stay with the real machine.
local function mounts(os, shares)
	local out = { { device = "LABEL=" .. LABEL, mount_point = "/", type = "ext4" } }
	for _, fs in ipairs(os.file_systems) do
		if fs.mount_point ~= "/" and file_systems.virtual(fs) then
			out[#out + 1] = fs
		end
	end
	local number = 0
	for mode, where in (shares or ""):gmatch("(r[ow]):(%S+)") do
		number = number + 1
		out[#out + 1] = {
			device = "share" .. number, mount_point = where, type = "9p",
			options = { mode, "trans=virtio", "version=9p2000.L", "msize=262144" },
		}
	end
	return out
end

-- A report is between lines BEGIN and END; after the services come the logs of those that failed.
local REPORT = [[
#!@busybox@ sh
b=@busybox@
$b stty -F /dev/ttyS1 raw -echo
exec >/dev/ttyS1
while :; do
	echo; echo BEGIN
	@cairn@ service list --json
	for name in $(@cairn@ service list --failed | $b sed '1d; s/ .*//'); do
		echo; echo "LOG $name"
		@cairn@ service log -n 10 "$name"
	done
	echo; echo END
	$b sleep 1
done
]]

local function report()
	local values = { busybox = tools.busybox .. "/bin/busybox", cairn = tools.cairn .. "/bin/cairn" }
	local script = text("test-report", (REPORT:gsub("@(%l+)@", values)), { executable = true, busybox = tools.busybox .. "/bin/busybox" })
	return services.simple {
		name = "test-report", description = "tells how the services are", exec = { script },
		requires = { "activation" }, sandbox = "none", output = "null",
	}
end

local function extended(list, more)
	local out, seen = {}, {}
	for _, l in ipairs { list, more } do
		for _, v in ipairs(l) do
			if not seen[v] then
				seen[v] = true
				out[#out + 1] = v
			end
		end
	end
	return out
end

return function(value, args)
	local configured = pack.operating_system(value)
	local os = mapped_devices.without(configured)
	os = os:with {
		file_systems = mounts(os, args.shares), swap = {}, bootloader = { type = "none" },
		initrd_modules = extended(os.initrd_modules, MODULES),
		kernel_arguments = extended(os.kernel_arguments, { "cairn.store=cairn-store" }),
	}
	if args.report == "yes" then
		os = os:with { services = extended(os.services, { report() }) }
	end
	local p = generation.parts(os)
	local disk = image.image { operating_system = os, partitions = { { content = "root", free = args.free or "1G" } } }
	return {
		disk = raw(disk, { no_bootloader = true, without_store = true }).image,
		system = p.system,
		kernel = os.kernel .. "/bzImage",
		initrd = p.initrd .. "/initrd",
		configured = args.report == "yes" and generation.parts(configured).system or nil,
	}
end

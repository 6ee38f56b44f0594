-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- The initramfs: stage 1, a checker for the root file system, modules it was asked for, a shell for
-- emergencies. It knows nothing of the rest of the system, so that generations share it.

local tools = require "system.tools"
local tree = require "system.tree"

-- What somebody at the rescue shell types without thinking; `busybox NAME` has the rest.
local COMMANDS = {
	"sh", "cat", "chroot", "cp", "dmesg", "fdisk", "find", "grep", "head", "less", "ln", "ls", "mkdir", "mount", "mv",
	"ps", "readlink", "rm", "sync", "tail", "tty", "umount", "vi",
}

local M = {}

-- os.initrd_modules, os.initrd_rescue, os.kernel
function M.derivation(os)
	local sections = {
		tree.dir("dev"), tree.dir("proc"), tree.dir("sys"), tree.dir("root"),
		tree.node("dev/console", 5, 1), tree.node("dev/null", 1, 3),
		tree.copy("init", tools.cairn .. "/bin/cairn-boot", true),
	}
	for _, fs in ipairs(os.file_systems) do
		if fs.mount_point == "/" and fs.check and fs.type:find("^ext[234]$") then
			sections[#sections + 1] = tree.copy("sbin/e2fsck", tools.e2fsprogs .. "/sbin/e2fsck", true)
		end
	end
	if os.initrd_rescue then
		sections[#sections + 1] = tree.copy("bin/busybox", tools.busybox .. "/bin/busybox", true)
		for _, name in ipairs(COMMANDS) do
			sections[#sections + 1] = tree.link("bin/" .. name, "busybox")
		end
	end
	for path, file in pairs(os.initrd_files) do
		sections[#sections + 1] = tree.copy(path, file, true)
	end
	if #os.initrd_modules > 0 then
		sections[#sections + 1] = tree.modules("modules", os.kernel, os.initrd_modules)
	end
	local env = tree.env(sections)
	env.busybox = tools.busybox .. "/bin/busybox"
	env.cairn = tools.cairn .. "/bin/cairn"
	return derivation {
		name = "initrd",
		builder = env.busybox,
		args = {
			"sh", "-ec",
			'"$cairn" builder cpio >archive; "$busybox" mkdir "$out"; "$busybox" gzip -9 -n -c <archive >"$out/initrd"',
		},
		env = env,
	}
end

return M

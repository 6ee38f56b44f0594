-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- Programs that run with more rights than who starts them; activation makes them below /run/privileged/bin.

local conf = require "system.conf"

local M = {}

-- In the kernel's order: the place is the bit.
M.CAPABILITIES = {
	"chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap", "linux_immutable",
	"net_bind_service", "net_broadcast", "net_admin", "net_raw", "ipc_lock", "ipc_owner", "sys_module", "sys_rawio", "sys_chroot",
	"sys_ptrace", "sys_pacct", "sys_admin", "sys_boot", "sys_nice", "sys_resource", "sys_time", "sys_tty_config", "mknod", "lease",
	"audit_write", "audit_control", "setfcap", "mac_override", "mac_admin", "syslog", "wake_alarm", "block_suspend", "audit_read",
	"perfmon", "bpf", "checkpoint_restore",
}

local function account(options)
	options.pattern = "^[%w_][%w._-]*$"
	options.max = 32
	options.what = "the name of an account"
	return schema.string(options)
end

M.program = schema.record("privileged_program", {
	program = schema.template {
		pattern = "^\1[^%s]*$", what = "a file of a package, such as require \"packages.doas\" .. \"/bin/doas\"",
		doc = "file of a package",
	},
	name = schema.string {
		pattern = "^[%w_][%w._+-]*$", max = 64, what = "a file name", default_doc = "that of the program",
		doc = "below /run/privileged/bin, which comes first in PATH",
		default = function(p)
			return p.program:match("/([^/]+)$")
		end,
	},
	setuid = schema.boolean {
		default_doc = "true, unless setgid or capabilities are given", doc = "runs as user",
		default = function(p)
			return not p.setgid and #p.capabilities == 0
		end,
	},
	setgid = schema.boolean { default = false, doc = "runs as group" },
	user = account { default = "root", doc = "owner" },
	group = account { default = "root" },
	capabilities = schema.list(schema.enum(M.CAPABILITIES), { default = {}, unique = true, doc = "capabilities that it has, such as net_raw" }),
}, {
	doc = "a program that runs with more rights than who starts it", keywords = "suid setuid capabilities sudo",
	example = [[
privileged_programs = { { program = require "packages.busybox" .. "/bin/su" } }]],
	check = function(p)
		if not p.name or p.program:find("/$") then
			return 'names no file of it [such as .. "/bin/doas"]', "program"
		end
	end,
})

-- Of the file "activation".
function M.section(p)
	schema.check(p)
	local bits = 0
	for _, name in ipairs(p.capabilities) do
		for i, known in ipairs(M.CAPABILITIES) do
			bits = bits | (known == name and 1 << (i - 1) or 0)
		end
	end
	return conf.section("privileged", p.name, {
		{ "program", p.program }, { "user", p.user }, { "group", p.group },
		{ "setuid", p.setuid and "yes" or nil }, { "setgid", p.setgid and "yes" or nil },
		{ "capabilities", bits ~= 0 and tostring(bits) or nil },
	})
end

return M

-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- A login prompt on a terminal.

local accounts = require "system.accounts"
local service = require "system.service"
local tools = require "system.tools"

return service.service_type {
	name = "getty", many = true,
	doc = "login on a terminal",
	keywords = "login console tty terminal",
	example = [[services.getty { terminal = "ttyS1", speed = 115200 }]],
	fields = {
		terminal = schema.string { pattern = "^[%w]+$", what = "the name of a terminal (such as tty1)" },
		speed = schema.integer { default = 115200, min = 50, max = 4000000, doc = "bits a second" },
		term = schema.string {
			default = function(s)
				return s.terminal:find("^tty%d+$") and "linux" or "vt100"
			end,
			default_doc = "linux for ttyN, else vt100", doc = "kind of terminal (TERM)",
		},
		auto_login = accounts.name { optional = true, doc = "user who is let in without asking" },
	},
	extend = function(s)
		local busybox = tools.busybox .. "/bin/busybox"
		local exec = { busybox, "getty" }
		local login = tools.busybox .. "/bin/login"
		if s.auto_login then
			login = text("login-" .. s.auto_login,
				"#!" .. busybox .. " sh\nexec " .. busybox .. " login -f " .. shell_quote(s.auto_login) .. "\n",
				{ executable = true, busybox = busybox })
			exec[#exec + 1] = "-n"
		end
		for _, word in ipairs { "-l", login, "-L", tostring(s.speed), s.terminal, s.term } do
			exec[#exec + 1] = word
		end
		return {
			mentions = s.auto_login and { { user = s.auto_login, field = "auto_login" } } or {},
			init = {
				{
					name = "getty@" .. s.terminal, description = "login on " .. s.terminal,
					exec = exec, condition = { "exists:/dev/" .. s.terminal },
					requires = { "activation" }, wants = { "base" },
					restart_limit = 0, restart_delay_max = "5s", stop_signal = "HUP", -- a shell ignores TERM
					output = "console", on_change = "later",
					sandbox = "none", -- users' sessions are its children
				},
			},
		}
	end,
}

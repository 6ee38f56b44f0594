-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- A command at certain times. PID 1 keeps the times: there is no cron.

local line = require "system.line"
local service = require "system.service"

return service.service_type {
	name = "job", many = true, sources = { calendar = "schedule", run_timeout = "time_limit" },
	doc = "a command at certain times (what cron is for)",
	keywords = "cron timer schedule",
	example = 'services.job { name = "backup", schedule = "Mon..Fri 2:30", run = "tar -czf /var/backup/etc.tar.gz /etc", catch_up = true }',
	fields = line.fields {
		schedule = schema.one_of({ schema.string {}, schema.list(schema.string {}, { min = 1, max = 16 }) },
			{ optional = true, doc = "calendar times such as 'daily', '*:0/15', 'Mon..Fri 7:30', '*-1 0:05' (doc/service-set.md)" }),
		every = schema.duration { optional = true, doc = "instead of schedule: so often" },
		random_delay = schema.duration { optional = true, doc = "each run is later by a random time up to this" },
		catch_up = schema.boolean { default = false, doc = "a run that was missed while the machine was off is made up for at boot" },
		time_limit = schema.duration { optional = true, doc = "a run that takes longer is stopped, and has failed" },
		retries = schema.integer { default = 0, min = 0, max = 100, doc = "so often a run that failed is tried again" },
		requires = schema.list(schema.string {}, { default = { "base" }, doc = "services that must be up" }),
	},
	check = function(s)
		local why, field = line.check(s)
		if why then
			return why, field
		elseif not s.schedule and not s.every then
			return "missing; it or every says when", "schedule"
		elseif s.schedule and s.every then
			return "there is a schedule, too", "every"
		elseif s.every and tonumber(s.every:match("^[%d.]+")) == 0 then
			return "'" .. s.every .. "' is no time between two runs", "every"
		end
	end,
	extend = function(s)
		return line.parts(s, {
			type = "oneshot", requires = s.requires,
			calendar = type(s.schedule) == "string" and { s.schedule } or s.schedule, every = s.every,
			random_delay = s.random_delay, catch_up = s.catch_up or nil, run_timeout = s.time_limit,
			restart = s.retries > 0 and "on-failure" or nil, restart_limit = s.retries > 0 and s.retries or nil,
			restart_window = s.retries > 0 and "1d" or nil,
		})
	end,
}

-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- The machine keeps itself up to date: at its times it builds its configuration anew, tries the result out, and keeps it
-- only when what it is for is up. The rest is `cairn system reconfigure --confirm`: whatever happens in between,
-- PID 1 goes back by itself.

local network = require "system.network"
local service = require "system.service"
local tools = require "system.tools"

local RUN = [[
#!@busybox@ sh
b=@busybox@ cairn=@cairn@/bin/cairn
export HOME=/root PATH=/run/current-system/profile/bin:/run/current-system/profile/sbin
cd / || exit 1
new=
back() {
	echo "$*" >&2
	[ -z "$new" ] || $cairn system revert "$new"
	exit 1
}
# Sets new when it waits to be confirmed: whatever else does is another's.
try_out() {
	said=$($cairn system reconfigure --json --confirm "$@")
	status=$?
	new=$(echo "$said" | $b sed -nE 's/^\{"result":"(tried-out|partial)","from":[a-z0-9]+,"to":([0-9]+),.*/\2/p')
	[ -z "$new" ] || $cairn system diff "$new"
	return $status
}
good() {
	for name in @services@; do
		$cairn service wait -t @patience@ "$name" || return 1
	done
@check@
}
# One that is not gone back from by itself: reconfigure drops it when it is but a note, else it refuses.
waits=$($cairn system status --json | $b tr -d '\n ' | $b sed -nE 's/.*"unconfirmed":([0-9]+),"revert_to":[0-9].*/\1/p')
if [ -n "$waits" ]; then
	echo "generation $waits waits to be confirmed: first that is to be decided" >&2
	exit 3
fi
@before@
@switch@ || back "the new system was not made"
if [ -n "$new" ]; then
	good || back "the new system is not well"
	$cairn system confirm "$new" || back "the new system cannot be kept"
fi
@expire@@collect@@reboot@
exit 0
]]

-- The newest generations stay; those that may not go (booted, current, last good) are refused, which is no failure.
local EXPIRE = [[
for n in $($b ls /var/guix/profiles | $b sed -n 's/^system-\([0-9]*\)-link$/\1/p' | $b sort -n | $b head -n -@keep@); do
	$cairn system delete-generations "$n" || echo "generation $n stays"
done
]]

local REBOOT = [[
if $cairn system status --json | $b tr -d '\n ' | $b grep -q '"reboot":\["'; then
	echo "what is new needs a reboot"
	$cairn reboot
fi
]]

local function command(doc)
	return schema.list(schema.template {}, { optional = true, min = 1, doc = doc })
end

local SECONDS = { ns = 1e-9, us = 1e-6, ms = 1e-3, [""] = 1, s = 1, min = 60, h = 3600, d = 86400 }

-- As --confirm has it.
local function check_trial(v)
	local number, unit = v:match("^(%d+)(%a*)$")
	local seconds = number * SECONDS[unit]
	if seconds < 1 or seconds > 86400 then
		return "'" .. v .. "' is not between 1s and 1d"
	end
end

local function quoted(words)
	local out = {}
	for i, word in ipairs(words) do
		out[i] = shell_quote(word)
	end
	return table.concat(out, " ")
end

return service.service_type {
	name = "upgrade", sources = { calendar = "schedule" },
	doc = "unattended upgrades: the configuration is built anew at certain times, tried out, and kept when the machine is well",
	keywords = "unattended updates automatic",
	example = 'services.upgrade { schedule = "Sun 4:00", random_delay = "1h", keep = 10 }',
	fields = {
		schedule = schema.one_of({ schema.string {}, schema.list(schema.string {}, { min = 1, max = 16 }) },
			{ default = "4:00", doc = "calendar times (doc/service-set.md)" }),
		random_delay = schema.duration { default = "30min", doc = "each run is later by a random time up to this, so that machines do not all ask at once" },
		configuration = schema.path { default = "/etc/cairn/system.lua", doc = "what is built" },
		before = command "a command before it, which brings what is new; when it fails nothing is done. A program by its path, and arguments",
		activate = schema.enum({ "now", "boot" }, { default = "now", doc = "boot: it waits for the next boot, and the health gate of that" }),
		trial = schema.duration { default = "15min", check = check_trial, doc = "goes back by itself when it was not kept after so long" },
		services = schema.list(schema.string {}, { optional = true, default_doc = "those of the health gate; else base", doc = "what must be up" }),
		patience = schema.duration { default = "5min", doc = "so long each of them may take" },
		check = command "a command that must succeed, too",
		keep = schema.integer { default = 20, min = 1, max = 1000, doc = "generations; older ones are deleted after it went well" },
		collect = schema.boolean { default = false, doc = "then delete what nothing needs from the store" },
		reboot = schema.enum({ "never", "when-needed" }, { default = "never", doc = "when kernel, initramfs, init or kernel arguments are new" }),
	},
	extend = function(s, os)
		local mentions = {}
		for i, name in ipairs(s.services or {}) do
			mentions[i] = { service = name, field = "services" }
		end
		local switch = s.activate == "now" and "try_out " .. s.trial or "$cairn system reconfigure --boot"
		local script = network.script("upgrade", RUN, {
			cairn = tools.cairn, services = quoted(s.services or os.health_gate.services or { "base" }), patience = s.patience,
			check = s.check and "\t" .. quoted(s.check) or "\treturn 0",
			before = s.before and quoted(s.before) .. ' || { echo "what is new could not be had" >&2; exit 1; }' or "",
			switch = switch .. " " .. shell_quote(s.configuration),
			expire = (EXPIRE:gsub("@keep@", s.keep)), collect = s.collect and "$cairn store gc >/dev/null\n" or "",
			reboot = s.reboot == "when-needed" and REBOOT or "",
		})
		return {
			mentions = mentions,
			init = {
				{
					name = "upgrade", type = "oneshot", description = "unattended upgrade",
					exec = { script }, calendar = type(s.schedule) == "string" and { s.schedule } or s.schedule,
					random_delay = s.random_delay, catch_up = true,
					requires = { "base" }, after = { "cairn-daemon", "networks" },
					on_change = "later", -- the load that it asks for must not end it
					nice = 5, sandbox = "none", -- it switches the machine
				},
			},
		}
	end,
}

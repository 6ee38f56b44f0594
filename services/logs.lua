-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- What is kept of the logs that PID 1's logger writes: of services, of the kernel and of /dev/log.

local service = require "system.service"
local tools = require "system.tools"

local DIRECTORY = "/var/log/cairn"

-- A file with a number is not written any more, nor is any of an earlier boot. One that is there twice was
-- not finished.
local COMPRESS = [[
#!@busybox@ sh
d=$1
shift
for f in "$d"/*.log.*[0-9] "$d"/boots/*/*.log "$d"/boots/*/*.log.*[0-9]; do
	[ ! -f "$f" ] || "$@" "$f"
done
]]

local function compressor(name)
	if name == "gzip" then
		return { tools.busybox .. "/bin/busybox", "gzip", "-f" }
	end
	return { require "packages.zstd" .. "/bin/zstd", "-q", "-f", "--rm" }
end

local function compression(name)
	local busybox = tools.busybox .. "/bin/busybox"
	local exec = {
		text("compress-logs", (COMPRESS:gsub("@busybox@", function()
			return busybox
		end)), { executable = true, busybox = busybox }),
		DIRECTORY,
	}
	for _, word in ipairs(compressor(name)) do
		exec[#exec + 1] = word
	end
	return {
		name = "compress-logs", type = "oneshot", description = "compression of old logs",
		exec = exec, every = "15min", requires = { "activation", "file-systems" },
		nice = 10, ioprio = "idle", private_network = true,
	}
end

local function size(default, doc)
	return schema.one_of({
		schema.integer { min = 0 },
		schema.string { pattern = "^%d+[KMGT]?$", what = "a size such as 65536, '512K' or '2G'" },
	}, { default = default, doc = doc })
end

return service.service_type {
	name = "logs", sources = { log_boots = "boots", log_keep = "keep", log_rate = "rate", log_size = "size" },
	doc = "what is kept of the logs",
	keywords = "syslog journal rotation",
	example = [[services.logs { size = "4M", keep = 5, compress = "zstd" }]],
	fields = {
		size = size("1M", "a file is rotated beyond it"),
		keep = schema.integer { default = 3, min = 0, max = 99, doc = "rotated files of a service" },
		rate = size("4M", "a second, of one service; who is faster waits. 0: no bound"),
		boots = schema.integer { default = 5, min = 0, max = 99, doc = "earlier boots" },
		compress = schema.enum({ "gzip", "zstd", "no" }, { default = "gzip", doc = "of rotated files and earlier boots" }),
		console_level = schema.integer { default = 4, min = 0, max = 8,
			doc = "messages of the kernel below it also go to the console; 0: as the kernel likes" },
	},
	extend = function(s)
		return {
			init_settings = {
				["log-size"] = tostring(s.size), ["log-keep"] = tostring(s.keep),
				["log-rate"] = tostring(s.rate), ["log-boots"] = tostring(s.boots),
			},
			sysctl = s.console_level > 0 and { ["kernel.printk"] = s.console_level } or {},
			init = s.compress ~= "no" and { compression(s.compress) } or {},
		}
	end,
}

-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- The machine's store as a binary cache. The signing key is made at the first start.

local service = require "system.service"
local tools = require "system.tools"

local START = [[
#!@busybox@ sh
[ -e /etc/guix/signing-key.sec ] && [ -e /etc/guix/signing-key.pub ] || @cairn@ archive --generate-key || exit 1
exec @cairn@ publish "$@"
]]

return service.service_type {
	name = "publish",
	doc = "the store as a binary cache",
	keywords = "cache substitutes",
	example = [[services.publish { port = 8080 }]],
	fields = {
		port = schema.integer { default = 8080, min = 1, max = 65535, doc = "TCP port" },
		listen = schema.string { optional = true, pattern = "^[%w.:-]+$", what = "an address" },
		compression = schema.list(schema.string { pattern = "^%l+:?%d*$", what = "a way to compress (such as zstd:19)" },
			{ default = {} }),
		cache = schema.path { optional = true, doc = "directory where archives are kept" },
		ttl = schema.string { optional = true, pattern = "^%d+%l*$", what = "a time (such as 30d)" },
	},
	extend = function(s)
		local cairn = tools.cairn .. "/bin/cairn"
		local busybox = tools.busybox .. "/bin/busybox"
		local exec = {
			text("publish-start", (START:gsub("@(%w+)@", { busybox = busybox, cairn = cairn })),
				{ executable = true, busybox = busybox }),
			"--user=nobody", "--port=" .. s.port,
		}
		local function add(option, value)
			if value then
				exec[#exec + 1] = "--" .. option .. "=" .. value
			end
		end
		add("listen", s.listen)
		add("cache", s.cache)
		add("ttl", s.ttl)
		for _, kind in ipairs(s.compression) do
			add("compression", kind)
		end
		return {
			listens = { { protocol = "tcp", port = s.port, address = s.listen, field = "port" } },
			init = {
				{
					name = "publish", description = "binary cache", exec = exec,
					requires = { "base" }, after = { "cairn-daemon", "networks" },
				},
			},
		}
	end,
}

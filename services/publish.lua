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

-- What `cairn publish` knows (zip_parse and publish_parse_kind).
local KINDS = { zstd = true, gzip = true, xz = true, lzip = true, bzip2 = true, none = true }

local function check_kind(v)
	local level = v:match(":(.*)$")
	if not KINDS[v:match("^[^:]*")] or level and not (level:find("^%d+$") and tonumber(level) <= 22) then
		return "'" .. v .. "' is no way to compress [zstd, gzip, xz, lzip, bzip2 or none, also with a level up to 22 such as zstd:19]"
	end
end

return service.service_type {
	name = "publish",
	doc = "the store as a binary cache",
	keywords = "cache substitutes",
	example = [[services.publish { port = 8080 }]],
	fields = {
		port = schema.integer { default = 8080, min = 1, max = 65535, doc = "TCP port" },
		listen = schema.string { optional = true, pattern = "^[%w.:-]+$", what = "an address" },
		compression = schema.list(schema.string { check = check_kind },
			{ default = {}, max = 4, default_doc = "zstd, and gzip:3", doc = "ways to compress, such as zstd:19: readers choose" }),
		cache = schema.path { optional = true, doc = "directory where archives are kept" },
		ttl = schema.duration { optional = true, doc = "how long readers may believe that an item is there, such as 30d" },
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

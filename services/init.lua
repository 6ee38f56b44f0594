-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- The service types by name: services.getty { … } is services/getty.lua. services.base { … } gives the
-- usual list with more services after it.

local service = require "system.service"

local services = {}

-- What a machine of people needs besides its essential services. options.without names types that
-- are left out; everything else in the table is a service to add.
services.base = located(function(loc, options)
	local without, list = {}, {}
	for _, name in ipairs(options.without or {}) do
		without[name] = true
	end
	for key in pairs(options) do
		if type(key) == "string" and key ~= "without" then
			error(loc .. ": services.base: there is no field '" .. key .. "' [without, and services to add]", 0)
		end
	end
	local usual = {
		{ "logs", {} }, { "daemon", {} }, { "dhcp", {} }, { "getty", { terminal = "tty1" } }, { "getty", { terminal = "ttyS0" } },
	}
	for _, entry in ipairs(usual) do
		local name, fields = table.unpack(entry)
		if not without[name] then
			list[#list + 1] = service.usual(schema.at(loc, services[name], fields))
		end
		without[name .. "?"] = true
	end
	for _, name in ipairs(options.without or {}) do
		if not without[name .. "?"] then
			error(loc .. ": services.base: there is no base service '" .. tostring(name) .. "' to leave out"
				.. schema.suggestion(name, { "daemon", "dhcp", "getty", "logs" }), 0)
		end
	end
	for _, s in ipairs(options) do
		list[#list + 1] = s
	end
	return list
end)

return setmetatable(services, {
	__index = located(function(loc, t, name)
		if type(name) ~= "string" or not name:find("^[%w_]+$") or name == "drv" then -- drv: asked of what may be a package
			return nil
		end
		local value = require("services." .. name, loc)
		rawset(t, name, value)
		return value
	end),
})

-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- What configurations use: local system = require "system".

local accounts = require "system.accounts"
local file_systems = require "system.file_systems"
local inherit = require "system.inherit"
local init_service = require "system.init_service"
local operating_system = require "system.operating_system"
local service = require "system.service"

local M = {
	operating_system = operating_system,
	user = accounts.user,
	group = accounts.group,
	privileged_program = require("system.privileged").program,
	secret = require("system.secrets").secret,
	file_system = file_systems.file_system,
	swap = file_systems.swap,
	mapped_device = require("system.mapped_devices").mapped_device,
	init_service = init_service.init_service,
	machine = require("system.deploy").machine,
	service_type = service.service_type,
	change = inherit.change,
	modify_services = inherit.modify_services,
	inherit = located(function(loc, base, changes)
		return inherit.inherit(loc, operating_system, base, changes)
	end),
}

local names = {}
for name in pairs(M) do
	names[#names + 1] = name
end

return setmetatable(M, {
	__index = function(_, name)
		if name == "drv" then -- asked of anything that might be a package
			return nil
		end
		error("system has no field '" .. tostring(name) .. "'" .. schema.suggestion(name, names), 2)
	end,
})

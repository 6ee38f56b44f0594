-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- What the images without a disk have in common.

local generation = require "system.generation"
local operating_system = require "system.operating_system"
local tools = require "system.tools"

local M = {}

-- The operating_system of a configuration that may also say how a disk is laid out.
function M.operating_system(value)
	local os = schema.name(value) == "image" and value.operating_system or value
	if not schema.is(os, operating_system) then
		generation.parts(os) -- says what is wrong
	end
	return schema.check(os)
end

-- The derivation of an image of os: command is that of "cairn builder", with more arguments.
function M.image(os, name, command, ...)
	local system = generation.parts(os).system
	return {
		image = derivation {
			name = name,
			builder = tools.cairn .. "/bin/cairn",
			args = { "builder", command, "--closure", "closure", "--system", system, ... },
			env = { exportReferencesGraph = { "closure", system } },
		},
	}
end

return M

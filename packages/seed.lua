-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- The seed: what is needed before anything of ours can be built, in several
-- items so that a package names only what it needs.  All pins are in
-- packages/seed-debs.lua.

local origin = require "packages.build.origin"
local pins = require "packages.seed-debs"

local seed = {}

seed.busybox = fixed_source {
	name = "busybox-static",
	nar_sha256 = "494cdad037cf7d0a75ee816fc060b92663de1309602aff43c2f9ce55dade4c40",
	path = "../seed/busybox/bin/busybox",
	urls = { "mirror://debian/" .. pins.busybox[1] },
	sha256 = pins.busybox[2],
	member = "./bin/busybox",
	as = "bin/busybox",
	executable = true,
}

seed.shell = seed.busybox .. "/bin/busybox"

local unpack = source "build/unpack-debs.sh"

-- What maintainer scripts would have done, and what nobody needs.
local after = {
	core = [[
		for tool in gcc cpp gcov; do ln -s $tool-12 usr/bin/$tool; done
		ln -s gcc-12 usr/bin/cc
		ln -sf gawk usr/bin/awk
		ln -sf dash usr/bin/sh
		ln -sf bison.yacc usr/bin/yacc
		rm -f usr/lib/gcc/x86_64-linux-gnu/12/lto1 usr/lib/gcc/x86_64-linux-gnu/12/lib?san*
		rm -f usr/bin/gold usr/bin/*gold usr/bin/dwp usr/bin/*-dwp
	]],
	lto = [[
		dir=usr/lib/gcc/x86_64-linux-gnu/12
		mv $dir/lto1 .
		rm -rf usr
		mkdir -p $dir
		mv lto1 $dir
	]],
	tcl = "ln -s tclsh8.6 usr/bin/tclsh",
	python = "",
}

local function item(name)
	local debs = {}
	for i, pin in ipairs(pins[name]) do
		debs[i] = origin { urls = { "mirror://debian/" .. pin[1] }, sha256 = pin[2] }
	end
	return derivation {
		name = "seed-" .. name,
		builder = seed.shell,
		args = { "sh", unpack, seed.shell },
		env = { debs = debs, after = after[name] or "" },
	}
end

-- seed.item("core") and so on, each made once.
local items = {}

function seed.item(name)
	if pins[name] == nil or name == "busybox" then
		local names = {}
		for known in pairs(pins) do
			if known ~= "busybox" then
				names[#names + 1] = known
			end
		end
		table.sort(names)
		error("no seed item '" .. tostring(name) .. "' [there are: " .. table.concat(names, ", ") .. "]", 0)
	end
	items[name] = items[name] or item(name)
	return items[name]
end

return seed

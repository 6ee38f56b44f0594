-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- Derivations that make a tree, by "cairn builder tree" (the description is that of system/tree.h).

local conf = require "system.conf"
local tools = require "system.tools"

local tree = {}

function tree.dir(path, mode)
	return conf.section("directory", path, { { "mode", mode or "0755" } })
end

-- options: executable, self (@out@ in text is the path of the output), hex (text is in hex)
function tree.file(path, text, options)
	options = options or {}
	return conf.section("file", path, {
		{ options.hex and "hex" or "text", options.hex and text or conf.quote(text) },
		{ "executable", options.executable and "yes" or nil },
		{ "self", options.self and "yes" or nil },
	})
end

function tree.link(path, target)
	return conf.section("link", path, { { "target", tostring(target) } })
end

function tree.copy(path, from, executable)
	return conf.section("copy", path, {
		{ "from", conf.word(from) },
		{ "executable", executable and "yes" or nil },
	})
end

function tree.node(path, major, minor)
	return conf.section("node", path, { { "major", tostring(major) }, { "minor", tostring(minor) } })
end

function tree.modules(path, kernel, names)
	return conf.section("modules", path, { { "from", conf.word(kernel) }, { "names", conf.words(names) } })
end

function tree.module_tree(path, kernel, packages)
	local from = { conf.word(kernel) }
	for i, p in ipairs(packages) do
		from[i + 1] = conf.word(p)
	end
	return conf.section("module-tree", path, { { "from", table.concat(from, " ") } })
end

function tree.union(path, from, parts)
	return conf.section("union", path, { { "from", conf.words(from) }, { "parts", conf.words(parts) } })
end

-- fields: label, version, kernel, initrd, parameters (with @out@)
function tree.boot_entry(path, fields)
	return conf.section("boot-entry", path, {
		{ "label", conf.quote(fields.label) },
		{ "version", fields.version },
		{ "kernel", tostring(fields.kernel) },
		{ "initrd", fields.initrd and tostring(fields.initrd) },
		{ "parameters", conf.quote(fields.parameters) },
	})
end

-- Environment variables spec, spec1, … with the sections: a single variable may not be longer than
-- 128 KiB for the kernel, and placeholders get longer.
function tree.env(sections)
	local env, part, size, n = {}, {}, 0, 0
	local function flush()
		env[n == 0 and "spec" or "spec" .. n] = table.concat(part)
		part, size, n = {}, 0, n + 1
	end
	for _, s in ipairs(sections) do
		if size + #s > 32768 and size > 0 then
			flush()
		end
		part[#part + 1] = s
		size = size + #s
	end
	flush()
	return env
end

function tree.derivation(name, sections)
	return derivation {
		name = name,
		builder = tools.cairn .. "/bin/cairn",
		args = { "builder", "tree" },
		env = tree.env(sections),
	}
end

return tree

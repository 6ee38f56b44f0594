-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- From an operating_system to its generation: the store item that a machine boots and switches to.
--
--	kernel initrd init kernel-modules cairn modules   links
--	parameters boot/entry boot/menu boot/mount        how it is started
--	services/set accounts activation etc/             what PID 1 and activation do
--	profile/ packages config/ facts                   what people see
--
-- Everything is put together by programs that are themselves part of the system.

local accounts = require "system.accounts"
local conf = require "system.conf"
local essential = require "system.essential"
local etc = require "system.etc"
local file_systems = require "system.file_systems"
local init_service = require "system.init_service"
local mapped_devices = require "system.mapped_devices"
local initrd = require "system.initrd"
local listening = require "system.listening"
local mentioned = require "system.mentioned"
local module_tree = require "system.module_tree"
local operating_system = require "system.operating_system"
local own_paths = require "system.own_paths"
local present = require "system.present"
local privileged = require "system.privileged"
local secrets = require "system.secrets"
local service = require "system.service"
local tools = require "system.tools"
local tree = require "system.tree"

local PROFILE_PARTS = { "bin", "sbin", "etc", "share" }

local function merged(...)
	local out = {}
	for _, map in ipairs { ... } do
		for k, v in pairs(map) do
			out[k] = v
		end
	end
	return out
end

local function root_of(os)
	for _, fs in ipairs(os.file_systems) do
		if fs.mount_point == "/" then
			return fs
		end
	end
end

-- The packages of the profile, each once: those asked for come first, so that their programs win over
-- busybox's.
local function packages_of(os, all)
	local out, seen = {}, {}
	local function add(p)
		local key = tostring(p)
		if not seen[key] then
			seen[key] = true
			out[#out + 1] = p
		end
	end
	for _, p in ipairs(os.packages) do
		add(p)
	end
	for _, p in ipairs(all.profile) do
		add(p)
	end
	for _, name in ipairs { "cairn", "e2fsprogs", "busybox" } do
		add(tools[name])
	end
	return out
end

local function name_of(p)
	if is_node(p) then
		return p.name, ""
	end
	return p.name or p.drv.name, p.version or ""
end

local function manifest(os, packages)
	local lines = {}
	local function add(kind, p)
		local name, version = name_of(p)
		lines[#lines + 1] = table.concat({ kind, name, version ~= "" and version or "-", tostring(p) }, " ") .. "\n"
	end
	add("kernel", os.kernel)
	for _, list in ipairs { packages, os.kernel_loadable_modules } do
		for _, p in ipairs(list) do
			add("package", p)
		end
	end
	return table.concat(lines)
end

-- Privileged programs of services.
local function privileged_of(all)
	local out = {}
	for i, p in ipairs(all.privileged) do
		out[i] = privileged.program(p)
	end
	return out
end

-- Packages with firmware, of the system and of its services, each once.
local function firmware_of(os, all)
	local out, seen = {}, {}
	for _, list in ipairs { os.firmware, all.firmware } do
		for _, p in ipairs(list) do
			if not seen[tostring(p)] then
				seen[tostring(p)] = true
				out[#out + 1] = p
			end
		end
	end
	return out
end

-- Links outside /etc that every system has.
local LINKS = {
	{ "/bin/sh", "/run/current-system/profile/bin/sh" },
	{ "/bin/false", "/run/current-system/profile/bin/false" },
	{ "/usr/bin/env", "/run/current-system/profile/bin/env" },
	{ "/lib/modules", "/run/booted-system/kernel-modules" },
}

-- Paths of all links that activation makes.
local function links_of(all)
	local out = {}
	for _, link in ipairs(LINKS) do
		out[link[1]] = true
	end
	for _, a in ipairs(all.activation) do
		out[a.link or ""] = true
	end
	return out
end

local function activation(os, all)
	local out = { conf.section("system", nil, { { "host-name", os.host_name } }) }
	for _, link in ipairs(LINKS) do
		out[#out + 1] = conf.section("link", link[1], { { "target", link[2] } })
	end
	if #firmware_of(os, all) > 0 then
		out[#out + 1] = conf.section("link", "/lib/firmware", { { "target", "/run/current-system/firmware/lib/firmware" } })
	end
	for _, p in ipairs(os.privileged_programs) do
		out[#out + 1] = privileged.section(p)
	end
	for _, p in ipairs(privileged_of(all)) do
		out[#out + 1] = privileged.section(p)
	end
	for _, d in ipairs(os.directories) do
		out[#out + 1] = conf.section("directory", d.path, {
			{ "mode", d.mode }, { "user", d.user }, { "group", d.group }, { "clean", d.clean and "yes" or nil },
		})
	end
	for _, a in ipairs(all.activation) do
		if a.directory then
			local why = own_paths.check_directory(a.directory, a.mode, a.user, a.group)
			if why then
				schema.fail(all.origin[a] or os, why)
			end
			out[#out + 1] = conf.section("directory", a.directory, {
				{ "mode", a.mode or own_paths.mode(a.directory) }, { "user", a.user }, { "group", a.group },
			})
		elseif a.link then
			out[#out + 1] = conf.section("link", a.link, { { "target", tostring(a.target) } })
		elseif a.command then
			out[#out + 1] = conf.section("command", a.name, { { "exec", conf.words(a.command) } })
		else
			error("an activation step is a directory, a link or a command", 0)
		end
	end
	return table.concat(out)
end

-- The services of PID 1: those that every system has, and those of the configuration; which service of that each is made from.
local function services_of(os, all)
	local list = essential.services(os, all)
	for _, s in ipairs(all.init) do
		list[#list + 1] = s
	end
	local checked, named = init_service.checked(list, all.origin, os)
	return secrets.mark(os.secrets, checked), named
end

-- Modules that are loaded at boot: the kernel has them as files, or in itself.
local MODULES = [[
dir=$("$busybox" ls -d "$kernel"/lib/modules/*)
for name in $names; do
	file=$(printf %s "$name" | "$busybox" sed 's/[-_]/[-_]/g').ko
	"$busybox" grep -qE "(^|/)$file(\.[a-z0-9]+)?(:|$)" "$dir/modules.dep" ||
		"$busybox" grep -qsE "(^|/)$file$" "$dir/modules.builtin" ||
		{ echo "operating_system › kernel_modules: the kernel has no module '$name'" >&2; exit 1; }
done
]]

local function service_modules(os, all)
	local out, seen = {}, {}
	for _, list in ipairs { os.kernel_modules, all.kernel_modules } do
		for _, name in ipairs(list) do
			if not seen[name] then
				seen[name] = true
				out[#out + 1] = name
			end
		end
	end
	return out
end

-- For who has the kernel already (system/eval-host.c): what is not in it is an error before anything is built. The note "modules" has
-- those that somebody named, "types" those that something is known to need. list: of { name, place of who needs it, is it named }, for
-- the initramfs.
local function note_modules(os, all, list)
	local tree_of = module_tree(os) .. ""
	local named, needed = { tree_of }, { tree_of }
	local function add(to, name, place)
		to[#to + 1] = name .. "\t" .. place
	end
	for _, m in ipairs(list) do
		add(m[3] and named or needed, m[1], m[2])
	end
	for i, name in ipairs(os.kernel_modules) do
		add(named, name, schema.place(os, "kernel_modules[" .. i .. "]"))
	end
	for _, name in ipairs(all.kernel_modules) do
		add(named, name, schema.place(all.asks[name]))
	end
	-- The initramfs has its own in the list; what is only a line of fstab may be for another kernel.
	for _, fs in ipairs(os.file_systems) do
		for _, name in ipairs(fs.mount and not mapped_devices.first(os, fs) and file_systems.modules(fs) or {}) do
			add(needed, name, schema.place(fs, "type"))
		end
	end
	for key, lines in pairs { modules = named, types = needed } do
		if #lines > 1 then
			note(key, table.concat(lines, "\n"))
		end
	end
end

-- Types of file systems that are not known here: a slip of the pen, or what another kernel has.
local function check_types(os)
	local another = schema.given(os).kernel ~= nil or #os.kernel_loadable_modules > 0
	for _, fs in ipairs(os.file_systems) do
		local what, near = file_systems.unknown(fs)
		if what and fs.mount and near ~= "" and not another then
			schema.fail(fs, what .. near, "type")
		elseif what and fs.mount then
			schema.warn(fs, what .. ": the kernel must have it" .. (mapped_devices.first(os, fs)
				and " in itself, or initrd_modules its module" or ""), "type")
		end
	end
end

-- The options of the build daemon, as its own program reads them.
local function daemon_options(list)
	for _, s in ipairs(list) do
		if s.name == "cairn-daemon" then
			local words = {}
			for i, word in ipairs(s.exec) do
				words[i] = shell_quote(word)
			end
			return table.concat(words, " ") .. " --help >/dev/null"
		end
	end
end

-- files: of system/present.lua.
local function service_set(os, all, list, named, environment, files)
	local init = {
		{ "hostname", os.host_name },
		-- Not /bin/sh: that link is made by activation, whose failure is what rescue is for.
		{ "rescue", conf.words { tools.busybox .. "/bin/busybox", "sh" } },
		{ "ctrl-alt-del", os.ctrl_alt_del },
		{ "gate", essential.GATE },
		{ "gate-timeout", select(2, essential.gate_times(os)) },
		{ "watchdog", os.watchdog and os.watchdog.timeout },
	}
	for key, value in pairs(all.init_settings) do
		init[#init + 1] = { key, value }
	end
	for name, value in pairs(environment) do
		init[#init + 1] = { "environment", conf.word(name .. "=" .. value) }
	end
	local env = tree.env { tree.file("set", table.concat(init_service.set(init, list, named, all.origin, os))) }
	env.busybox = tools.busybox .. "/bin/busybox"
	env.cairn = tools.cairn .. "/bin/cairn"
	env.files, env.daemon = files, daemon_options(list)
	local check = present.SCRIPT .. 'eval "${daemon-}"\n'
	local names = service_modules(os, all)
	if #names > 0 then
		env.kernel, env.names, check = module_tree(os), table.concat(names, " "), check .. MODULES
	end
	-- What PID 1 would refuse must not become a generation: it would boot without any service.
	return derivation {
		name = "services",
		builder = env.busybox,
		args = { "sh", "-ec", check .. '"$cairn" builder tree; exec "$cairn" service check "$out/set"' },
		env = env,
	}
end

local function parameters(os)
	local root = root_of(os)
	local words = { "root=" .. root.device, "rootfstype=" .. root.type }
	local options = file_systems.options(root)
	if #options > 0 then
		words[#words + 1] = "rootflags=" .. table.concat(options, ",")
	end
	-- A root that cannot be written to has memory above it.
	words[#words + 1] = file_systems.read_only(root) and "cairn.volatile" or "rw"
	for _, word in ipairs(os.kernel_arguments) do
		words[#words + 1] = word
	end
	if os.watchdog then
		words[#words + 1] = "cairn.watchdog=" .. conf.seconds(os.watchdog.timeout)
	end
	words[#words + 1] = "cairn.system=@out@"
	return table.concat(words, " ")
end

-- What of the boot partition is declared, or "". Not in boot/menu: see there.
local function boot_mount(os)
	local under = os.bootloader.directory and mapped_devices.kernels(os)
	if not under or under.mount_point == "/" or file_systems.is_bind(under) then
		return ""
	end
	return conf.section("mount", nil, {
		{ "mount-point", under.mount_point },
		{ "file-system", under.type },
		{ "partition", file_systems.is_device(under) and under.device or nil },
	})
end

-- A day, which the type does not allow: until somebody chooses.
local WAIT = 86400

-- A machine goes back to older generations, whose programs read this of newer ones, and refuse a key, or a value, that they do not
-- know. So no key is added here: whatever else is to be said gets a file of its own, which they do not look for.
local function menu(os)
	local b = os.bootloader
	local out = {
		conf.section("menu", nil, {
			{ "loader", b.type },
			{ "directory", b.directory },
			{ "timeout", tostring(b.timeout < 0 and WAIT or b.timeout) },
			{ "hidden", conf.bool(b.hidden) },
			{ "serial", conf.bool(b.serial) },
			{ "serial-unit", tostring(b.serial_unit) },
			{ "serial-speed", tostring(b.serial_speed) },
			{ "terminal-inputs", #b.terminal_inputs > 0 and table.concat(b.terminal_inputs, " ") or nil },
			{ "terminal-outputs", #b.terminal_outputs > 0 and table.concat(b.terminal_outputs, " ") or nil },
			{ "default", b.default and conf.quote(b.default) },
		}),
	}
	for _, entry in ipairs(b.entries) do
		local rows = {}
		for _, key in ipairs { "title", "device", "chain", "kernel", "initrd", "parameters" } do
			rows[#rows + 1] = entry[key] and { key, conf.quote(entry[key]) }
		end
		out[#out + 1] = conf.section("entry", nil, rows)
	end
	return table.concat(out)
end

local function facts(os, kernel, ramdisk)
	local name, version = name_of(os.kernel)
	return conf.section("system", nil, {
		{ "label", os.label },
		{ "host-name", os.host_name },
		{ "kernel", version ~= "" and name .. "-" .. version or name },
		{ "kernel-path", kernel },
		{ "initrd-path", ramdisk },
		{ "configuration", "config/system.lua" },
	})
end

-- Files of new home directories, none of which is a link into the store: they are people's from then on.
local function skeletons(os)
	local out = {}
	for path, v in pairs(os.skeletons) do
		out[#out + 1] = type(v) == "string" and tree.file(path, v) or tree.copy(path, is_node(v) and v or v.drv)
	end
	return tree.derivation("skeletons", out)
end

-- Devices without which the machine would not come up, for who reconfigures it.
local function devices(os)
	local out = {}
	for _, fs in ipairs(os.file_systems) do
		local under = mapped_devices.under(os, fs)
		if file_systems.is_device(fs) and #under == 0 and fs.mount and not fs.may_fail and #fs.services == 0 then
			out[#out + 1] = conf.section("device", nil, { { "spec", fs.device }, { "for", "file_systems › " .. fs.mount_point } })
		end
	end
	-- Arrays and volume groups may do without some of their disks.
	for _, m in ipairs(os.mapped_devices) do
		if m.type == "luks" and #mapped_devices.sources_of(os, m) == 0 then
			out[#out + 1] = conf.section("device", nil, { { "spec", m.source }, { "for", "mapped_devices › " .. m.target } })
		end
	end
	return table.concat(out)
end

local function configuration(sections)
	for name, node in pairs(config_files()) do
		sections[#sections + 1] = tree.link("config/" .. name, node)
	end
end

local cache = {}

-- The operating_system of what a configuration returned.
local function system_of(os)
	if schema.name(os) == "image" then
		os = os.operating_system
	end
	if not schema.is(os, operating_system) then
		local what = schema.name(os) or type(os)
		error("the configuration returns " .. (what == "nil" and "nothing" or "a " .. what)
			.. ", not an operating_system", 0)
	end
	return schema.check(os)
end

-- Who adds what to a system: list of { service, extension point }. Its services of PID 1: list of records.
local function graphs(os)
	os = system_of(os)
	local all = service.fold(os.services, os)
	return all.edges, (services_of(os, all))
end

-- The parts of a system by name; `system` is the generation itself.
local function parts(os)
	os = system_of(os)
	if cache[os] then
		return cache[os]
	end
	local seed = require "packages.seed"
	local all = service.fold(os.services, os)
	local environment = merged({ LANG = os.locale }, all.environment, os.environment)
	local packages = packages_of(os, all)
	local who = accounts.merge({ accounts.base_users, all.users, os.users },
		{ accounts.base_groups, all.groups, os.groups })
	accounts.check_shells(who.users, links_of(all))
	accounts.check_owners(who, os.secrets)
	accounts.check_owners(who, os.privileged_programs)
	accounts.check_owners(who, privileged_of(all))
	local list, named = services_of(os, all)
	mentioned(os, all, who, list, named)
	listening.check(all)
	check_types(os)
	local ramdisk_of, modules = initrd.derivation(os)
	note_modules(os, all, modules)
	local programs = privileged_of(all)
	table.move(os.privileged_programs, 1, #os.privileged_programs, #programs + 1, programs)
	local profile = tree.derivation("profile", { tree.union(".", packages, PROFILE_PARTS) })
	local p = {
		etc = etc.derivation(os, all.etc, environment, accounts.shells(who.users)),
		profile = profile,
		services = service_set(os, all, list, named, environment,
			present.files(os, who, list, programs, firmware_of(os, all), profile)),
		initrd = ramdisk_of,
		modules = cairn_modules(seed.busybox, seed.shell),
	}
	local kernel = os.kernel .. "/bzImage"
	local ramdisk = p.initrd .. "/initrd"
	local line = parameters(os)
	local _, version = name_of(os.kernel)
	local sections = {
		tree.link("kernel", kernel),
		tree.link("kernel-modules", module_tree(os) .. "/lib/modules"),
		tree.link("initrd", ramdisk),
		tree.link("init", tools.cairn .. "/bin/cairn-init"),
		tree.link("cairn", tools.cairn),
		tree.link("modules", p.modules),
		tree.link("etc", p.etc),
		tree.link("profile", p.profile),
		tree.link("services", p.services),
		tree.file("parameters", line .. "\n", { self = true }),
		tree.boot_entry("boot/entry", {
			label = os.label, version = version ~= "" and version or nil,
			kernel = kernel, initrd = ramdisk, parameters = line,
		}),
		tree.file("boot/menu", menu(os)),
		tree.file("accounts", accounts.text(who)),
		tree.file("activation", activation(os, all)),
		tree.file("packages", manifest(os, packages)),
		tree.file("facts", facts(os, kernel, ramdisk)),
		tree.file("label", os.label .. "\n"),
	}
	if os.channel then
		sections[#sections + 1] = tree.file("pull", conf.section("channel", nil, {
			{ "url", os.channel.url }, { "key", os.channel.key },
		}))
	end
	local mount = boot_mount(os)
	if mount ~= "" then
		sections[#sections + 1] = tree.file("boot/mount", mount)
	end
	local needed = devices(os)
	if needed ~= "" then
		sections[#sections + 1] = tree.file("devices", needed)
	end
	local firmware = firmware_of(os, all)
	if #firmware > 0 then
		sections[#sections + 1] = tree.link("firmware", tree.derivation("firmware", { tree.union(".", firmware, { "lib/firmware" }) }))
	end
	if next(os.skeletons) ~= nil then
		sections[#sections + 1] = tree.link("skeletons", skeletons(os))
	end
	if #os.secrets > 0 then
		sections[#sections + 1] = tree.file("secrets", secrets.text(os.secrets))
	end
	configuration(sections)
	p.system = tree.derivation("system", sections)
	cache[os] = p
	return p
end

-- For sys_eval_request.apply: the one result is the generation.
return setmetatable({ parts = parts, graphs = graphs }, {
	__call = function(_, os)
		return { system = parts(os).system }
	end,
})

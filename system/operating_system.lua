-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- operating_system { … }: what a machine is. doc/configuration.md describes every field.

local accounts = require "system.accounts"
local conf = require "system.conf"
local file_systems = require "system.file_systems"
local keyboards = require "system.keyboards"
local mapped_devices = require "system.mapped_devices"
local network = require "system.network"
local own_paths = require "system.own_paths"
local privileged = require "system.privileged"
local secrets = require "system.secrets"
local service = require "system.service"
local zones = require "system.zones"

-- What of an entry goes into GRUB's command line, within the limits that a generation's own has.
local function one_line(options)
	options.pattern = "^[^\3-\31\127]*$"
	options.what = "one line of text"
	return schema.template(options)
end

local function absolute(options)
	options.pattern = "^[/\1][^\3-\31\127]*$"
	options.what = "an absolute path, or a file of a package"
	return schema.template(options)
end

local menu_entry = schema.record("menu_entry", {
	title = schema.string { max = 200, pattern = "^[^\1-\31\127]+$", what = "one line of text" },
	device = schema.string {
		optional = true, doc = "LABEL= or UUID= of a file system, or a disk as GRUB calls it; left out: the root file system",
		check = function(v)
			if not (v:find("^LABEL=[^%c]+$") or v:find("^UUID=[%w-]+$") or v:find("^hd%d+$") or v:find("^hd%d+,%l*%d+$")) then
				return "'" .. v .. "' is not LABEL=…, UUID=…, or a disk or partition such as hd1 or hd0,gpt2"
			end
		end,
	},
	chain = schema.string {
		optional = true, doc = "another boot loader: its file ('/EFI/…'), or '+1', the boot sector of the device",
		check = function(v)
			if v ~= "+1" and not v:find("^/[^%c]+$") then
				return "'" .. v .. "' is neither an absolute path nor '+1', the boot sector"
			end
		end,
	},
	kernel = absolute { optional = true },
	initrd = absolute { optional = true },
	parameters = one_line {
		optional = true, max = 1900,
		check = function(v)
			if v:find("[\\']") or select(2, v:gsub('"', "")) % 2 == 1 then
				return "holds a backslash, a single quote, or an odd number of double quotes, which GRUB cannot hand over"
			end
		end,
	},
}, {
	doc = "an entry of the boot menu that is no generation", keywords = "dual boot windows memtest",
	example = [[
bootloader = { entries = { { title = "Memory test", kernel = "/boot/memtest" } } }]],
	check = function(m)
		if (m.chain == nil) == (m.kernel == nil) then
			return "needs either kernel or chain", "kernel"
		elseif m.chain and not m.device then
			return "a boot loader to be chained needs the device that it is on", "device"
		elseif m.chain and (m.initrd or m.parameters) then
			return "initrd and parameters belong to a kernel", m.initrd and "initrd" or "parameters"
		end
	end,
})

local TERMINALS = { "console", "serial", "serial_0", "serial_1", "serial_2", "serial_3" }

local bootloader = schema.record("bootloader", {
	type = schema.enum({ "grub", "efi", "extlinux", "none" }, {
		default = "grub",
		doc = "efi: kernels on the EFI system partition, without GRUB; extlinux: extlinux.conf for the "
			.. "machine's own loader; none: the machine is started some other way",
	}),
	directory = schema.path {
		default = function(b)
			return ({ efi = "/boot/efi", extlinux = "/boot" })[b.type]
		end,
		optional = true, default_doc = "efi: /boot/efi; extlinux: /boot", doc = "where the partition with the kernels is mounted: /boot/efi; for extlinux /boot, which is on the root then",
	},
	timeout = schema.integer { default = 3, min = -1, max = 3600,
		doc = "seconds the menu waits; -1: until somebody chooses, also after a generation that did not come up" },
	hidden = schema.boolean { default = false, doc = "wait without showing the menu" },
	serial = schema.boolean { default = true, doc = "menu on the first serial line, too" },
	serial_unit = schema.integer { default = 0, min = 0, max = 3, doc = "number of the serial line" },
	serial_speed = schema.integer { default = 115200, min = 300, max = 4000000, doc = "bits a second" },
	terminal_inputs = schema.list(schema.enum(TERMINALS), {
		default = {}, unique = true, default_doc = "what serial says",
		doc = "where the menu is answered; GRUB only. serial is the line of serial_unit, serial_0 the first one",
	}),
	terminal_outputs = schema.list(schema.enum(TERMINALS), { default = {}, unique = true, default_doc = "what serial says", doc = "where it is shown" }),
	entries = schema.list(schema.of(menu_entry), {
		default = {}, max = 32, doc = "shown after the generations; extlinux: kernels of its own partition; efi has none",
	}),
	default = schema.string { optional = true, max = 200, doc = "title of the entry that starts; left out: the current generation" },
}, {
	doc = "the boot loader", keywords = "grub uefi bios extlinux",
	example = [[
bootloader = { type = "grub", timeout = 3, serial = true }]],
	check = function(b)
		local known = {}
		for _, entry in ipairs(b.entries) do
			if known[entry.title] then
				return "two entries are called '" .. entry.title .. "'", "entries"
			end
			known[entry.title] = true
		end
		for _, entry in ipairs(b.entries) do
			if b.type == "extlinux" and (entry.chain or entry.device) then
				return "'" .. entry.title .. "': extlinux starts kernels of its own partition only, and no boot loaders [leave out "
					.. (entry.chain and "chain" or "device") .. "]", "entries"
			elseif b.type == "extlinux" and (entry.kernel .. " " .. (entry.initrd or "")):find("[\1]") then
				return "'" .. entry.title .. "': extlinux reads its own partition, where files of packages are not", "entries"
			end
		end
		if b.hidden and b.timeout < 0 then
			return "a menu that nobody sees would wait for ever", "hidden"
		end
		for _, list in ipairs { "terminal_inputs", "terminal_outputs" } do
			if #b[list] > 0 and b.type ~= "grub" then
				return "only a menu of GRUB has a choice of terminals", list
			end
		end
		if #b.entries > 0 and b.type ~= "grub" and b.type ~= "extlinux" then
			return "a menu of type '" .. b.type .. "' has the generations alone", "entries"
		elseif b.default and b.type ~= "grub" then
			return "only a menu of GRUB can start another entry than the current generation", "default"
		elseif b.default and not known[b.default] then
			return "there is no entry called '" .. b.default .. "'", "default"
		end
	end,
})

-- A length of time in whole seconds.
local function duration(options)
	options.pattern = "^%d+[a-z]+$"
	options.what = "a duration such as '30s' or '5min'"
	options.check = function(v)
		if not conf.seconds(v) then
			return "'" .. v .. "' is not a duration such as '30s' or '5min'"
		end
	end
	return schema.string(options)
end

local health_gate = schema.record("health_gate", {
	services = schema.list(schema.string { pattern = "^%w[%w._@-]*$", max = 64, what = "the name of a service" },
		{ optional = true, unique = true, doc = "left out: base, and the build daemon where there is one" }),
	timeout = duration { default = "5min", doc = "from the start of PID 1 until all of them are up, and a hold that is given has passed" },
	hold = duration { optional = true,
		doc = "how long they must stay up before it counts; left out: with a watchdog as long as that waits, but at most 30s and half of timeout, and that is added to timeout; else not at all" },
}, {
	doc = "what must be up before a generation counts as good",
	example = [[
health_gate = { services = { "base", "dhcp" }, timeout = "2min" }]],
})

local channel = schema.record("channel", {
	url = schema.string {
		pattern = "^[%w+]+://[\33-\126]+$", what = "a URL of https, file or git+https",
		check = function(v)
			local scheme = v:match("^[^:]+")
			local known = { https = true, http = true, file = true, ["git+https"] = true, ["git+ssh"] = true,
				["git+file"] = true }
			if not known[scheme] then
				return "'" .. scheme .. "' is no kind of URL for this: https, file, git+https, git+ssh"
			end
		end,
	},
	key = schema.string {
		pattern = "^[%w._-]+:[%w+/]+=*$", what = "a public key (NAME:BASE64)",
		doc = "who signs; as printed by 'cairn channel generate-key'",
	},
}, {
	doc = "where 'cairn pull' gets new modules from",
	example = [[
channel = { url = "https://example.org/modules", key = "example.org-1:q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=" }]],
})

local watchdog = schema.record("watchdog", {
	timeout = duration {
		default = "30s", doc = "how long the machine may hang",
	},
}, {
	doc = "the hardware watchdog",
	example = [[
watchdog = { timeout = "1min" }]],
})

local NAME = { pattern = "^[%w_][%w._-]*$", max = 32, what = "the name of an account" }

local directory = schema.record("directory", {
	path = schema.path { doc = "the directory", check = conf.flaw },
	mode = schema.string {
		default_doc = "0755, of /tmp, /var/tmp and /dev/shm 1777", pattern = "^[0-7][0-7][0-7][0-7]?$", what = "an octal mode",
		default = function(d)
			return own_paths.mode(d.path)
		end,
	},
	user = schema.string { default = "root", pattern = NAME.pattern, max = NAME.max, what = NAME.what },
	group = schema.string { optional = true, pattern = NAME.pattern, max = NAME.max, what = NAME.what },
	clean = schema.boolean { default = false, doc = "emptied at boot, but for file systems that are mounted in it" },
}, {
	doc = "a directory that is there when services start", keywords = "tmpfiles",
	example = [[
directories = { { path = "/srv/upload", mode = "2770", group = "users" } }]],
	check = function(d)
		if d.clean and own_paths.is_kept(d.path) then
			return "'" .. d.path .. "' must not be emptied", "clean"
		end
		return own_paths.check_directory(d.path, d.mode, d.user, d.group)
	end,
})

-- A rule that begins with # would be a comment.
local SUBSYSTEM = "^[^%s%c#][^%s%c]*$"
local PATTERN = { pattern = "^[^%s%c]+$", max = 120, what = "a pattern without blanks" }

local device_rule = schema.record("device_rule", {
	subsystem = schema.string { pattern = SUBSYSTEM, max = PATTERN.max, what = PATTERN.what },
	name = schema.string { default = "*", pattern = PATTERN.pattern, max = PATTERN.max, what = PATTERN.what, doc = "below /dev" },
	mode = schema.string { pattern = "^0?[0-7][0-7][0-7]$", what = "an octal mode" },
	group = schema.string { default = "root", pattern = NAME.pattern, max = NAME.max, what = NAME.what },
}, {
	doc = "mode and group of devices", keywords = "udev mdev permissions",
	example = [[
device_rules = { { subsystem = "tty", name = "ttyUSB*", mode = "0660", group = "users" } }]],
})

-- The path of a file below `what`.
local function relative(what, pattern)
	return schema.string {
		max = 200, what = "a path below " .. what, pattern = pattern,
		check = function(v)
			if ("/" .. v .. "/"):find("/%.?%.?/") then
				return "'" .. v .. "' is not a path below " .. what
			end
		end,
	}
end

-- Of files by their paths: none is where another one would need a directory.
local function check_files(files)
	for path in pairs(files) do
		for i in path:gmatch("()/") do
			local above = path:sub(1, i - 1)
			if files[above] then
				return "'" .. path .. "' is below '" .. above .. "', which is a file"
			end
		end
	end
end

local function argument(v)
	if v:find("[%s\1-\31\127]") then
		return "'" .. v .. "' holds blanks; give each argument as an element of its own"
	elseif not utf8.len(v) then
		return "is not UTF-8"
	elseif v:find("[\\']") or select(2, v:gsub('"', "")) % 2 == 1 then
		return "'" .. v .. "' holds a backslash, a single quote, or an odd number of double quotes, which GRUB cannot hand over"
	elseif v:find("^root=") or v:find("^cairn%.system=") then
		return v:match("^[^=]+=") .. " is written by Cairn, from file_systems"
	elseif v:find("^cairn%.trial=") then
		return "cairn.trial= is written by the boot loader"
	elseif v:find("^cairn%.watchdog=") then
		return "cairn.watchdog= is written by Cairn, from watchdog"
	end
end

local function repeated(list, field)
	local seen = {}
	for _, v in ipairs(list) do
		if seen[v[field]] then
			return v[field]
		end
		seen[v[field]] = true
	end
end

local function esp(list, where)
	for _, fs in ipairs(list) do
		if fs.mount_point == where and fs.type == "vfat" then
			return fs
		end
	end
end

-- What a file system hides of /boot on the root: stage 1 counts there before anything else is mounted, and GRUB has its
-- menu and kernels there. A root that is only read is renewed by an image, and nothing of it is written.
local function hides_boot(os, root)
	local grub = os.bootloader.type == "grub"
	if os.bootloader.type == "efi" or root.type == "squashfs" or root.type == "erofs" then
		return nil
	end
	for _, fs in ipairs(os.file_systems) do
		local at = fs.mount_point
		if at == "/boot" or at == "/boot/grub" or grub and at == "/boot/cairn" then
			return "a file system at '" .. at .. "' hides " .. (grub and "what GRUB reads there on the root [an EFI system "
				.. "partition can be at /boot/efi]" or "/boot/grub of the root, where boots are counted [mount it at "
				.. "/boot/loader; directory of the boot loader names that]")
		end
	end
end

-- What stage 1 mounts is on nothing that is mounted later.
local function check_needed(os)
	mapped_devices.check_early(os)
	local later = {}
	for _, fs in ipairs(os.file_systems) do
		later[fs.mount_point] = fs.mount and not mapped_devices.first(os, fs) and fs or nil
	end
	for _, fs in ipairs(os.file_systems) do
		local first = mapped_devices.first(os, fs)
		for point, other in pairs(first and later or {}) do
			if (fs.mount_point:sub(1, #point + 1) == point .. "/") then
				schema.fail(other, "'" .. fs.mount_point .. "', which is mounted by the initramfs, is below it [needed_for_boot = true]", "mount_point")
			end
		end
		for _, point in ipairs(first and fs.dependencies or {}) do
			if later[point] then
				schema.fail(later[point], "'" .. fs.mount_point .. "', which is mounted by the initramfs, depends on it [needed_for_boot = true]",
					"mount_point")
			end
		end
	end
end

local function line(options)
	options.pattern = "^[^\1-\31\127]*$"
	options.what = "one line of text"
	options.check = function(v)
		return not utf8.len(v) and "is not UTF-8" or conf.flaw(v)
	end
	return schema.string(options)
end

return schema.record("operating_system", {
	host_name = schema.string {
		pattern = "^%w[%w-]*$", max = 63, what = "a host name (letters, digits and -)", doc = "letters, digits and -; also set at once by reconfigure",
	},
	label = line {
		max = 120, doc = "text of the boot menu", default_doc = "Cairn, host NAME",
		default = function(os)
			return "Cairn, host " .. os.host_name
		end,
	},
	timezone = schema.string {
		default = "UTC", doc = "name of a zone, or a rule such as CET-1CEST,M3.5.0,M10.5.0/3",
		check = function(v)
			if not zones.rule(v) then
				return "unknown time zone '" .. v .. "' [a rule such as 'CET-1CEST,M3.5.0,M10.5.0/3' works for every zone]"
			end
		end,
	},
	keyboard = schema.string {
		optional = true, check = keyboards.check, doc = "layout of the console, also in the initramfs, such as de-latin1; left out: us, after a switch from the next boot on",
	},
	console_font = schema.template {
		optional = true, pattern = "^[/\1]", what = "an absolute path, or a file of a package", doc = "font of the console, a PSF file; left out: the kernel's",
	},
	locale = schema.string {
		default = "C.UTF-8", doc = "LANG of services and logins: C.UTF-8, C or POSIX, musl has no other",
		check = function(v)
			if v ~= "C.UTF-8" and v ~= "C" and v ~= "POSIX" then
				local near = v:lower():find("^c%.utf%-?8$") and "; did you mean 'C.UTF-8'?" or ""
				return "there is no locale '" .. v .. "'" .. near .. ": the C library knows C.UTF-8, and C and POSIX as other names of it "
					.. "[programs from elsewhere that bring theirs take LANG of environment]"
			end
		end,
	},
	kernel = schema.target {
		default_doc = "packages.linux", doc = "package with bzImage and lib/modules",
		default = function()
			return require "packages.linux"
		end,
	},
	kernel_loadable_modules = schema.list(schema.target(),
		{ default = {}, doc = "packages whose lib/modules/VERSION/….ko are put among the kernel's modules" }),
	kernel_arguments = schema.list(schema.string { check = argument },
		{ default = { "quiet" }, doc = "besides root= and what belongs to it, which Cairn adds" }),
	kernel_modules = schema.list(schema.string { pattern = "^[%w_-]+$", what = "the name of a kernel module" },
		{ default = {}, unique = true, doc = "loaded at boot" }),
	initrd_modules = schema.list(schema.string { pattern = "^[%w_-]+$", what = "the name of a kernel module" },
		{ default = {}, unique = true, doc = "loaded before the root file system is looked for" }),
	initrd_files = schema.map(relative("the root of the initramfs", "^[%w_][%w._/+-]*$"),
		schema.template { pattern = "^\1", what = "a file of a package, nor what text or source makes" },
		{ default = {}, check = check_files, doc = "path = file of a package: more that is in the initramfs" }),
	firmware = schema.list(schema.target(), { default = {}, doc = "packages whose lib/firmware the kernel reads" }),
	initrd_rescue = schema.boolean { default = true, doc = "a shell in the initramfs" },
	file_systems = schema.list(schema.of(file_systems.file_system), { min = 1, doc = "one of them at /" }),
	mapped_devices = schema.list(schema.of(mapped_devices.mapped_device),
		{ default = {}, doc = "devices made from others: LUKS, RAID, LVM" }),
	swap = schema.list(schema.of(file_systems.swap), { default = {}, doc = "swap spaces" }),
	device_rules = schema.list(schema.of(device_rule), { default = {}, doc = "before the usual ones; the first that matches counts" }),
	directories = schema.list(schema.of(directory), { default = {}, doc = "made at boot" }),
	users = schema.list(schema.of(accounts.user), { default = {}, doc = "besides root and nobody; an entry called root changes root" }),
	groups = schema.list(schema.of(accounts.group), { default = {}, doc = "besides the usual ones and those of users" }),
	skeletons = schema.map(relative("the home directory", "^[%w._/+@-]+$"),
		schema.one_of { schema.string { multiline = true, min = 0 }, schema.target {} },
		{ default = {}, check = check_files, doc = "path = text or file: copied into new home directories" }),
	secrets = schema.list(schema.of(secrets.secret), { default = {}, unique = "name", doc = "named here, with values that are elsewhere" }),
	privileged_programs = schema.list(schema.of(privileged.program),
		{ default = {}, unique = "name", doc = "programs that run with more rights than who starts them" }),
	packages = schema.list(schema.target(), { default = {}, doc = "besides the base packages" }),
	services = schema.list(service.field(), {
		default_doc = "services.base {}", doc = "besides the essential ones",
		default = function()
			return require("services").base {}
		end,
	}),
	bootloader = schema.of(bootloader, {
		default_doc = "GRUB", doc = "how the machine is started",
		default = function()
			return bootloader {}
		end,
	}),
	health_gate = schema.of(health_gate, {
		default_doc = "base, and the build daemon", doc = "what must be up before a new generation counts as good",
		default = function()
			return health_gate {}
		end,
	}),
	service_namespaces = schema.boolean { optional = true, default_doc = "true; in a container image false",
		doc = "services that are shut in have mounts of their own; false: they are shut in by capabilities and the filter of system calls alone, as a container without sys_admin can" },
	read_only_store = schema.boolean { default = true, doc = "/gnu/store is mounted read-only for all but the build daemon" },
	power_button = schema.enum({ "poweroff", "reboot", "ignore" }, { default = "poweroff", doc = "what it does" }),
	ctrl_alt_del = schema.enum({ "reboot", "poweroff", "ignore" }, { default = "reboot", doc = "the keys on the console" }),
	channel = schema.of(channel, { optional = true, doc = "where 'cairn pull' gets new modules from" }),
	watchdog = schema.of(watchdog, { optional = true, doc = "left out: none is used" }),
	issue = schema.string { default = "Cairn \\n (\\l)\n\n", min = 0, multiline = true, doc = "text before the login" },
	motd = schema.string { default = "", min = 0, multiline = true, doc = "text after the login" },
	hosts = schema.map(network.address {},
		schema.list(schema.string { pattern = "^[%w.-]+$", what = "a host name" }),
		{ default = {}, doc = "further lines of /etc/hosts" }),
	name_servers = schema.list(network.address {},
		{ default = {}, doc = "fixed ones; left out: those that DHCP gives" }),
	sysctl = schema.map(schema.string {
			pattern = "^[%w_./-]+$", what = "the name of a kernel setting",
			-- Either sign parts a name, and the other one stands for it in a part: net.ipv4.conf.eth0/1.mtu
			check = function(v)
				if v:find("^[./]") or v:find("[./]$") or v:find("[./][./]") then
					return "'" .. v .. "' has a part without a name"
				end
			end,
		},
		schema.one_of({ schema.integer {}, schema.string { check = conf.flaw } }), { default = {}, doc = "kernel settings, [\"vm.swappiness\"] = 10; a switch to a generation that does not name one writes back what it was before" }),
	environment = schema.map(schema.string {
			pattern = "^[%a_][%w_]*$", what = "the name of a variable",
			check = function(v)
				if v == "PATH" then
					return "is made of the profiles, privileged programs first [packages adds programs; .profile.local in skeletons changes it for "
						.. "logins, environment of a service for that]"
				end
			end,
		},
		schema.template {}, { default = {}, doc = "of all services and logins" }),
}, {
	doc = "a machine", keywords = "dns resolver locale timezone hostname kernel",
	example = [[
system.operating_system {
	host_name = "stone", timezone = "Europe/Berlin",
	file_systems = { { device = "LABEL=root", mount_point = "/" } },
	users = { { name = "ann", groups = { "wheel" } } },
	services = services.base { services.openssh {} },
}]],
	check = function(os)
		local root
		for _, fs in ipairs(os.file_systems) do
			root = root or (fs.mount_point == "/" and fs)
		end
		if not root then
			return "no file system is mounted at '/'", "file_systems"
		end
		local where = os.bootloader.type == "efi" and os.bootloader.directory
		if where and not esp(os.file_systems, where) then
			return "no vfat file system is mounted at '" .. where .. "', where the boot loader has its kernels", "file_systems"
		end
		local hidden = hides_boot(os, root)
		if hidden then
			return hidden, "file_systems"
		end
		local points = {}
		for _, fs in ipairs(os.file_systems) do
			points[fs.mount_point] = fs.mount
		end
		for _, list in ipairs { os.file_systems, os.swap } do
			for _, x in ipairs(list) do
				for _, point in ipairs(x.dependencies) do
					if point:sub(1, 1) == "/" and not points[point] then
						schema.fail(x, "no file system is mounted at '" .. point .. "'", "dependencies")
					end
				end
			end
		end
		check_needed(os)
		mapped_devices.check(os)
		local twice = repeated(os.file_systems, "mount_point")
		if twice then
			return "two file systems are mounted at '" .. twice .. "'", "file_systems"
		end
		twice = repeated(os.swap, "device")
		if twice then
			return "'" .. twice .. "' is given twice", "swap"
		end
		twice = repeated(os.directories, "path")
		if twice then
			return "the directory '" .. twice .. "' is given twice", "directories"
		end
		twice = repeated(os.users, "name")
		if twice then
			return "there are two users '" .. twice .. "'", "users"
		end
		twice = repeated(os.groups, "name")
		if twice then
			return "there are two groups '" .. twice .. "'", "groups"
		end
	end,
})

-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- The build daemon. PID 1 holds its socket; a restart refuses no connection and ends no build.

local conf = require "system.conf"
local own_paths = require "system.own_paths"
local service = require "system.service"
local tools = require "system.tools"

-- What is wrong with the text of a key, or of a file of them.
local function check_key(text)
	local readers, why = public_keys(text)
	if readers then
		return nil
	elseif not text:find("\n.") then
		why = why:gsub("^line 1: ", "")
	end
	return why .. (text:find("^[%w_./-]+$") and ' [read_file("FILE") gives what is in a file]' or "")
end

-- Each key in the files of those daemons that count it.
local function key_files(keys)
	local files = {}
	for _, text in ipairs(keys) do
		local readers = public_keys(text)
		for _, family in ipairs { "guix", "nix" } do
			if readers == family or readers == "both" then
				local path = family .. "/authorized-keys"
				files[path] = (files[path] or "# Written by Cairn from the configuration of the system.\n")
					.. text .. (text:sub(-1) == "\n" and "" or "\n")
			end
		end
	end
	return files
end

local function check_mode(v)
	if not v:find("^0[0-7][0-7][0-7]$") then
		return "'" .. v .. "' is not an octal mode" .. (v:find("^[0-7][0-7][0-7]$") and " [0" .. v .. "]" or "")
	end
end

local function seconds(default, doc)
	return schema.integer { default = default, min = 0, max = 4294967295, doc = "seconds " .. doc }
end

local function account(default, doc)
	return schema.string { default = default, pattern = "^[%l_][%w_-]*$", max = 31, what = "the name of an account", doc = doc }
end

return service.service_type {
	name = "daemon",
	doc = "the build daemon",
	keywords = "build guix nix",
	example = [[services.daemon { max_jobs = 2, substitute_urls = { "https://cache.example" } }]],
	fields = {
		socket = schema.path { default = "/var/guix/daemon-socket/socket", check = own_paths.check_socket, doc = "where it listens" },
		mode = schema.string { default = "0666", check = check_mode, doc = "of the socket: who may write to it may build" },
		socket_user = account("root", "whose the socket is"),
		socket_group = account("root", "and whose group"),
		max_jobs = schema.integer { default = 0, min = 0, max = 1024, doc = "builds at the same time; 0: processors" },
		cores = schema.integer { default = 0, min = 0, max = 1024, doc = "processors for each build; 0: all" },
		max_silent_time = seconds(3600, "that a build may print nothing; 0: no bound. Clients may say otherwise"),
		timeout = seconds(86400, "that a build may take; 0: no bound. Clients may say otherwise"),
		log_compression = schema.enum({ "gzip", "none" }, { default = "gzip", doc = "of the logs of builds" }),
		build_group = schema.string { optional = true, pattern = "^[%l_][%w_-]*$", max = 31, what = "the name of a group",
			default_doc = "none: ids without a name", doc = "builds run as its members, not as ids of nobody" },
		chroot_directories = schema.list(schema.string { pattern = "^/[^%s=]*=?/?[^%s=]*$", what = "DIR or INSIDE=DIR" },
			{ default = {}, unique = true, doc = "directories that every builder sees, read-only: builds depend on this machine then" }),
		environment = schema.map(schema.string { pattern = "^[%a_][%w_]*$", what = "the name of a variable" }, schema.string { check = conf.flaw },
			{ default = {}, doc = "of the daemon, such as http_proxy for what it downloads" }),
		host_loopback = schema.boolean { default = false, doc = "builders of fixed outputs reach 127.0.0.1 of the machine" },
		use_substitutes = schema.boolean { default = true, doc = "false: no cache is asked, whatever clients say" },
		substitute_urls = schema.list(schema.string { pattern = "^%l+://[^%s]+$", what = "the URL of a cache" },
			{ default = {}, doc = "caches to ask before a build" }),
		authorized_keys = schema.list(schema.string { multiline = true, check = check_key },
			{ default = {}, doc = "public keys whose signatures count, besides those of `cairn archive --authorize`; read_file gives a file's" }),
		drain_timeout = schema.integer { default = 86400, min = 0, max = 4294967295, doc = "seconds that open connections have after the daemon was replaced; 0: no bound" },
		git = schema.boolean { default = false, doc = "have git, for derivations that fetch repositories" },
		activate = schema.boolean { default = false, doc = "start at the first connection" },
		extra_arguments = schema.list(schema.template {}, { default = {}, doc = "further options of `cairn daemon` (cairn-daemon(8)), such as \"--rounds=2\"" }),
	},
	extend = function(s)
		local exec = { tools.cairn .. "/bin/cairn", "daemon", "--slirp4netns=" .. tools.slirp4netns .. "/bin/slirp4netns" }
		if s.git then
			exec[#exec + 1] = "--git=" .. require "packages.git" .. "/bin/git"
		end
		if not s.host_loopback then
			exec[#exec + 1] = "--isolate-host-loopback"
		end
		if s.max_jobs > 0 then
			exec[#exec + 1] = "--max-jobs=" .. s.max_jobs
		end
		if s.cores > 0 then
			exec[#exec + 1] = "--cores=" .. s.cores
		end
		if s.drain_timeout ~= 86400 then
			exec[#exec + 1] = "--drain-timeout=" .. s.drain_timeout
		end
		if s.max_silent_time ~= 3600 then
			exec[#exec + 1] = "--max-silent-time=" .. s.max_silent_time
		end
		if s.timeout ~= 86400 then
			exec[#exec + 1] = "--timeout=" .. s.timeout
		end
		if s.log_compression ~= "gzip" then
			exec[#exec + 1] = "--log-compression=" .. s.log_compression
		end
		if s.build_group then
			exec[#exec + 1] = "--build-users-group=" .. s.build_group
		end
		for _, dir in ipairs(s.chroot_directories) do
			exec[#exec + 1] = "--chroot-directory=" .. dir
		end
		if not s.use_substitutes then
			exec[#exec + 1] = "--no-substitutes"
		end
		if #s.substitute_urls > 0 then
			exec[#exec + 1] = "--substitute-urls=" .. table.concat(s.substitute_urls, " ")
		end
		for _, word in ipairs(s.extra_arguments) do
			exec[#exec + 1] = word
		end
		local listen = "stream " .. conf.word(s.socket) .. " mode=" .. s.mode
		for _, kind in ipairs { "user", "group" } do
			local name = s["socket_" .. kind]
			listen = listen .. (name ~= "root" and " " .. kind .. "=" .. name or "")
		end
		return {
			etc = key_files(s.authorized_keys),
			mentions = {
				{ user = s.socket_user, field = "socket_user" }, { group = s.socket_group, field = "socket_group" },
				{ group = s.build_group, field = "build_group" },
			},
			init = {
				{
					name = "cairn-daemon", description = "build daemon",
					type = "notify", exec = exec,
					listen = { listen }, environment = next(s.environment) ~= nil and s.environment or nil,
					start_timeout = "5min",
					activate = s.activate, delegate = true, stop_scope = "main",
					requires = { "base" },
					sandbox = "none", -- it makes mounts, namespaces and control groups for builds
				},
			},
		}
	end,
}

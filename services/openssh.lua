-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- Logins over the network by SSH, with files (SFTP) and what else OpenSSH has. The host's key is the machine's own: made at
-- the first start.

local accounts = require "system.accounts"
local network = require "system.network"
local service = require "system.service"
local ssh_keys = require "system.ssh_keys"
local tools = require "system.tools"

local KEYS = "/var/lib/openssh"

-- A key that was cut off while it was made is made again.
local START = [[
#!@busybox@ sh
b=@busybox@ key=@keys@/host_ed25519
umask 077
$b mkdir -p @keys@
if [ ! -s "$key" ]; then
	$b rm -f "$key.new" "$key.new.pub"
	@openssh@/bin/ssh-keygen -q -t ed25519 -N '' -C "$($b hostname)" -f "$key.new" && $b fsync "$key.new" &&
		$b mv "$key.new.pub" "$key.pub" && $b mv "$key.new" "$key" || exit 1
fi
exec @openssh@/sbin/sshd -D -e -f @config@
]]

local function yes(v)
	return v and "yes" or "no"
end

-- What fields say; others would be a second port, or a port that no firewall knows of.
local FIELDS = { passwordauthentication = "password_login", port = "port" }

local function field_of(s, line)
	line = line:lower()
	return FIELDS[line:match("^%a+")] or s.sftp and line:find('^subsystem%s+"?sftp"?%s') and "sftp"
end

-- From the first Match on, lines hold for some logins only.
local function find_match(settings)
	for i, line in ipairs(settings) do
		if line:lower():find("^match ") then
			return i
		end
	end
	return #settings + 1
end

-- Of several lines of one name sshd takes the first.
local function config(s, package)
	local match = find_match(s.settings)
	local lines = table.move(s.settings, 1, match - 1, 1, {})
	for _, line in ipairs {
		"Port " .. s.port, "HostKey " .. KEYS .. "/host_ed25519", "PidFile none", "PrintMotd no",
		"PermitRootLogin " .. (not s.root_login and "no" or s.password_login and "yes" or "prohibit-password"),
		"PasswordAuthentication " .. yes(s.password_login), "KbdInteractiveAuthentication no",
		"AuthorizedKeysFile .ssh/authorized_keys /etc/ssh/authorized_keys.d/%u",
	} do
		lines[#lines + 1] = line
	end
	if s.sftp then
		lines[#lines + 1] = "Subsystem sftp " .. package .. "/libexec/sftp-server"
	end
	table.move(s.settings, match, #s.settings, #lines + 1, lines)
	return table.concat(lines, "\n") .. "\n"
end

-- The same, read once by the program that will read it: what it does not understand is no system. It wants to have a host key.
local CHECK = [[
"$openssh/bin/ssh-keygen" -q -t ed25519 -N '' -f key
"$openssh/sbin/sshd" -t -f "$config" -h "$PWD/key" 2>said || { "$busybox" grep -v '^Unable to load host key' said >&2; exit 1; }
"$busybox" cat "$config" >"$out"
]]

local function checked(contents, package)
	local busybox = tools.busybox .. "/bin/busybox"
	return derivation {
		name = "sshd_config", builder = busybox, args = { "sh", "-ec", CHECK },
		env = { busybox = busybox, openssh = package, config = text("sshd_config-lines", contents, { busybox = busybox }) },
	}
end

return service.service_type {
	name = "openssh",
	doc = "logins over the network by SSH, with SFTP; keys are ed25519 only",
	keywords = "ssh sshd scp sftp remote",
	example = 'services.openssh { authorized_keys = { ann = { "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIK/rS9RU0iZewy3/1h9cEQW0VRH+UYTaI0MzaEfto/lV ann@home" } } }',
	fields = {
		port = network.port { default = 22, doc = "TCP" },
		password_login = schema.boolean { default = false, doc = "else only keys" },
		root_login = schema.boolean { default = true, doc = "root may log in" },
		sftp = schema.boolean { default = true, doc = "files, too" },
		authorized_keys = ssh_keys.field({ "ssh-ed25519" }, ssh_keys.OPENSSH, "who is let in by which keys, besides those of ~/.ssh/authorized_keys"),
		settings = schema.list(schema.string { pattern = "^%u%a+ [^\1-\31\127]+$", what = "a line of sshd_config" },
			{ default = {}, doc = "more lines of sshd_config; they win over what the other fields say" }),
	},
	check = function(s)
		for i = 1, find_match(s.settings) - 1 do
			local field = field_of(s, s.settings[i])
			if field then
				return "'" .. s.settings[i] .. "': the field " .. field .. " says that", "settings"
			end
		end
	end,
	extend = function(s)
		local package = require "packages.openssh"
		local etc, mentions = ssh_keys.files("ssh/authorized_keys.d", s.authorized_keys)
		local file = checked(config(s, package), package)
		return {
			listens = { { protocol = "tcp", port = s.port, field = "port" } }, profile = { package }, mentions = mentions, etc = etc, users = { accounts.user { name = "sshd", system = true } },
			activation = { { directory = "/var/empty", mode = "0755" } },
			init = {
				{
					name = "openssh", description = "logins by SSH",
					exec = { network.script("openssh-start", START, { openssh = package, keys = KEYS, config = file }) },
					requires = { "base" }, after = { "networks", "firewall" },
					stop_scope = "main", -- a restart ends nobody's session
					sandbox = "none", -- those it lets in are its children, and do what users do
				},
			},
		}
	end,
}

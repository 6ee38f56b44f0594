-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- Logins over the network by SSH, with files (SFTP) and what else OpenSSH has. The host's key is the machine's own: made at
-- the first start.

local accounts = require "system.accounts"
local network = require "system.network"
local service = require "system.service"

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

local function config(s, package)
	local lines = {
		"Port " .. s.port, "HostKey " .. KEYS .. "/host_ed25519", "PidFile none", "PrintMotd no", "PrintLastLog no",
		"PermitRootLogin " .. (not s.root_login and "no" or s.password_login and "yes" or "prohibit-password"),
		"PasswordAuthentication " .. yes(s.password_login), "KbdInteractiveAuthentication no",
		"AuthorizedKeysFile .ssh/authorized_keys /etc/ssh/authorized_keys.d/%u",
	}
	if s.sftp then
		lines[#lines + 1] = "Subsystem sftp " .. package .. "/libexec/sftp-server"
	end
	for _, line in ipairs(s.settings) do
		lines[#lines + 1] = line
	end
	return table.concat(lines, "\n") .. "\n"
end

return service.service_type {
	name = "openssh",
	doc = "logins over the network by SSH, with SFTP; keys are ed25519 only",
	keywords = "ssh sshd scp sftp remote",
	example = 'services.openssh { authorized_keys = { ann = { "ssh-ed25519 AAAA… ann@home" } } }',
	fields = {
		port = network.port { default = 22, doc = "TCP" },
		password_login = schema.boolean { default = false, doc = "else only keys" },
		root_login = schema.boolean { default = true, doc = "root may log in" },
		sftp = schema.boolean { default = true, doc = "files, too" },
		authorized_keys = schema.map(
			schema.string { pattern = "^[a-z_][a-z0-9_-]*$", what = "the name of a user" },
			schema.list(schema.string { pattern = "^[%w@.-]+ [%w+/=]+[^\1-\31\127]*$", max = 4000, what = "a public key, one line" }),
			{ default = {}, doc = "who is let in by which keys, besides those of ~/.ssh/authorized_keys" }),
		settings = schema.list(schema.string { pattern = "^%u%a+ [^\1-\31\127]+$", what = "a line of sshd_config" }, { default = {}, doc = "more lines of sshd_config" }),
	},
	extend = function(s)
		local package = require "packages.openssh"
		local etc, mentions = {}, {}
		for user, keys in pairs(s.authorized_keys) do
			mentions[#mentions + 1] = { user = user, field = "authorized_keys" }
			etc["ssh/authorized_keys.d/" .. user] = table.concat(keys, "\n") .. "\n"
		end
		local file = text("sshd_config", config(s, package), { busybox = require("system.tools").busybox .. "/bin/busybox" })
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

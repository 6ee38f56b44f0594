-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- Logins over the network by SSH. Host keys are the machine's own: made at the first start.

local dropbear = require "packages.dropbear"
local service = require "system.service"
local ssh_keys = require "system.ssh_keys"
local tools = require "system.tools"

local KEYS = "/var/lib/dropbear"

-- A key that was cut off while it was made is made again.
local START = [[
#!@busybox@ sh
b=@busybox@
keys=]] .. KEYS .. "\n" .. [[
umask 077
$b mkdir -p "$keys"
for type in ed25519 ecdsa; do
	file=$keys/host_$type
	if [ ! -s "$file" ]; then
		$b rm -f "$file.new"
		@dropbear@/bin/dropbearkey -t $type -f "$file.new" >/dev/null 2>&1 && $b fsync "$file.new" && $b mv "$file.new" "$file" || exit 1
	fi
	set -- "$@" -r "$file"
done
exec @dropbear@/sbin/dropbear -F -E "$@"
]]

-- Where our Dropbear looks for what is declared (packages/dropbear/declared-keys.patch): root alone writes there. A file of
-- root's in a home would be wherever the user's links lead, and would stay when nothing declares it any more.
local DECLARED = "dropbear/authorized_keys.d"

-- The installer knows the same (image/answers.c).
local KINDS = { "ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
	"sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com" }

return service.service_type {
	name = "dropbear",
	doc = "logins over the network by SSH",
	keywords = "ssh sshd remote",
	example = [[services.dropbear { authorized_keys = { ann = { "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIK/rS9RU0iZewy3/1h9cEQW0VRH+UYTaI0MzaEfto/lV ann" } } }]],
	fields = {
		port = schema.integer { default = 22, min = 1, max = 65535, doc = "TCP port" },
		password_login = schema.boolean { default = false, doc = "else only keys" },
		root_login = schema.boolean { default = true, doc = "root may log in, with a key or as password_login says" },
		authorized_keys = ssh_keys.field(KINDS, ssh_keys.DROPBEAR,
			"who is let in by which keys, and by no others; of who is not among them, ~/.ssh/authorized_keys counts"),
	},
	extend = function(s)
		local busybox = tools.busybox .. "/bin/busybox"
		local function script(name, contents)
			return text(name, (contents:gsub("@(%w+)@", { busybox = busybox, dropbear = tostring(dropbear) })),
				{ executable = true, busybox = busybox })
		end
		local exec = { script("dropbear-start", START), "-p", tostring(s.port) }
		if not s.password_login then
			exec[#exec + 1] = "-s"
		end
		if not s.root_login then
			exec[#exec + 1] = "-w"
		end
		local etc, mentions = ssh_keys.files(DECLARED, s.authorized_keys)
		return {
			listens = { { protocol = "tcp", port = s.port, field = "port" } }, profile = { dropbear }, mentions = mentions, etc = etc,
			init = {
				{
					name = "dropbear", description = "logins by SSH", exec = exec,
					requires = { "base" }, after = { "networks" },
					stop_scope = "main", -- a restart ends nobody's session
					sandbox = "none", -- those it lets in are its children, and do what users do
				},
			},
		}
	end,
}

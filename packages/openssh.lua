-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- Without OpenSSL: keys are ed25519, ciphers chacha20-poly1305 and aes-ctr, key exchange curve25519 and sntrup761.

local build = require "packages.build"
local package, origin = build.package, build.origin
local zlib = require "packages.zlib"

return package {
	name = "openssh", version = "9.2p1",
	source = origin {
		urls = {
			"https://cdn.openbsd.org/pub/OpenBSD/OpenSSH/portable/openssh-9.2p1.tar.gz",
			"mirror://debian/pool/main/o/openssh/openssh_9.2p1.orig.tar.gz",
		},
		sha256 = "3f66dbf1655fb45f50e1c56da62ab01218c228807b21338d634ebcdf9d71cf46",
	},
	inputs = { zlib, require "packages.linux-headers" },
	phases = {
		configure = [[
			./configure --prefix="$out" --sysconfdir=/etc/ssh CC=cc CFLAGS=-O2 --without-openssl --with-zlib=]] .. zlib .. [[ \
				--without-pie --without-stackprotect --with-sandbox=seccomp_filter --with-privsep-user=sshd --with-privsep-path=/var/empty \
				--disable-lastlog --disable-utmp --disable-utmpx --disable-wtmp --disable-wtmpx --disable-pututline --disable-pututxline \
				--disable-security-key --disable-pkcs11 --without-ssl-engine --with-default-path=/run/current-system/profile/bin:/run/current-system/profile/sbin:/bin:/usr/bin
		]],
		build = [[make -j"$cores" ssh sshd scp sftp sftp-server ssh-keygen ssh-add ssh-agent ssh-keyscan]],
		install = [[
			mkdir -p "$out/bin" "$out/sbin" "$out/libexec"
			cp ssh scp sftp ssh-keygen ssh-add ssh-agent ssh-keyscan "$out/bin/"
			cp sshd "$out/sbin/"
			cp sftp-server "$out/libexec/"
		]],
	},
	synopsis = "SSH server and client, with SFTP",
	description = "Secure shell: remote logins and copies by ssh, sshd, scp, sftp, ssh-keygen, ssh-agent.",
	license = "BSD-2-Clause AND BSD-3-Clause AND ISC",
	home_page = "https://www.openssh.com/portable.html",
}

-- SPDX-License-Identifier: GPL-3.0-or-later
--
-- What builtin:git-download runs: fetching over HTTP and Git's own protocol, submodules. No scripts, no Perl, no
-- Python.

local build = require "packages.build"
local package, origin = build.package, build.origin

return package {
	name = "git", version = "2.47.3",
	source = origin {
		urls = { "mirror://debian/pool/main/g/git/git_2.47.3.orig.tar.xz" },
		sha256 = "9c2eb1250781b3e5bfef098572d07fdf132d67e6c065e4307332ade9819a1501",
	},
	inputs = { require "packages.curl", require "packages.mbedtls", require "packages.zlib" },
	phases = {
		configure = "",
		build = [[
			flags="CC=cc AR=ar prefix=$out gitexecdir=libexec/git-core NO_PERL=1 NO_PYTHON=1 NO_TCLTK=1
				NO_GETTEXT=1 NO_EXPAT=1 NO_OPENSSL=1 NO_ICONV=1 NO_REGEX=NeedsStartEnd"
			make -j"$cores" $flags CFLAGS="-O1" \
				CURL_CFLAGS="$(pkg-config --cflags libcurl)" CURL_LDFLAGS="$(pkg-config --libs libcurl)" \
				git git-remote-http
		]],
		install = [[
			core="$out/libexec/git-core"
			mkdir -p "$out/bin" "$core"
			cp git "$out/bin/"
			cp git-remote-http "$core/"
			ln -s git-remote-http "$core/git-remote-https"
			ln -s ../../bin/git "$core/git"
		]],
	},
	synopsis = "Cloning of Git repositories",
	description = "Version control: clone and fetch.",
	license = "GPL-2.0-only",
	home_page = "https://git-scm.com/",
}

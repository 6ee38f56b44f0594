-- SPDX-License-Identifier: GPL-3.0-or-later

local build = require "packages.build"
local package, origin = build.package, build.origin
local mbedtls = require "packages.mbedtls"
local zlib = require "packages.zlib"

return package {
	name = "curl", version = "7.88.1",
	source = origin {
		urls = {
			"https://curl.se/download/curl-7.88.1.tar.gz",
			"mirror://debian/pool/main/c/curl/curl_7.88.1.orig.tar.gz",
		},
		sha256 = "cdb38b72e36bc5d33d5b8810f8018ece1baa29a8f215b4495e495ded82bbf3c7",
	},
	inputs = { mbedtls, zlib },
	configure_flags = {
		"--with-mbedtls=" .. mbedtls, "--with-zlib=" .. zlib, "--enable-ipv6",
		"--with-ca-bundle=/etc/ssl/certs/ca-certificates.crt", "--without-ca-path",
		"--without-brotli", "--without-zstd", "--without-libpsl", "--without-libidn2", "--without-nghttp2",
		"--without-librtmp", "--without-libssh2", "--disable-ldap", "--disable-ldaps", "--disable-manual",
		"--disable-dict", "--disable-gopher", "--disable-imap", "--disable-mqtt", "--disable-pop3",
		"--disable-rtsp", "--disable-smb", "--disable-smtp", "--disable-telnet", "--disable-tftp",
		"--disable-ntlm", "--enable-threaded-resolver", "--enable-pthreads",
	},
	phases = { finish = [[rm -f "$out/bin/curl-config"]] },
	synopsis = "Downloads: libcurl and its program",
	description = "Transfer of files by URL: HTTP, HTTPS, FTP. A web client.",
	license = "curl",
	home_page = "https://curl.se/",
}

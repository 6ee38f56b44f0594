# SPDX-License-Identifier: GPL-3.0-or-later
#
# What package scripts can call.  Sourced by bash inside the seed's root, with
# $out, $src, $patches, $inputs, $native_inputs, $musl, $headers and $checks set.

set -euo pipefail
umask 022

cores=$NIX_BUILD_CORES
[ "$cores" != 0 ] || cores=$(nproc)
unset NIX_BUILD_CORES

phase=set-up
trap 'status=$?; [ $status = 0 ] || echo "failed in phase $phase (exit code $status)" >&2' EXIT

begin()
{
	phase=$1
	echo "== $phase"
}

# tool NAME <<END: a script that comes before everything else in PATH.
tool()
{
	cat >"/build/tools/$1"
	chmod 755 "/build/tools/$1"
}

# The compiler that links statically with our musl.  All flags sit in the
# wrapper and none in the environment, where nested configure scripts and host
# programs would pick them up.  Programs that run during the build and never
# reach an output may use /usr/bin/gcc.
set_up_tools()
{
	local dir include= link= pc=

	mkdir -p /build/tools
	for dir in $native_inputs; do
		if [ -d "$dir/bin" ]; then PATH=$dir/bin:$PATH; fi
		if [ -d "$dir/sbin" ]; then PATH=$dir/sbin:$PATH; fi
	done
	PATH=/build/tools:$PATH
	if [ -z "$musl" ]; then return; fi
	for dir in $inputs; do
		if [ -d "$dir/include" ]; then include="$include -isystem $dir/include"; fi
		if [ -d "$dir/lib" ]; then link="$link -L$dir/lib"; fi
		if [ -d "$dir/lib/pkgconfig" ]; then pc=$pc${pc:+:}$dir/lib/pkgconfig; fi
	done
	tool cc <<-END
		#!/bin/sh
		exec /usr/bin/gcc -fno-pie -no-pie -static -ffile-prefix-map=/build/src=. $include -isystem $headers/include "\$@" $link -specs=$musl/lib/musl-gcc.specs
	END
	cp /build/tools/cc /build/tools/gcc
	cp /build/tools/cc /build/tools/musl-gcc
	tool pkg-config <<-END
		#!/bin/sh
		PKG_CONFIG_LIBDIR=$pc
		export PKG_CONFIG_LIBDIR
		exec /usr/bin/pkgconf --static "\$@"
	END
	cp /build/tools/pkg-config /build/tools/pkgconf
}

# Every source is unpacked to /build/src, whatever its archive calls it.
unpack()
{
	mkdir -p /build/src
	cd /build/src
	if [ -z "$src" ]; then return; fi
	if [ -d "$src" ]; then
		cp -R "$src/." .
		chmod -R u+w .
	else
		tar -xf "$src" --strip-components=1
	fi
}

apply_patches()
{
	local file

	for file in $patches; do
		echo "patch ${file##*/}"
		patch -p1 --no-backup-if-mismatch <"$file"
	done
}

# gnu_configure FLAG...
gnu_configure()
{
	./configure --prefix="$out" --disable-shared --enable-static \
		--disable-dependency-tracking CC=cc CFLAGS=-O2 "$@"
}

gnu_build()
{
	make -j"$cores" "$@"
}

gnu_install()
{
	make install "$@"
}

meson_configure()
{
	cat >/build/cross.ini <<-END
		[binaries]
		c = 'cc'
		ar = 'ar'
		strip = 'strip'
		pkgconfig = 'pkg-config'
		[host_machine]
		system = 'linux'
		cpu_family = 'x86_64'
		cpu = 'x86_64'
		endian = 'little'
	END
	CC_FOR_BUILD=/usr/bin/gcc meson setup /build/obj . --prefix="$out" --libdir=lib \
		--buildtype=release --default-library=static --wrap-mode=nodownload \
		--cross-file=/build/cross.ini "$@"
}

cmake_configure()
{
	cmake -S "${cmake_source:-.}" -B /build/obj -G 'Unix Makefiles' -DCMAKE_INSTALL_PREFIX="$out" \
		-DCMAKE_BUILD_TYPE=Release -DCMAKE_C_COMPILER=/build/tools/cc \
		-DCMAKE_INSTALL_LIBDIR=lib -DBUILD_SHARED_LIBS=OFF "$@"
}

# What is only for reading, or only for a linker that knows libtool, goes.
prune()
{
	rm -rf "$out/share/man" "$out/share/doc" "$out/share/info" "$out/share/locale" \
		"$out/share/bash-completion" "$out/share/aclocal" "$out/man" "$out/doc"
	find "$out" -name '*.la' -delete
	find "$out" -type d -empty -delete
}

is_elf()
{
	[ "$(head -c 4 "$1" | od -An -c | tr -d ' ')" = '177ELF' ]
}

strip_output()
{
	local file

	find "$out" -type f -name '*.a' -exec strip -D -g {} +
	find "$out" -type f -perm -100 ! -name '*.a' | while read -r file; do
		if is_elf "$file"; then strip -s "$file"; fi
	done
}

# A program must be static, a script's interpreter must be in the store: there is
# nothing else where this output will be used.
check_output()
{
	local file line bad=0

	[ -e "$out" ] || { echo "the package installed nothing" >&2; return 1; }
	while read -r file; do
		if is_elf "$file"; then
			if readelf -lW "$file" 2>/dev/null | grep -q INTERP; then
				echo "not static: $file" >&2
				bad=1
			fi
			continue
		fi
		IFS= read -r line <"$file" 2>/dev/null || :
		case $line in
		'#!'*"$NIX_STORE"/*) ;;
		'#!'*)
			echo "interpreter outside the store: $file: $line" >&2
			bad=1
			;;
		esac
	done < <(find "$out" -type f -perm -100)
	return $bad
}

# The output as the store will have it: no dates, no left-over permissions.
finish()
{
	begin finish
	case " $checks " in *' prune '*) prune ;; esac
	case " $checks " in *' strip '*) strip_output ;; esac
	case " $checks " in *' static '*) check_output ;; esac
	phase=done
	echo "== user and system time, of the shell and of what it ran"
	times
}

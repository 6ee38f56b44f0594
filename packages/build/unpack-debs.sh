# SPDX-License-Identifier: GPL-3.0-or-later
#
# Unpacks $debs into one tree with everything below usr/, as the seed's builders
# enter it.  Run by the seed's busybox; $after is run in the tree at the end.

set -eu

busybox=$1
mkdir() { "$busybox" mkdir "$@"; }
mkdir "$NIX_BUILD_TOP/bin" "$NIX_BUILD_TOP/tree"
"$busybox" --install -s "$NIX_BUILD_TOP/bin"
unset -f mkdir
PATH=$NIX_BUILD_TOP/bin
umask 022

cd "$NIX_BUILD_TOP/tree"
for deb in $debs; do
	ar p "$deb" data.tar.xz | xz -dc | tar -x -o -f - || {
		echo "cannot unpack $deb" >&2
		exit 1
	}
done
rm -rf etc var usr/share/doc usr/share/man usr/share/locale usr/share/info usr/share/lintian \
	usr/share/bug usr/share/doc-base usr/share/bash-completion usr/share/gdb

# bin, lib and so on are links to usr/bin, usr/lib in the root that is made of this.
mkdir -p usr/bin usr/sbin usr/lib usr/lib64
for dir in bin sbin lib lib64; do
	if [ -d $dir ]; then
		cp -a $dir/. usr/$dir/
		rm -rf $dir
	fi
done
eval "$after"
chmod -R u+w,go-w .
mkdir "$out"
mv usr "$out/usr"

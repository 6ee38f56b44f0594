# SPDX-License-Identifier: GPL-3.0-or-later
#
# Run by the seed's busybox as the builder of every package.  Makes a root that
# looks like an ordinary system, out of the seed items in $seed, in a user and
# mount namespace of its own below the build directory, and runs $script in it.
# The build sandbox itself is not touched: the derivation stays plain.

set -eu

busybox=$1
top=$NIX_BUILD_TOP
mkdir="$busybox mkdir"

if [ "${2-}" != inside ]; then
	$mkdir "$top/root" "$top/build" "$top/build/tmp" "$top/bin"
	"$busybox" --install -s "$top/bin"
	printf '%s\n' "$script" >"$top/build/script"
	if ! why=$("$busybox" unshare -U -r -m "$busybox" true 2>&1); then
		echo "cannot enter the seed: making a user namespace failed: $why" >&2
		echo "[the build needs one of its own; look at 'sysctl user.max_user_namespaces' (must" >&2
		echo " not be 0), 'sysctl kernel.unprivileged_userns_clone' (must be 1 where it exists)" >&2
		echo " and 'sysctl kernel.apparmor_restrict_unprivileged_userns' (must be 0 where it" >&2
		echo " exists); another security module such as SELinux may forbid it as well]" >&2
		exit 1
	fi
	exec "$busybox" unshare -U -r -m "$busybox" sh "$0" "$busybox" inside
fi

PATH=$top/bin
root=$top/root

# mounting WHAT MOUNT-ARGUMENTS
mounting()
{
	what=$1
	shift
	why=$(mount "$@" 2>&1) && return
	echo "cannot enter the seed: mounting $what failed: $why" >&2
	echo "[a security module (AppArmor, SELinux) may forbid mounts in user namespaces;" >&2
	echo " look at the kernel log and at 'sysctl kernel.apparmor_restrict_unprivileged_userns']" >&2
	exit 1
}

mounting "the new root" -t tmpfs -o mode=0755 none "$root"
mkdir -p "$root/usr" "$root/etc" "$root/build" "$root/proc" "$root/dev" "$root/tmp" \
	"$root/old" "$root$NIX_STORE"
for dir in bin sbin lib lib64; do
	ln -s "usr/$dir" "$root/$dir"
done
echo 'root:x:0:0:build:/build:/bin/sh' >"$root/etc/passwd"
echo 'root:x:0:' >"$root/etc/group"
echo '127.0.0.1 localhost' >"$root/etc/hosts"

# One item is bound; several are laid over each other, the last one on top.
# Where the kernel has no overlay for user namespaces they are copied together.
set -- $seed
if [ $# = 1 ]; then
	mounting "$1" --bind "$1/usr" "$root/usr"
else
	layers=
	for item; do
		layers=$item/usr${layers:+:$layers}
	done
	if ! mount -t overlay -o "ro,lowerdir=$layers" none "$root/usr" 2>/dev/null; then
		mkdir "$top/usr"
		for item; do
			cp -R "$item/usr/." "$top/usr/"
			chmod -R u+w "$top/usr"
		done
		mounting "the copied seed" --bind "$top/usr" "$root/usr"
	fi
fi

mounting "/proc" --rbind /proc "$root/proc"
mounting "/dev" --rbind /dev "$root/dev"
mounting "the store" --rbind "$NIX_STORE" "$root$NIX_STORE"
mounting "the build directory" --bind "$top/build" "$root/build"
mounting "/tmp" --bind "$top/build/tmp" "$root/tmp"

cd "$root"
pivot_root . old
"$busybox" umount -l /old 2>/dev/null || :
cd /build

# A clean environment: only what is named here reaches the build.
exec "$busybox" env -i PATH=/build/tools:/usr/bin:/usr/sbin HOME=/build TMPDIR=/tmp \
	LC_ALL=C TZ=UTC SOURCE_DATE_EPOCH=1 TAR_OPTIONS=--no-same-owner \
	NIX_STORE="$NIX_STORE" NIX_BUILD_CORES="${NIX_BUILD_CORES:-1}" CONFIG_SHELL=/bin/sh \
	out="$out" src="${src-}" patches="${patches-}" musl="${musl-}" headers="${headers-}" \
	inputs="${inputs-}" native_inputs="${native_inputs-}" checks="${checks-}" \
	/bin/bash /build/script

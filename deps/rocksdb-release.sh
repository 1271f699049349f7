#!/bin/sh
# Builds RocksDB as a release library (no assertions) from Debian's own source
# package, so that the full benchmark does not understate it. The result is
# cached by version: $ORBIT_CACHE/rocksdb-release/VERSION/{include,lib}.
# The last line printed is that directory.
set -eu

cache=${ORBIT_CACHE:-$HOME/.cache/orbit}/rocksdb-release
jobs=$(nproc)
note() { printf 'deps: %s\n' "$*" >&2; }

. /etc/os-release
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

# The version of the development package names the source version. A cached
# build of it needs neither network nor package lists.
version=$(dpkg-query -W -f '${source:Upstream-Version}' librocksdb-dev 2>/dev/null) || {
	note "librocksdb-dev is not installed; run 'make deps-bench' first"
	exit 2
}
out=$cache/$version
if [ -f "$out/lib/librocksdb.a" ]; then
	note "RocksDB $version release build: cached"
	echo "$out"
	exit 0
fi

missing=
for p in dpkg-dev g++ make libsnappy-dev liblz4-dev libzstd-dev zlib1g-dev libbz2-dev libgflags-dev; do
	dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing="$missing $p"
done
if [ -n "$missing" ]; then
	note "installing$missing"
	as_root apt-get install -y -qq --no-install-recommends $missing >&2
fi

work=$cache/build.$$
mkdir -p "$work/lists/partial" "$cache"
trap 'rm -rf "$work"' EXIT INT TERM

# A source list of our own: the machine's configuration stays as it is.
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
echo "deb-src [signed-by=$keyring] http://deb.debian.org/debian $VERSION_CODENAME main" >"$work/sources.list"
apt_opts="-o Dir::Etc::SourceList=$work/sources.list -o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists=$work/lists -o APT::Sandbox::User=root"
note "fetching the source of RocksDB $version"
apt-get $apt_opts update -qq >&2
(cd "$work" && apt-get $apt_opts source -qq rocksdb >&2)
src=$(find "$work" -maxdepth 1 -type d -name 'rocksdb-*' | head -n 1)

note "building RocksDB $version without assertions on $jobs cores (about 8 minutes on two)"
(
	cd "$src"
	# -Wno-error: the source predates the compiler's newer warnings.
	DEBUG_LEVEL=0 PORTABLE=1 USE_RTTI=1 DISABLE_WARNING_AS_ERROR=1 \
		make -j"$jobs" static_lib >"$work/build.log" 2>&1
) || {
	tail -n 30 "$work/build.log" >&2
	note "the build failed; the lines above are its last"
	exit 2
}
rm -rf "$out.partial"
mkdir -p "$out.partial/lib"
cp -r "$src/include" "$out.partial/include"
strip -g "$src/librocksdb.a" -o "$out.partial/lib/librocksdb.a"
mv "$out.partial" "$out"
note "RocksDB $version release build: $out"
echo "$out"

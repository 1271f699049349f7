#!/bin/sh
# Installs what the benchmark and the tests of the cgo engines need, once:
# RocksDB and LMDB from Debian, and Debian's Contents index as real data.
# What is there already costs nothing and needs no network.
set -eu

cache=${ORBIT_CACHE:-$HOME/.cache/orbit}
note() { printf 'deps: %s\n' "$*" >&2; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

command -v apt-get >/dev/null || {
	note "this needs Debian's apt-get; elsewhere install RocksDB 7.8 and LMDB by hand, and leave out --data contents"
	exit 2
}

updated=
install() {
	missing=
	for p in "$@"; do
		dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing="$missing $p"
	done
	[ -n "$missing" ] || return 0
	if [ -z "$updated" ]; then
		note "refreshing the package lists"
		as_root apt-get update -qq >&2
		updated=yes
	fi
	note "installing$missing"
	as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >&2
}

install gcc g++ libc6-dev librocksdb-dev liblmdb-dev rocksdb-tools
# --libraries stops here: the tests need no Contents index.
[ "${1:-}" = --libraries ] && exit 0

# Contents: path -> packages, some 7 million rows. apt-file fetches it; what
# is kept is a copy in one known form, by release and day.
. /etc/os-release
contents=$cache/contents/$VERSION_CODENAME
if [ ! -f "$contents/complete" ]; then
	install apt-file
	note "fetching the Contents index of Debian $VERSION_CODENAME (about 45 MB)"
	as_root apt-file update >&2
	mkdir -p "$contents"
	n=0
	for f in $(apt-get indextargets --format '$(CODENAME) $(COMPONENT) $(FILENAME)' 'Created-By: Contents-deb' |
		awk -v c="$VERSION_CODENAME" '$1 == c && $2 == "main" { print $3 }'); do
		[ -f "$f" ] || continue
		name=$(basename "$f" | sed 's/.*_\(Contents-[a-z0-9]*\).*/\1/')
		/usr/lib/apt/apt-helper cat-file "$f" | gzip -1 >"$contents/$name.gz.partial"
		mv "$contents/$name.gz.partial" "$contents/$name.gz"
		n=$((n + 1))
	done
	[ "$n" -gt 0 ] || {
		note "apt-file fetched no Contents index for $VERSION_CODENAME main; is a mirror configured in /etc/apt?"
		exit 2
	}
	date -u +%Y-%m-%d >"$contents/complete"
fi
note "RocksDB $(dpkg-query -W -f '${Version}' librocksdb-dev), LMDB $(dpkg-query -W -f '${Version}' liblmdb-dev), Contents of $VERSION_CODENAME as of $(cat "$contents/complete")"

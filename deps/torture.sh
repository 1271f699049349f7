#!/bin/sh
# Installs what the torture modes on real file systems need: the mkfs of ext4 and
# XFS. What is there already costs nothing and needs no network.
set -eu

note() { printf 'deps: %s\n' "$*" >&2; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
# They stand where only root's PATH looks.
has() { PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null; }

missing=
has mkfs.ext4 || missing="$missing e2fsprogs"
has mkfs.xfs || missing="$missing xfsprogs"
if [ -n "$missing" ]; then
	command -v apt-get >/dev/null || {
		note "no apt-get to install$missing with: install them yourself"
		exit 2
	}
	note "installing$missing"
	as_root apt-get update -qq >&2
	as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >&2
fi

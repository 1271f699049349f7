#!/bin/sh
# Installs Azurite, an emulator of Azure Blob Storage, with npm; it needs Node 20.
set -eu
. "$(dirname "$0")/common.sh"
once azurite
version=3.35.0
dir=$servers/azurite/$version
if [ ! -x "$dir/node_modules/.bin/azurite-blob" ]; then
	command -v npm >/dev/null || {
		note "no npm to install azurite with: install Node.js 20"
		exit 2
	}
	note "installing azurite $version"
	rm -rf "$dir.partial"
	mkdir -p "$dir.partial" "${dir%/*}"
	npm install --prefix "$dir.partial" --no-audit --no-fund --loglevel=error "azurite@$version" >&2
	rm -rf "$dir"
	mv "$dir.partial" "$dir"
fi
echo "$dir/node_modules/.bin/azurite-blob"

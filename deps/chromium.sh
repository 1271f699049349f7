#!/bin/sh
# Installs Chromium, with which the tests look at the bench's report, unless
# there is one already. The last line printed is the program.
set -eu

note() { printf 'deps: %s\n' "$*" >&2; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
find_program() { command -v chromium || command -v chromium-browser || command -v google-chrome; }

if ! find_program >/dev/null; then
	command -v apt-get >/dev/null || {
		note "no Chromium, and no apt-get to install it with: install Chromium yourself"
		exit 2
	}
	note "installing chromium"
	as_root apt-get update -qq >&2
	# Without a font the page would have no text to look at.
	as_root apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >&2
fi
find_program || {
	note "chromium was installed, but is not in PATH"
	exit 2
}

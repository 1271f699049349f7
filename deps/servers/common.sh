# Sourced by the scripts beside it, each of which makes one server's program ready
# and prints its path as the last line. Programs are cached by version under
# $ORBIT_CACHE/servers; what is there costs nothing and needs no network.

servers=${ORBIT_CACHE:-$HOME/.cache/orbit}/servers
mkdir -p "$servers"

note() { printf 'deps: %s\n' "$*" >&2; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

# once NAME: only one process at a time goes on, as tests of several packages ask.
once() {
	exec 9>"$servers/$1.lock"
	flock 9
}

# debian PROGRAM PACKAGE: from Debian, unless the program is there.
debian() {
	PATH="$PATH:/usr/sbin:/sbin"
	if ! command -v "$1" >/dev/null; then
		command -v apt-get >/dev/null || {
			note "no apt-get to install $2 with: install it yourself"
			exit 2
		}
		note "installing $2"
		as_root apt-get update -qq >&2
		as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$2" >&2
	fi
	command -v "$1"
}

# go_program NAME VERSION PACKAGE [LINES OF GO.MOD]: builds a program in a module of
# its own, so that ours does not know of it. MODULE is the module of the package;
# LDFLAGS are added to the linker's.
go_program() {
	out=$servers/$1/$2/$1
	if [ ! -x "$out" ]; then
		note "building $1 $2"
		work=$servers/$1/build.$$
		mkdir -p "$work" "$servers/$1/$2"
		trap 'rm -rf "$work"' EXIT INT TERM
		(
			cd "$work"
			printf 'module build\n\ngo 1.25\n\nrequire %s %s\n%s\n' "${MODULE:-$3}" "$2" "${4:-}" >go.mod
			GOWORK=off GOFLAGS=-mod=mod CGO_ENABLED=0 \
				go build -trimpath -ldflags "-s -w ${LDFLAGS:-}" -o "$out.partial" "$3" >build.log 2>&1
		) || {
			tail -n 20 "$work/build.log" >&2
			note "the build of $1 $2 failed; the lines above are its last"
			exit 2
		}
		mv "$out.partial" "$out"
	fi
	echo "$out"
}

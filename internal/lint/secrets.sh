#!/bin/sh
# usage: secrets.sh SECRETS OUTPUT: fails if a line of SECRETS stands anywhere in OUTPUT,
# all that a run of the tests has said, or if there was nothing to search for or in. It
# tells the lines without the secret.
set -eu
[ -s "$1" ] || { echo "no secret was recorded in $1" >&2; exit 1; }
[ -s "$2" ] || { echo "no output of tests in $2" >&2; exit 1; }
if grep -n -F -f "$1" "$2" >"$2.found"; then
	echo "secrets stand in what the tests have said, in $2, lines $(cut -d: -f1 "$2.found" | head -n 20 | tr '\n' ' ')" >&2
	rm -f "$2.found"
	exit 1
fi
rm -f "$2.found"
echo "none of $(sort -u "$1" | wc -l) secrets stands in $(wc -l <"$2") lines that the tests have said"

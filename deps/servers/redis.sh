#!/bin/sh
# Installs Redis from Debian, the server alone.
set -eu
. "$(dirname "$0")/common.sh"
once redis
debian redis-server redis-server

#!/bin/sh
# Installs Debian's etcd.
set -eu
. "$(dirname "$0")/common.sh"
once etcd
debian etcd etcd-server

#!/bin/sh
# Builds etcd, the server alone.
set -eu
. "$(dirname "$0")/common.sh"
once etcd
go_program etcd v3.6.16 go.etcd.io/etcd/server/v3

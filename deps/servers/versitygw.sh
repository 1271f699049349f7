#!/bin/sh
# Builds versitygw, an S3 server over a directory.
set -eu
. "$(dirname "$0")/common.sh"
once versitygw
MODULE=github.com/versity/versitygw
go_program versitygw v1.8.0 $MODULE/cmd/versitygw

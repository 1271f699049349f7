#!/bin/sh
# Builds fake-gcs-server, an emulator of Google Cloud Storage.
set -eu
. "$(dirname "$0")/common.sh"
once fake-gcs-server
go_program fake-gcs-server v1.56.1 github.com/fsouza/fake-gcs-server

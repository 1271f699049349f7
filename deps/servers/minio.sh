#!/bin/sh
# Builds MinIO. It is under the AGPL: a program of its own, which nothing of ours links.
set -eu
. "$(dirname "$0")/common.sh"
once minio
go_program minio v0.0.0-20260212201848-7aac2a2c5b7c github.com/minio/minio

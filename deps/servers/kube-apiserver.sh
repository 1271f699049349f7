#!/bin/sh
# Builds kube-apiserver. Its module names its own parts by directories that only its
# repository has, so each is replaced by the one that was published with it.
set -eu
. "$(dirname "$0")/common.sh"
once kube-apiserver
version=v1.34.4
parts=v0.34.4
MODULE=k8s.io/kubernetes
LDFLAGS="-X k8s.io/component-base/version.gitVersion=$version"
# Two gigabytes of objects that nothing else uses go with the directory of the build.
export GOCACHE="$servers/kube-apiserver/build.$$/cache"
replaced=
if [ ! -x "$servers/kube-apiserver/$version/kube-apiserver" ]; then
	mod=$(cd / && GOWORK=off GOFLAGS=-mod=mod GOCACHE=/tmp go mod download -json $MODULE@$version | sed -n 's/^.*"GoMod": "\(.*\)",*$/\1/p')
	replaced=$(sed -n "s|^[[:space:]]*\(k8s\.io/[a-z/-]*\) v0\.0\.0\$|replace \1 => \1 $parts|p" "$mod")
fi
go_program kube-apiserver $version $MODULE/cmd/kube-apiserver "$replaced"

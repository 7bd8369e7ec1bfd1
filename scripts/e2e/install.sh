#!/usr/bin/env bash
# Installs the clients and tools that the end-to-end tests drive: some from
# Debian, the others built from their Go modules into build/tools. Quick when
# all is there; the first build of helm takes a few minutes.
set -euo pipefail
cd "$(dirname "$0")"
. ../lib.sh

want_packages skopeo podman buildah umoci strace util-linux mount e2fsprogs systemd ca-certificates
want_dependencies .
want_module crane github.com/google/go-containerregistry/cmd/crane@v0.22.1
want_module regctl github.com/regclient/regclient/cmd/regctl@v0.11.7
want_module helm helm.sh/helm/v3/cmd/helm@v3.22.0
want_versitygw
want_node dynalite dynalite

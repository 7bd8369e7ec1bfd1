#!/usr/bin/env bash
# Installs the clients and tools that the end-to-end tests drive: some from
# Debian, the others built from their Go modules into build/tools. Quick when
# all is there; the first build of helm takes a few minutes.
set -euo pipefail
cd "$(dirname "$0")"
. ../lib.sh

want_packages skopeo podman buildah umoci strace util-linux mount e2fsprogs systemd ca-certificates

tools=$(cd ../.. && pwd)/build/tools
mkdir -p "$tools"

# want_module NAME PACKAGE@VERSION builds a command unless that version is there.
want_module() {
  local name=$1 package=$2 mark="$tools/.$1"
  if [ -x "$tools/$name" ] && [ "$(cat "$mark" 2>/dev/null)" = "$package" ]; then
    return
  fi
  echo "building $package"
  GOBIN="$tools" GOFLAGS= CGO_ENABLED=0 go install -trimpath -ldflags '-s -w' "$package"
  echo "$package" >"$mark"
}

want_module crane github.com/google/go-containerregistry/cmd/crane@v0.22.1
want_module regctl github.com/regclient/regclient/cmd/regctl@v0.11.7
want_module helm helm.sh/helm/v3/cmd/helm@v3.22.0

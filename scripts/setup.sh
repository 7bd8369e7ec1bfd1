#!/usr/bin/env bash
# Installs what the unit tests and linters need. Quick when all is there.
set -euo pipefail
cd "$(dirname "$0")"
. ./lib.sh

if ! command -v go >/dev/null; then
  echo "Go is not in PATH: install the version that go.mod names, or a newer one (https://go.dev/dl/)" >&2
  exit 1
fi
want_packages git make gcc libc6-dev e2fsprogs mount # gcc for go test -race, the last two for tests that mount
want_dependencies ..
want_dependencies bench
want_dependencies ../packaging

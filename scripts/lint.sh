#!/usr/bin/env bash
# Checks every Go module of the tree: format, go vet, staticcheck, and known
# vulnerabilities where their database can be reached. The linters run from the
# module cache and are in no go.mod.
set -euo pipefail
cd "$(dirname "$0")/.."

staticcheck=honnef.co/go/tools/cmd/staticcheck@v0.8.2
govulncheck=golang.org/x/vuln/cmd/govulncheck@v1.8.0

unformatted=$(find . -path ./build -prune -o -path ./.git -prune -o -name '*.go' -print0 | xargs -0 gofmt -l)
if [ -n "$unformatted" ]; then
  printf 'not as gofmt writes it:\n%s\n' "$unformatted" >&2
  exit 1
fi

# vulnerabilities reports what govulncheck finds in this module. That its
# database cannot be reached is told, and is no failure of the code.
vulnerabilities() {
  local out status=0
  out=$(timeout 120 go run "$govulncheck" ./... </dev/null 2>&1) || status=$?
  if [ "$status" -eq 0 ]; then
    echo "govulncheck: nothing known"
  elif grep -qE 'fetching vulnerabilities|dial tcp|no such host|proxyconnect|i/o timeout' <<<"$out" || [ "$status" -eq 124 ]; then
    echo "govulncheck: NOT RUN, its database or itself cannot be had from here:"
    grep -m1 -E 'fetching|dial|no such host|proxy|timeout' <<<"$out" || tail -n 1 <<<"$out"
  else
    printf '%s\n' "$out" >&2
    return 1
  fi
}

find . -path ./build -prune -o -name go.mod -print | sort | while read -r module; do
  (
    cd "$(dirname "$module")"
    echo "lint of module $(go list -m)"
    go vet ./... </dev/null
    go run "$staticcheck" ./... </dev/null
    vulnerabilities
  )
done

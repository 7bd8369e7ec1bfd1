#!/usr/bin/env bash
# Checks every Go module of the tree: format, go vet, staticcheck, and known
# vulnerabilities where their database can be reached. The linters are built
# into build/tools and are in no go.mod.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
export CGO_ENABLED=0 GOFLAGS="-buildvcs=false -trimpath" # as berth is built

unformatted=$(find . -path ./build -prune -o -path ./.git -prune -o -name '*.go' -print0 | xargs -0 gofmt -l)
if [ -n "$unformatted" ]; then
  printf 'not as gofmt writes it:\n%s\n' "$unformatted" >&2
  exit 1
fi

want_module staticcheck honnef.co/go/tools/cmd/staticcheck@v0.8.2
vulnerabilities=true
if command -v curl >/dev/null && ! curl -sS -o /dev/null --max-time 20 https://vuln.go.dev/index/db.json; then
  echo "govulncheck: NOT RUN, its database cannot be reached"
  vulnerabilities=false
else
  want_module govulncheck golang.org/x/vuln/cmd/govulncheck@v1.8.0 || vulnerabilities=false
fi

# vulnerabilities reports what govulncheck finds in this module. That it cannot
# look, as its database cannot be reached, is told once, and is no failure of
# the code.
vulnerabilities() {
  local out status=0
  $vulnerabilities || return 0
  out=$(timeout 120 "$tools/govulncheck" ./... </dev/null 2>&1) || status=$?
  case "$status" in
  0) echo "govulncheck: nothing known" ;;
  3)
    printf '%s\n' "$out" >&2
    return 1
    ;;
  *)
    echo "govulncheck: NOT RUN, status $status:"
    tail -n 3 <<<"$out"
    vulnerabilities=false
    ;;
  esac
}

mapfile -t modules < <(find . -path ./build -prune -o -name go.mod -print | sort)
for module in "${modules[@]}"; do
  pushd "$(dirname "$module")" >/dev/null
  echo "lint of module $(go list -m)"
  go vet ./...
  "$tools/staticcheck" ./...
  if [ -e minimal.go ]; then # by another build tag there is other code
    go vet -tags minimal .
    "$tools/staticcheck" -tags minimal .
  fi
  vulnerabilities
  popd >/dev/null
done

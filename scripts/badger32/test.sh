#!/bin/sh
# Tests the dedupe index on 386, the nearest thing to 32-bit ARM that runs on
# amd64: without the patch it must refuse to open, with it everything must pass.
set -eu
cd "$(dirname "$0")/../.."
export GOARCH=386 CGO_ENABLED=0
out=$(go test -count=1 -v -run '^(TestUnsoundAllocator|TestManyDigests)$' ./cache) || {
	printf '%s\n' "$out"
	exit 1
}
printf '%s\n' "$out" | grep -q 'not sound here' || {
	echo "badger32: the allocator is sound without the patch; it can go" >&2
	exit 1
}
scripts/badger32/badger32.sh
go test -count=1 -modfile=build/go32.mod ./cache

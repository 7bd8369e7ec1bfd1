#!/bin/sh
# Makes build/go32.mod, the module file that 32-bit builds are made with:
#
#	scripts/badger32/badger32.sh
#	GOARCH=386 go build -modfile=build/go32.mod .
#
# Where int has 32 bits, ristretto's allocator, which Badger builds its tables
# with, shifts a buffer's number out of the word before it widens it. This makes
# a copy of the version of the module that go.mod selects, changes that one
# expression, and fails unless it found it in exactly one place. All it writes
# is below build/, which git ignores. A 32-bit berth built without it runs
# without the dedupe index.
set -eu

module=github.com/dgraph-io/ristretto/v2
wrong='uint64((bufIdx+1)<<32)'
right='uint64(bufIdx+1)<<32'

cd "$(dirname "$0")/../.."
die() {
	echo "badger32: $*" >&2
	exit 1
}

version=$(go list -m -f '{{.Version}}' "$module")
# It is there where the dependencies are; else the network may need another try.
for pause in 2 4 8 16 32 0; do
	info=$(go mod download -json "$module@$version") && break
	[ "$pause" -gt 0 ] || die "$module@$version cannot be downloaded: $info"
	sleep "$pause"
done
source=$(printf '%s\n' "$info" | sed -n 's/^[[:space:]]*"Dir": "\(.*\)",\{0,1\}$/\1/p')
[ -d "$source" ] || die "go mod download names no directory for $module@$version"

mkdir -p build
rm -rf build/ristretto build/ristretto.new
cp -R "$source" build/ristretto.new
chmod -R u+w build/ristretto.new
file=build/ristretto.new/z/allocator.go

found=$(grep -rF --include='*.go' "$wrong" build/ristretto.new | wc -l)
[ "$found" -eq 1 ] || die "$module@$version has $wrong in $found places, not in 1: look whether the patch is still needed"
line=$(grep -nF "$wrong" "$file" | cut -d: -f1)
[ -n "$line" ] || die "$wrong is not in z/allocator.go"
# The expression once more, as a basic regular expression.
sed "${line}s/uint64((bufIdx+1)<<32)/$right/" "$file" >"$file.new"
changed=$(diff "$file" "$file.new" | grep -c '^>') || true
[ "$changed" -eq 1 ] && grep -qF "$right" "$file.new" || die "$changed lines were changed in place of 1"
mv "$file.new" "$file"
mv build/ristretto.new build/ristretto

cp go.mod build/go32.mod
cp go.sum build/go32.sum
go mod edit -replace "$module=./build/ristretto" build/go32.mod
echo "badger32: patched $module@$version; build with -modfile=build/go32.mod"

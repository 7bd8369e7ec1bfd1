# What the scripts here share: source it from the repository's top. It sets the
# version, the time that everything made carries, and where things go.

# version prints that of the packages: a tag without its v, or 0.0.0 with the
# commit's time and name, which sorts before every tag and by time.
version() {
  local tag
  if tag=$(git describe --tags --exact-match --match 'v[0-9]*' 2>/dev/null); then
    echo "${tag#v}"
  else
    echo "0.0.0-git$(TZ=UTC git log -1 --date=format-local:%Y%m%d%H%M%S --format=%cd).$(git log -1 --format=%h)"
  fi
}

PACKAGE_VERSION=${PACKAGE_VERSION:-$(version)}
PACKAGE_MAINTAINER=${PACKAGE_MAINTAINER:-The berth authors <berth@example.org>}
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export PACKAGE_VERSION PACKAGE_MAINTAINER SOURCE_DATE_EPOCH
export TZ=UTC LC_ALL=C

dist=${DIST:-dist}
work=build/package

# tool runs a program of the packaging module.
tool() { (cd packaging && GOFLAGS= go build -trimpath -o "../$work/tools/" "$@"); }

# page NAME prints a page of berth's manual, by a binary of this machine. PAGES
# is another program that does.
page() { "${PAGES:-bin/berth}" help "$1"; }

# with_setting FILE KEY VALUE sets a key of a configuration that holds it once,
# commented out or not. It fails where there is no such line.
with_setting() {
  local file=$1 key=$2 value=$3
  if [ "$(grep -cE "^#?$key = " "$file")" != 1 ]; then
    echo "$file does not have the key $key once" >&2
    return 1
  fi
  sed -i -E "s|^#?$key = .*|$key = $value|" "$file"
}

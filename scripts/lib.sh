# Shared by the scripts that install and check: source it. Written for Debian.

# retry runs a command that needs the network until it succeeds, six times at
# most, with pauses that grow to half a minute.
retry() {
  local pause=2 status
  while true; do
    status=0
    "$@" && return 0 || status=$?
    if [ "$pause" -gt 32 ]; then
      echo "given up after six tries: $*" >&2
      return "$status"
    fi
    echo "failed with status $status, again in $pause s: $*" >&2
    sleep "$pause"
    pause=$((pause * 2))
  done
}

# as_root runs a command with the right to change the system.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    echo "this needs root, and sudo is not here: $*" >&2
    return 1
  fi
}

# want_packages installs those of the given Debian packages that are missing.
# Where none is, it needs neither root nor the network.
want_packages() {
  local missing=() package
  for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  if [ "${#missing[@]}" -eq 0 ]; then
    return
  fi
  if ! command -v apt-get >/dev/null; then
    echo "missing: ${missing[*]}; there is no apt-get to install them with" >&2
    return 1
  fi
  echo "installing ${missing[*]}"
  retry install_packages "${missing[@]}"
}

# install_packages is one try. That another apt or dpkg is at work, as on a
# machine that was just started, is waited for.
install_packages() {
  local apt=(timeout 1200 env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
  as_root "${apt[@]}" update &&
    as_root "${apt[@]}" install --no-install-recommends "$@" >/dev/null
}

# want_dependencies downloads what the tests of the Go module in a folder need,
# so that no later step depends on the network.
want_dependencies() {
  (cd "$1" && retry timeout 1200 go list -deps -test ./... >/dev/null)
}

# tools is the folder of the commands that are built from Go modules.
tools=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/build/tools

# want_module NAME PACKAGE@VERSION builds a command into tools, unless that
# version is there.
want_module() {
  local name=$1 package=$2 mark="$tools/.$1"
  if [ -x "$tools/$name" ] && [ "$(cat "$mark" 2>/dev/null)" = "$package" ]; then
    return
  fi
  echo "building $package"
  mkdir -p "$tools"
  retry timeout 1200 env GOBIN="$tools" GOFLAGS= CGO_ENABLED=0 go install -trimpath -ldflags '-s -w' "$package" || return
  echo "$package" >"$mark"
}

# want_versitygw builds an S3 server that keeps objects in files.
want_versitygw() {
  want_module versitygw github.com/versity/versitygw/cmd/versitygw@v1.8.0
}

# want_node NAME FOLDER installs what the package.json of a folder names into
# tools, as its package-lock.json has it, unless that is there. Nothing of it is
# built or run.
want_node() {
  local name=$1 folder=$2 at="$tools/$1"
  if cmp -s "$folder/package-lock.json" "$at/package-lock.json" && [ -d "$at/node_modules" ]; then
    return
  fi
  command -v npm >/dev/null || want_packages nodejs npm
  echo "installing $name"
  rm -rf "$at"
  mkdir -p "$at"
  cp "$folder/package.json" "$folder/package-lock.json" "$at/"
  (cd "$at" && retry timeout 600 npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null) || {
    rm -rf "$at"
    return 1
  }
}

# Shared by the scripts here, each of which takes a package of one format
# through its life, in a root of its own that is thrown away: source it. It is
# for namespaces that packaging/test has made: mounts, processes and the network
# of a script are its own, and end with it.

set -euo pipefail
packages=$1 # holds old.FORMAT and new.FORMAT

layers=$(mktemp -d)
mount -t tmpfs tmpfs "$layers"
root=$layers/root
mkdir "$root"
busybox ip link set lo up

fail() {
  echo "package-test: $*" >&2
  if [ -s "$root/calls" ]; then
    echo "this was asked for:" >&2
    cat "$root/calls" >&2
  fi
  exit 1
}

# in_root runs a command in the root.
in_root() { chroot "$root" /usr/bin/env -i DEBIAN_FRONTEND=noninteractive HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"; }

# mounts adds what every root has.
mounts() {
  mkdir -p "$root/proc" "$root/dev" "$root/run" "$root/tmp" "$root/packages"
  chmod 1777 "$root/tmp"
  mount -t proc proc "$root/proc"
  mount --rbind /dev "$root/dev"
  mount -t tmpfs tmpfs "$root/run"
  cp -r "$packages"/. "$root/packages/"
  : >"$root/calls"
}

# this_debian makes the root a copy of this system.
this_debian() {
  mkdir "$layers/upper" "$layers/work"
  mount -t overlay overlay -o "lowerdir=/,upperdir=$layers/upper,workdir=$layers/work" "$root"
  mounts
}

# busybox_alone makes a root that has nothing but busybox.
busybox_alone() {
  local name
  mkdir -p "$root/bin" "$root/sbin" "$root/usr/bin" "$root/usr/sbin" "$root/etc" "$root/root" "$root/var/lib" "$root/var/lock" "$root/var/log"
  cp "$(command -v busybox)" "$root/bin/busybox"
  for name in $(busybox --list); do
    case $name in dpkg* | rpm* | run-init | busybox) ;; *) ln -s /bin/busybox "$root/bin/$name" ;; esac
  done
  ln -s /bin/busybox "$root/usr/bin/env"
  echo 'root:x:0:0:root:/root:/bin/sh' >"$root/etc/passwd"
  printf 'root:x:0:\n' >"$root/etc/group"
  printf 'root:*:0:0:99999:7:::\n' >"$root/etc/shadow"
  mounts
}

# pretend_systemd has the root's systemctl write down what it is asked to do.
# What changes files alone is done. A unit is active when a file says so.
pretend_systemd() {
  mkdir -p "$root/run/systemd/system"
  mv "$root/usr/bin/systemctl" "$root/usr/bin/systemctl.real"
  cat >"$root/usr/bin/systemctl" <<'S'
#!/bin/sh
echo "$*" >>/calls
case "$*" in
*is-active*berth.service*) [ -e /active ] ;;
*is-active*) [ -e /socket ] ;;
--root=/*) exec systemctl.real "$@" ;;
*is-enabled*) exec systemctl.real --root=/ is-enabled berth.socket ;;
*" enable "* | *" disable "*) exec systemctl.real --root=/ "$@" ;;
*" start "*berth.socket*) touch /socket ;;
*" show "*) echo loaded ;;
esac
S
  chmod 755 "$root/usr/bin/systemctl"
}

asked() { grep -q -- "$1" "$root/calls" || fail "$2"; }
not_asked() { ! grep -q -- "$1" "$root/calls" || fail "$2"; }

# owned PATH OWNER:GROUP MODE holds a path against what it should be.
owned() {
  local is
  is=$(in_root stat -c '%U:%G %a' "$1")
  [ "$is" = "$2 $3" ] || fail "$1 belongs to $is"
}

# await WHAT COMMAND... tries a command until it succeeds, for a minute.
await() {
  local what=$1 try
  shift
  for try in $(seq 300); do
    if "$@" >/dev/null 2>&1; then return 0; fi
    sleep 0.2
  done
  fail "$what: still not so after a minute ($try tries)"
}

# answers asks berth, which has the network of this script to itself.
answers() { in_root busybox wget -q -O /dev/null http://127.0.0.1:5000/v2/ 2>/dev/null; }
gone() { ! answers; }

# pid_of prints the process of the server.
pid_of() { pgrep -x berth; }

# left prints what of a package is still there.
left() {
  in_root find / -xdev '(' -path /proc -o -path /dev -o -path /packages -o -path /tmp -o -path /work -o -path /root -o -path /home \
    -o -path /var/log -o -path /var/cache -o -path /var/tmp ')' -prune -o -name '*berth*' -newer /packages/began -print 2>/dev/null || true
}

# Shared by the scripts that test berth on a device: source it from the
# repository's top. What is downloaded or made from that stays in build/device.
#
# DEBIAN_SUITE   bookworm otherwise
# DEBIAN_MIRROR  the only one that is asked; otherwise the suite's own, and those
#                of its updates
. scripts/lib.sh
PATH=$PATH:/usr/sbin:/sbin
suite=${DEBIAN_SUITE:-bookworm}
made=build/device

# want_device_tools installs what the guests of an architecture (of Debian's
# name) are made and run with.
want_device_tools() {
  local qemu=qemu-system-arm
  [ "$1" != amd64 ] || qemu=qemu-system-x86
  want_packages mmdebstrap cpio kmod e2fsprogs "$qemu"
}

# machine prints Go's and the build's name of a machine for Debian's.
machine() {
  case $1 in
  armhf) echo armv7 ;;
  armel) echo armv6 ;;
  *) echo "$1" ;;
  esac
}

# fresh FILE SOURCE… tells whether a file is there and newer than its sources.
fresh() {
  local file=$1 source
  [ -e "$file" ] || return 1
  for source in "${@:2}"; do
    if [ "$source" -nt "$file" ]; then return 1; fi
  done
}

# want_minimal ARCH makes build/device/ARCH/vmlinuz and initrd: Debian's kernel,
# and a system of a shell and the modules for a disk and a network. Packages are
# unpacked, not configured, so any machine can do it for any other.
want_minimal() {
  local arch=$1 dir=$made/$1 root version
  if fresh "$dir/initrd" scripts/device/init scripts/device/lib.sh; then
    return
  fi
  mkdir -p "$dir"
  if [ ! -e "$dir/packages.tar" ]; then
    echo "Debian's kernel for $arch"
    retry mmdebstrap --quiet --format=tar --arch="$arch" --variant=extract --include="linux-image-$arch,busybox-static" \
      "$suite" "$dir/packages.tar.new" ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"}
    mv "$dir/packages.tar.new" "$dir/packages.tar"
  fi
  root=$(mktemp -d "$dir/root.XXXXXX")
  mkdir "$root/packages" "$root/guest"
  tar -xf "$dir/packages.tar" -C "$root/packages" --wildcards './boot/*' './lib/modules/*' './bin/busybox'
  version=$(ls "$root/packages/lib/modules")
  depmod -b "$root/packages" "$version"
  mkdir -p "$root/guest/"{bin,dev,proc,sys,etc,data,tmp}
  cp "$root/packages/bin/busybox" "$root/guest/bin/"
  install -m 755 scripts/device/init "$root/guest/init"
  modules "$root/packages" "$version" "$root/guest"
  archive "$root/guest" "$dir/initrd.new"
  cp "$root/packages/boot/vmlinuz-$version" "$dir/vmlinuz.new"
  mv "$dir/vmlinuz.new" "$dir/vmlinuz"
  echo "$version" >"$dir/version"
  mv "$dir/initrd.new" "$dir/initrd"
  rm -rf "$root"
}

# modules ROOT VERSION GUEST copies the modules that the minimal guest loads, and
# lists them in the order in which they are loaded.
modules() {
  local name file loaded=$3/modules
  : >"$loaded"
  for name in virtio_pci virtio_blk virtio_net virtio_rng crc32c_generic ext4 rtc-pl031; do
    modprobe -d "$1" -S "$2" --show-depends "$name" 2>/dev/null || true
  done | sed -n 's/^insmod \([^ ]*\).*/\1/p' | awk '!seen[$0]++' | while read -r file; do
    cp "$file" "$3/"
    echo "/${file##*/}" >>"$loaded"
  done
  grep -q /ext4.ko "$loaded" && grep -q /virtio_blk.ko "$loaded" && grep -q /virtio_net.ko "$loaded"
}

# archive DIR FILE packs a directory as a kernel unpacks it.
archive() { (cd "$1" && find . -print0 | sort -z | cpio --quiet --null -o -H newc -R 0:0) >"$2"; }

# with_berth ARCH BINARY FILE makes an initrd that has a berth in it.
with_berth() {
  local dir
  dir=$(mktemp -d "$made/berth.XXXXXX")
  install -D -m 755 "$2" "$dir/bin/berth"
  archive "$dir" "$dir.cpio"
  cat "$made/$1/initrd" "$dir.cpio" >"$3"
  rm -r "$dir" "$dir.cpio"
}

# want_system ARCH PACKAGES makes build/device/ARCH/system.tar: a small Debian and
# some packages, separated by commas. Needs root.
want_system() {
  local arch=$1 packages=$2 dir=$made/$1
  if [ -e "$dir/system.tar" ]; then
    return
  fi
  echo "Debian $suite for $arch: some minutes"
  mkdir -p "$dir"
  with_foreign "$arch" retry mmdebstrap --quiet --format=tar --arch="$arch" --variant=minbase \
    --include="$packages" "$suite" "$dir/system.tar.new" ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"}
  mv "$dir/system.tar.new" "$dir/system.tar"
}

# want_root ARCH makes build/device/ARCH/root.img: a small Debian with systemd,
# whose maintainer scripts run under qemu-user where the machine is another.
# Needs root, and what want_minimal makes.
want_root() {
  local arch=$1 dir=$made/$1 root
  if fresh "$dir/root.img" scripts/device/agent scripts/device/agent.service scripts/device/lib.sh "$dir/vmlinuz"; then
    return
  fi
  want_system "$arch" systemd,systemd-sysv,udev,dbus,adduser,init-system-helpers,iproute2,kmod,util-linux
  root=$(mktemp -d "$dir/root.XXXXXX")
  as_root tar -xf "$dir/system.tar" -C "$root"
  as_root tar -xf "$dir/packages.tar" -C "$root" --keep-directory-symlink --wildcards './lib/modules/*'
  as_root depmod -b "$root" "$(cat "$dir/version")"
  settle "$root"
  rm -f "$dir/root.img.new"
  truncate -s 2G "$dir/root.img.new"
  as_root mke2fs -q -t ext4 -b 4096 -d "$root" "$dir/root.img.new"
  mv "$dir/root.img.new" "$dir/root.img"
  as_root rm -rf "$root"
}

# settle ROOT gives a system its network and the agent.
settle() {
  as_root install -m 755 -D scripts/device/agent "$1/usr/local/lib/agent"
  as_root install -m 644 -D scripts/device/agent.service "$1/etc/systemd/system/agent.service"
  printf '[Match]\nName=e*\n[Network]\nAddress=10.0.2.15/24\nGateway=10.0.2.2\n' |
    as_root tee "$1/etc/systemd/network/wired.network" >/dev/null
  echo device | as_root tee "$1/etc/hostname" >/dev/null
  as_root systemctl --quiet --root="$1" enable agent.service systemd-networkd.service
  as_root systemctl --quiet --root="$1" mask systemd-networkd-wait-online.service \
    serial-getty@ttyAMA0.service serial-getty@ttyS0.service
}

# with_foreign ARCH COMMAND… runs a command as root for which the kernel hands
# programs of another architecture to qemu-user.
with_foreign() {
  local arch=$1 status=0 name=
  shift
  case $arch in
  arm64) name=qemu-aarch64 ;;
  armhf | armel) name=qemu-arm ;;
  esac
  if [ "$arch" = "$(dpkg --print-architecture)" ] || [ -e "/proc/sys/fs/binfmt_misc/$name" ]; then
    as_root_keeping "$@"
    return
  fi
  want_packages qemu-user-static arch-test
  [ -e /proc/sys/fs/binfmt_misc/register ] || as_root mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
  as_root /usr/lib/systemd/systemd-binfmt "$name.conf"
  as_root_keeping "$@" || status=$?
  echo -1 | as_root tee "/proc/sys/fs/binfmt_misc/$name" >/dev/null
  return "$status"
}

# as_root_keeping is as_root for functions of these scripts.
as_root_keeping() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
    return
  fi
  as_root bash -c '. scripts/device/lib.sh; "$@"' bash "$@"
}

# Shared by the scripts that test berth on a device: source it from the
# repository's top. What is downloaded or made from that stays in build/device.
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

# want_minimal ARCH makes build/device/ARCH/vmlinuz and initrd: Debian's kernel,
# and a system of a shell and the modules for a disk and a network. Packages are
# unpacked, not configured, so any machine can do it for any other.
want_minimal() {
  local arch=$1 dir=$made/$1 root version
  if [ -e "$dir/initrd" ] && ! [ scripts/device/init -nt "$dir/initrd" ] && ! [ scripts/device/lib.sh -nt "$dir/initrd" ]; then
    return
  fi
  mkdir -p "$dir"
  if [ ! -e "$dir/packages.tar" ]; then
    echo "Debian's kernel for $arch"
    retry mmdebstrap --quiet --arch="$arch" --variant=extract --include="linux-image-$arch,busybox-static" \
      "$suite" "$dir/packages.tar.new"
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
  cp "$root/packages/boot/vmlinuz-$version" "$dir/vmlinuz"
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

# with_berth ARCH FILE makes an initrd that has the berth of build/ in it.
with_berth() {
  local dir
  dir=$(mktemp -d "$made/berth.XXXXXX")
  install -D -m 755 "build/berth-linux-$(machine "$1")" "$dir/bin/berth"
  archive "$dir" "$dir.cpio"
  cat "$made/$1/initrd" "$dir.cpio" >"$2"
  rm -r "$dir" "$dir.cpio"
}

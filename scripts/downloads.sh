#!/usr/bin/env bash
# Fetches real entry code from Debian into downloads/ (never committed):
#
#   linux/vmlinuz          the shipped kernel        linux/config, linux/release
#   linux/entry_64.o       arch/x86/entry/entry_64.S compiled with the flags of linux/cppflags; linux/entry_64.i.S, preprocessed
#   linux/tree/            arch/x86/{entry,lib,kernel,include} of the same source
#   linux/headers/         what those sources include (see cppflags)
#   xen/xen-syms, xen/xen.gz   the shipped hypervisor, with and without its symbol table
#
# Prints nothing when all is there. Exit status 1, and one line of what is missing and why, when something cannot be had.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
into=$PWD/downloads

[ -e "$into/linux/.complete" ] && [ -e "$into/xen/.complete" ] && exit 0

missing() {
  echo "downloads: $1: real code is not tested" >&2
  exit 1
}
if ! command -v xz >/dev/null && [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
  apt-get -o DPkg::Lock::Timeout=120 install -y --no-install-recommends xz-utils >/dev/null 2>&1 ||
    { apt-get update -qq && apt-get install -y --no-install-recommends xz-utils; } >/dev/null 2>&1 || true
fi
for tool in apt-get apt-cache dpkg-deb tar xz gcc; do
  command -v "$tool" >/dev/null || missing "there is no $tool"
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$into"
cd "$work"

known() { [ -n "$(apt-cache show --no-all-versions "$1" 2>/dev/null)" ]; }
if ! known linux-source-6.1 && [ "$(id -u)" -eq 0 ]; then apt-get update -qq >/dev/null 2>&1 || true; fi
unpack() { # PACKAGE: unpacks it into ./PACKAGE
  known "$1" || missing "no package $1 (it is in Debian 12)"
  # Lists that are old name packages that are gone.
  apt-get download -qq "$1" >/dev/null 2>&1 ||
    { [ "$(id -u)" -eq 0 ] && apt-get update -qq >/dev/null 2>&1 && apt-get download -qq "$1" >/dev/null 2>&1; } ||
    missing "the package $1 could not be fetched"
  dpkg-deb -x "$1"_*.deb "$1"
  rm "$1"_*.deb
}

if [ ! -e "$into/xen/.complete" ]; then
  unpack xen-hypervisor-4.17-amd64
  unpack xen-hypervisor-4.17-amd64-dbg
  rm -rf "$into/xen"
  mkdir "$into/xen"
  cp xen-hypervisor-4.17-amd64/boot/xen-4.17-amd64.gz "$into/xen/xen.gz"
  cp xen-hypervisor-4.17-amd64-dbg/usr/lib/debug/boot/xen-syms-4.17-amd64 "$into/xen/xen-syms"
  touch "$into/xen/.complete"
fi

if [ ! -e "$into/linux/.complete" ]; then
  # The kernel that the meta package stands for, and the headers and the source of the same version.
  release=$(apt-cache show --no-all-versions linux-image-amd64 2>/dev/null |
    sed -n 's/^Depends:.*linux-image-\(6\.1\.[^ ]*\)-amd64.*/\1/p' | head -n 1)
  [ -n "$release" ] || missing 'the package linux-image-amd64 is not of Linux 6.1 (it is in Debian 12)'
  for package in linux-source-6.1 "linux-headers-$release-amd64" "linux-headers-$release-common" "linux-image-$release-amd64-unsigned"; do
    unpack "$package"
  done
  rm -rf "$into/linux"
  mkdir -p "$into/linux/headers" "$into/linux/tree"
  image=linux-image-$release-amd64-unsigned/boot
  cp "$image/vmlinuz-$release-amd64" "$into/linux/vmlinuz"
  cp "$image/config-$release-amd64" "$into/linux/config"
  echo "$release-amd64" >"$into/linux/release"
  tar -xf linux-source-6.1/usr/src/linux-source-6.1.tar.xz --strip-components=1 -C "$into/linux/tree" \
    linux-source-6.1/arch/x86/{entry,lib,kernel,include}
  for part in amd64 common; do
    from=linux-headers-$release-$part/usr/src/linux-headers-$release-$part
    mkdir "$into/linux/headers/$part"
    for folder in include arch/x86/include; do
      if [ -e "$from/$folder" ]; then
        mkdir -p "$into/linux/headers/$part/$folder"
        cp -r "$from/$folder/." "$into/linux/headers/$part/$folder"
      fi
    done
  done
  # What the kernel's makefiles give the assembler, as far as these files need it; paths from downloads/linux.
  flags=(-nostdinc
    -Iheaders/common/arch/x86/include -Iheaders/amd64/arch/x86/include/generated
    -Iheaders/common/include -Iheaders/amd64/include
    -Iheaders/common/arch/x86/include/uapi -Iheaders/amd64/arch/x86/include/generated/uapi
    -Iheaders/common/include/uapi -Iheaders/amd64/include/generated/uapi
    -Itree/arch/x86/entry
    -include headers/common/include/linux/compiler-version.h -include headers/common/include/linux/kconfig.h
    -D__KERNEL__ -D__ASSEMBLY__ -m64)
  cd "$into/linux"
  printf '%s\n' "${flags[@]}" >cppflags
  source=tree/arch/x86/entry/entry_64.S
  gcc "${flags[@]}" -fno-PIE -c "$source" -o entry_64.o || missing 'entry_64.S could not be compiled'
  gcc "${flags[@]}" -E "$source" -o entry_64.i.S || missing 'entry_64.S could not be preprocessed'
  touch .complete
fi

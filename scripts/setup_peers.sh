#!/bin/sh
# Provides the peers that the machine is compared with: QEMU and Bochs. What is already there is left as it is.
# Exit status 1: one of them is missing and cannot be installed; one line on stderr says which, and what to do.
set -eu
cd "$(dirname "$0")/.."
LC_ALL=C
export LC_ALL
log=.setup/peers.log

missing=''
command -v qemu-system-x86_64 >/dev/null || missing='qemu-system-x86'
command -v bochs >/dev/null || missing="$missing bochs bochs-term bochsbios vgabios"
command -v script >/dev/null || missing="$missing bsdutils"
missing=${missing# }
[ -n "$missing" ] || exit 0

refuse() {
  echo "setup: $1: install $missing to compare the machine with QEMU and Bochs" >&2
  exit 1
}
command -v apt-get >/dev/null || refuse 'this system has no apt-get'
[ "$(id -u)" = 0 ] || refuse 'packages can be installed by root only'

echo "setup: installing $missing with apt-get"
mkdir -p .setup
# The names are meant to be split.
# shellcheck disable=SC2086
install() {
  DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 install -y --no-install-recommends $missing
}
# The package lists of a fresh system are empty or old: update them only when the first attempt fails.
install >"$log" 2>&1 || { apt-get update && install; } >>"$log" 2>&1 ||
  refuse "apt-get fails ($(sed -n 's/^E: //p' "$log" | head -n 1))"

#!/bin/sh
# Prepares a checkout: the Unicorn library, then the npm packages; with the argument `conformance` also QEMU, Bochs, GNU
# binutils, the programs that kernels are compressed with, and what the debugger is tried with: gdb, tmux, Chromium. What is already there is left as it is.
# Exit status 2: something is missing that cannot be fetched; one line on stderr says what it is and what to do.
#
# ENTRACE_LIBUNICORN     a copy of the library to use; nothing is installed then
# ENTRACE_SETUP_LIBRARY  the name that the system's library is looked for under (for the tests of this script)
set -eu
cd "$(dirname "$0")/.."
LC_ALL=C
export LC_ALL

package=libunicorn2
system_library=${ENTRACE_SETUP_LIBRARY:-libunicorn.so.2}
local_library=.setup/lib/libunicorn.so.2 # src/cpu/unicorn.ts looks here
npm_stamp=node_modules/.entrace-setup    # inside node_modules: whatever removes the packages removes the stamp
log=.setup/log

say() { echo "setup: $*"; }
die() {
  echo "setup: $*" >&2
  exit 2
}

# Whether the dynamic loader accepts library $1, asked in Node, as entrace itself will; if not, its reason on stdout.
# A library that is no Node module fails only after it was loaded, with ERR_DLOPEN_FAILED and the message tested here.
loads() {
  node -e '
    try {
      process.dlopen({ exports: {} }, process.argv[1]);
    } catch (error) {
      if (!/did not self-register/.test(error.message)) {
        console.log(error.message.split("\n")[0]);
        process.exit(1);
      }
    }' "$1"
}

# The error that the log of apt-get or npm tells first, for the one line of die. An unreachable network is what apt-get
# warns of before it fails over the consequence; npm takes two lines: a code, then what happened.
apt_error() {
  { sed -n 's/^[EW]: \(Failed to fetch\)/\1/p' "$log" && sed -n 's/^E: //p' "$log"; } | head -n 1
}
npm_error() {
  sed -n -e 's/^npm error \(.\)/\1/p' -e 's/^npm ERR! \(.\)/\1/p' "$log" | head -n 2 | paste -s -d ' ' -
}

start_log() {
  mkdir -p .setup
  : >"$log"
}

install_as_root() {
  say "installing $package with apt-get"
  start_log
  # The package lists of a fresh system are empty or old: update them only when the first attempt fails.
  apt_install >>"$log" 2>&1 || { apt-get update && apt_install; } >>"$log" 2>&1 ||
    die "apt-get cannot install $package ($(apt_error)): connect to the network or install $package yourself; see $log"
  why=$(loads "$system_library") || die "$package is installed but does not load ($why): set ENTRACE_LIBUNICORN to the file"
}

# $package may be several.
apt_install() {
  # shellcheck disable=SC2086
  DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 install -y --no-install-recommends $package
}

# Without root: the package's file, unpacked beside package.json. Its only dependency is the C library.
install_unpacked() {
  say "unpacking $package into .setup/lib (not root: the system is left as it is)"
  start_log
  rm -rf .setup/deb .setup/apt
  mkdir -p .setup/deb .setup/lib
  download >>"$log" 2>&1 || download_with_own_lists >>"$log" 2>&1 ||
    die "apt-get cannot download $package ($(apt_error)): connect to the network or install $package as root; see $log"
  {
    dpkg-deb -x .setup/deb/"$package"_*.deb .setup/deb/root &&
      find .setup/deb/root -name libunicorn.so.2 -exec cp -L {} "$local_library.new" \; &&
      mv "$local_library.new" "$local_library"
  } >>"$log" 2>&1 || die "the package $package cannot be unpacked: install $package as root; see $log"
  rm -rf .setup/deb .setup/apt
  why=$(loads "$local_library") || die "the unpacked library does not load ($why): install $package as root"
}

download() { (cd .setup/deb && apt-get "$@" download "$package"); }

# apt-get's lists belong to root; a user without lists, or with old ones, gets lists of his own.
download_with_own_lists() {
  apt="$PWD/.setup/apt"
  mkdir -p "$apt/state/lists/partial" "$apt/cache/archives/partial"
  set -- -o "Dir::State=$apt/state" -o Dir::State::status=/var/lib/dpkg/status -o "Dir::Cache=$apt/cache"
  apt-get "$@" update && download "$@"
}

provide_library() {
  if [ -n "${ENTRACE_LIBUNICORN:-}" ]; then
    why=$(loads "$ENTRACE_LIBUNICORN") ||
      die "ENTRACE_LIBUNICORN is set to a file that does not load ($why): correct it or unset it"
  elif [ -e "$local_library" ] && loads "$local_library" >/dev/null; then
    :
  elif loads "$system_library" >/dev/null; then
    :
  elif ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
    die "the Unicorn library (libunicorn.so.2) is missing and this system has no apt-get: install the package of Unicorn 2" \
      "(Debian, Ubuntu: $package; elsewhere mostly: unicorn), or set ENTRACE_LIBUNICORN to the file"
  elif [ "$(id -u)" = 0 ]; then
    install_as_root
  else
    install_unpacked
  fi
}

# What the machine is compared with; there is no way without root, since QEMU alone has a hundred dependencies.
provide_peers() {
  package=
  command -v qemu-system-x86_64 >/dev/null || package="$package qemu-system-x86"
  command -v bochs >/dev/null || package="$package bochs"
  ls /usr/lib/*/bochs/plugins/libbx_term_gui.so >/dev/null 2>&1 || package="$package bochs-term"
  # What kernels are compressed with.
  for compressor in bzip2:bzip2 lz4:lz4 lzop:lzop xz:xz-utils zstd:zstd; do
    command -v "${compressor%:*}" >/dev/null || package="$package ${compressor#*:}"
  done
  # What the debugger's front ends are tried with.
  command -v gdb >/dev/null || package="$package gdb"
  command -v tmux >/dev/null || package="$package tmux"
  command -v chromium >/dev/null || package="$package chromium"
  command -v as >/dev/null && command -v ld >/dev/null && command -v objcopy >/dev/null || package="$package binutils"
  package=${package# }
  if [ -z "$package" ]; then return; fi
  command -v apt-get >/dev/null || die "$package: not installed, and this system has no apt-get: install what provides them"
  [ "$(id -u)" = 0 ] || die "$package: not installed: install them as root"
  say "installing $package with apt-get"
  start_log
  apt_install >>"$log" 2>&1 || { apt-get update && apt_install; } >>"$log" 2>&1 ||
    die "apt-get cannot install $package ($(apt_error)): connect to the network or install them yourself; see $log"
}

provide_packages() {
  wanted=$(cksum package.json package-lock.json)
  if [ -e "$npm_stamp" ] && [ "$(cat "$npm_stamp")" = "$wanted" ]; then return; fi
  say 'installing the npm packages'
  start_log
  # --include=dev: with NODE_ENV=production npm would leave the compiler out.
  # The shorter waits: without a network npm would take more than a minute to say so.
  npm ci --include=dev --prefer-offline --no-audit --no-fund \
    --fetch-retry-mintimeout=2000 --fetch-retry-maxtimeout=10000 >>"$log" 2>&1 ||
    die "npm ci failed ($(npm_error)): connect to the network or correct what $log says, and try again"
  echo "$wanted" >"$npm_stamp"
}

command -v node >/dev/null || die 'Node.js is missing: install version 20 or newer'
# Compared with what package.json asks for (">=major.minor"); old versions of Node must be able to read this.
outdated=$(node -p '
  var wanted = require("./package.json").engines.node.replace(/[^0-9.]/g, "").split(".");
  var version = process.versions.node.split(".");
  var newer = version[0] - wanted[0] || version[1] - (wanted[1] || 0);
  newer < 0 ? version.join(".") + ": install version " + wanted.join(".") : "";')
[ -z "$outdated" ] || die "Node.js is version $outdated or newer"
command -v npm >/dev/null || die 'npm is missing: install it (it comes with Node.js; Debian: npm)'
provide_library
provide_packages
if [ "${1:-}" = conformance ]; then provide_peers; fi

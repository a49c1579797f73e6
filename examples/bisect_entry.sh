#!/usr/bin/env bash
# For `git bisect run`: is the entry code of this commit good? Run in the root of a configured kernel tree:
#
#   git bisect start BAD GOOD
#   git bisect run ~/entrace/examples/bisect_entry.sh --context kernel --events nmi=2,bp=1 --features pti,fsgsbase,smap
#
# The arguments are those of `entrace explore`. ENTRACE is that command (default: entrace), BUILD the one that builds the object (default:
# make arch/x86/entry/entry_64.o). Exit status: 0 it holds, 1 it fails, 125 (git skips the commit) it cannot be built or judged.
set -uo pipefail

object=arch/x86/entry/entry_64.o
${BUILD:-make -s "$object"} || exit 125
${ENTRACE:-entrace} explore "$object" "$@"
case $? in
  0) exit 0 ;;
  1) exit 1 ;;
  *) exit 125 ;;
esac

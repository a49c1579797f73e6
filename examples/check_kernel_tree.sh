#!/usr/bin/env bash
# Checks the entry code of a built Linux kernel tree: NMIs, breakpoints, machine checks and debug exceptions at every boundary of
# arch/x86/entry/entry_64.o, in each context, for each set of processor features. Prints one line for each search.
#
#   examples/check_kernel_tree.sh ~/linux                         # the usual sets of features
#   examples/check_kernel_tree.sh ~/linux none pti,fsgsbase,smap   # these
#
# ENTRACE is the command (default: entrace). Exit status: 0 all hold, 1 something fails, 2 bad input, 3 a search was not closed.
set -uo pipefail

tree=${1:?usage: $0 KERNEL_TREE [FEATURES...]}
shift
if [ $# -eq 0 ]; then set -- none fsgsbase,smap,smep pti,pcid,fsgsbase,smap,smep; fi
entrace=${ENTRACE:-entrace}
object=$tree/arch/x86/entry/entry_64.o
if [ ! -e "$object" ]; then
  echo "$object is missing: make -C $tree arch/x86/entry/" >&2
  exit 2
fi

worst=0
check() { # CONTEXT FEATURES EVENTS [OPTION...]
  local context=$1 features=$2 events=$3 output status
  shift 3
  output=$($entrace explore "$object" --context "$context" --features "$features" --events "$events" "$@" 2>&1)
  status=$?
  case $status in
    0) echo "ok       $context, $features, $events" ;;
    1) echo "FAILS    $context, $features, $events: $(grep 'is broken' <<<"$output" | head -n 1 | sed 's/^ *//')" ;;
    *) echo "no verdict (exit status $status): $context, $features, $events: $(grep -m 1 -E 'entrace:|stopped:' <<<"$output")" ;;
  esac
  # A failure says most, then bad input.
  if [ "$status" -eq 1 ] || { [ "$status" -ne 0 ] && [ "$worst" -eq 0 ]; }; then worst=$status; fi
}

for features; do
  for context in kernel user; do
    check "$context" "$features" nmi=2,bp=1
    check "$context" "$features" mc=1
    check "$context" "$features" db=1,nmi=1 --at db=context_start..context_end
  done
  for context in syscall-gap sysret-gap bad-iret; do
    check "$context" "$features" nmi=2
    check "$context" "$features" mc=1
  done
done
exit "$worst"

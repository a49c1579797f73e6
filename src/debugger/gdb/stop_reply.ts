/**
 * What gdb is told when the debugger has stopped.
 *
 * Source: GDB manual, "Stop Reply Packets"; signals: gdb's include/gdb/signals.def, as the manual's "Signals" names them.
 */
import type { Stop, StopReason } from '../view.js';

/** gdb's numbers of signals. */
export const Signal = { NONE: 0, INT: 2, ILL: 4, TRAP: 5, ABRT: 6, XCPU: 24, WINCH: 28 } as const;

/** Ends what gdb does, with a message: while it steps on its own account, a SIGTRAP would make it go on. */
const SIGNALS: Partial<Record<StopReason, number>> = {
  interrupted: Signal.INT,
  failure: Signal.ABRT,
  'not-modelled': Signal.ILL,
  limit: Signal.XCPU,
};

/** There is nothing more in this direction. */
const ENDS: ReadonlySet<StopReason> = new Set(['start', 'end', 'loop']);

/** What gdb says by itself, or the user knows. */
const SILENT: ReadonlySet<StopReason> = new Set(['step', 'target', 'interrupted', 'moved']);

/** What it was that stopped. */
export interface Verb {
  readonly kind: 'step' | 'continue';
  readonly direction: 1 | -1;
  /** Another processor runs than before. */
  readonly crosses?: boolean;
}

/** `T05swbreak:;thread:1;` and so on; `hit` as GdbBreakpoints.hit() has it. */
export function stopReply({ reason }: Stop, hit: string | undefined, verb: Verb, thread: number): string {
  if (hit !== undefined) return signalReply(Signal.TRAP, thread, hit);
  const isStep = verb.kind === 'step';
  if (ENDS.has(reason)) {
    // gdb 13 hangs when the history ends while it steps over a breakpoint.
    if (isStep) return signalReply(Signal.NONE, thread);
    return signalReply(Signal.TRAP, thread, `replaylog:${verb.direction === 1 ? 'end' : 'begin'};`);
  }
  // A SIGTRAP of another thread than the one that gdb has stepped would be a signal that the program got.
  const plain = isStep && verb.crosses ? Signal.NONE : Signal.TRAP;
  return signalReply(SIGNALS[reason] ?? plain, thread);
}

export function signalReply(signal: number, thread: number, pairs = ''): string {
  return `T${signal.toString(16).padStart(2, '0')}${pairs}thread:${thread.toString(16)};`;
}

/** What the user is to read besides; undefined if gdb's own message says it all. */
export function stopText({ reason, text }: Stop, hit: string | undefined): string | undefined {
  return hit !== undefined || SILENT.has(reason) ? undefined : text;
}

/** Differences between the result here and that of a peer, without what the manual leaves undefined. */
import { Flag, Reg } from '../src/cpu/registers.js';
import { COMPARED_REGISTERS, type Run } from './here.js';
import { liveAddress, TEMPLATE_WORDS } from './layout.js';
import type { Result } from './program.js';
import { type StateName, Stub } from './state.js';

export interface Difference {
  /** A register, or an address of memory in hexadecimal. */
  readonly place: string;
  /** The values, with 0 for each undefined bit. */
  readonly here: bigint;
  readonly peer: bigint;
}

export function differences(run: Run, peer: Result): Difference[] {
  const { result, taint } = run;
  const list: Difference[] = [];
  // RIP is the stub's address, which STUB says.
  const registers: readonly StateName[] = ['STUB', ...COMPARED_REGISTERS.filter((name) => name !== 'RIP')];
  // After a shutdown nobody can ask for registers, and memory may hold parts of frames.
  if (result.state.STUB === Stub.SHUTDOWN && peer.state.STUB === Stub.SHUTDOWN) return [];
  for (const name of registers) {
    let mask = 0n;
    // PUSHFQ, which the peer's flags are read with, does not show RF.
    if (name === 'RFLAGS') mask = BigInt(taint.flags | Flag.RF);
    else if (name in Reg) mask = taint.registers.get(Reg[name as keyof typeof Reg]) ?? 0n;
    const here = result.state[name];
    const there = peer.state[name];
    if ((here | mask) !== (there | mask)) list.push({ place: name, here: here & ~mask, peer: there & ~mask });
  }
  for (const n of new Set([...result.words.keys(), ...peer.words.keys()])) {
    const address = liveAddress(8 * n);
    const place = address.toString(16);
    const mask = taint.words.get(address) ?? 0n;
    const here = result.words.get(n) ?? TEMPLATE_WORDS[n]!;
    const there = peer.words.get(n) ?? TEMPLATE_WORDS[n]!;
    if ((here | mask) !== (there | mask)) list.push({ place, here: here & ~mask, peer: there & ~mask });
  }
  return list;
}

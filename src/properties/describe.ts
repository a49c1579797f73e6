/** Sentences about differences, shared by the properties that compare registers. */
import type { Monitor } from './monitor.js';

export function hex(value: bigint): string {
  return `0x${BigInt.asUintN(64, value).toString(16)}`;
}

/** `rdi is not what it was`. */
export function differing(m: Monitor, record: number): string {
  const names = m.differences(record).map((d) => d.what);
  return `${names.join(', ')} ${names.length === 1 ? 'is' : 'are'} not what ${names.length === 1 ? 'it was' : 'they were'}`;
}

/** Sentences about differences, shared by the properties that compare registers. */
import type { Monitor } from './monitor.js';

export function hex(value: bigint): string {
  return `0x${BigInt.asUintN(64, value).toString(16)}`;
}

/** `rdi is 0x…, was 0x…`, one after another. */
export function describeDifferences(m: Monitor, record: number): string {
  return m
    .differences(record)
    .map((d) => `${d.what} is ${hex(d.found)}, was ${hex(d.expected)}`)
    .join('; ');
}

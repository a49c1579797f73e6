/**
 * Xen that has booted under QEMU against what src/patching/ makes of its file: all of .text. It gets a domain 0 that is none, panics,
 * and so ends QEMU; by then it has patched itself, and moved to the end of RAM.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { InputError } from '../src/errors.js';
import type { Image, PlacedSection } from '../src/image/image.js';
import { patchable, patched } from '../src/patching/patch.js';
import { type CodeDifference, memoryAtEnd } from './booted_kernel.js';

export const XEN_PROCESSORS = ['Skylake-Client-v1', 'EPYC-Rome'] as const;

/** The RAM of a machine on which this Xen (xen.gz) has given up. */
export async function bootedXen(file: string, cpu: string): Promise<Buffer> {
  const place = mkdtempSync(join(tmpdir(), 'entrace-xen-'));
  try {
    // QEMU loads a multiboot image as it is, not compressed.
    const xen = join(place, 'xen');
    const domain0 = join(place, 'domain0');
    writeFileSync(xen, gunzipSync(readFileSync(file)));
    writeFileSync(domain0, new Uint8Array(4096));
    const options = ['-kernel', xen, '-append', 'com1=115200 console=com1', '-initrd', domain0];
    return await memoryAtEnd(cpu, options, 'Panic on CPU 0');
  } finally {
    rmSync(place, { recursive: true, force: true });
  }
}

export interface XenComparison {
  readonly features: readonly string[];
  readonly bytes: number;
  readonly patchedBytes: number;
  /** Calls through pointers that Xen has filled, or has found empty, while it booted. */
  readonly pointers: number;
  readonly differences: readonly CodeDifference[];
}

/** struct cpuinfo_x86 of Xen 4.17: NCAPINTS words, and behind them the vendor's name. */
const CAPABILITY_WORDS = 21;
const VENDORS = ['GenuineIntel', 'AuthenticAMD'];
/** Bytes that are looked for in RAM to find where Xen has moved to, and how far apart they are taken. */
const PROBE = 48;
const PROBE_STEP = 0x3000;
/** An indirect call, and what takes its place: a direct one, or UD2 and UD0 where the pointer was empty at the end. */
const INDIRECT = 'ff15';
const CALL = 0xe8;
const EMPTY = '0f0b0fffff';
const SHOWN = 16;

export function compareXen(image: Image, ram: Buffer): XenComparison {
  const text = image.sections.find((section) => section.name === '.text')!;
  const base = findText(text, ram);
  const at = (address: bigint): number => Number(address - text.address) + base;
  const features = featuresOf(image, ram, at);
  const subject = patchable(image)!;
  const after = patched(subject, features).image.sections.find((section) => section.name === '.text')!;
  const differences: CodeDifference[] = [];
  let patchedBytes = 0;
  let pointers = 0;
  for (let i = 0; i < text.data.length; i++) if (text.data[i] !== ram[base + i]) patchedBytes++;
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
  for (let i = 0; i < after.data.length; i++) {
    if (after.data[i] === ram[base + i]) continue;
    // A call through a pointer in writable memory: the byte that differs is its first, or in the displacement behind it.
    const start = [0, 1, 2, 3, 4].map((back) => i - back).find((k) => isPointerCall(text.data, k, ram, base));
    if (start !== undefined) {
      pointers++;
      i = start + 5;
      continue;
    }
    differences.push({
      place: image.name(text.address + BigInt(i)),
      here: hex(after.data.subarray(i, i + SHOWN)),
      booted: hex(ram.subarray(base + i, base + i + SHOWN)),
    });
    i += SHOWN;
  }
  const names = [...features].map((number) => subject.names.name(number));
  return { features: names, bytes: text.data.length, patchedBytes, pointers, differences };

  function isPointerCall(code: Uint8Array, start: number, memory: Buffer, offset: number): boolean {
    if (hex(code.subarray(start, start + 2)) !== INDIRECT) return false;
    const there = memory.subarray(offset + start, offset + start + 5);
    return there[0] === CALL || hex(there) === EMPTY;
  }
}

/** Offset in RAM of the copy that runs: the last one. */
function findText(text: PlacedSection, ram: Buffer): number {
  const found = new Map<number, number>();
  for (let offset = 0; offset + PROBE < text.data.length; offset += PROBE_STEP) {
    const place = ram.lastIndexOf(text.data.subarray(offset, offset + PROBE)) - offset;
    found.set(place, (found.get(place) ?? 0) + 1);
  }
  const [best] = [...found].filter(([place]) => place >= 0 && place % 4096 === 0).sort(([, a], [, b]) => b - a);
  if (!best) throw new InputError("Xen's code is not in RAM: it has not booted");
  return best[0];
}

function featuresOf(image: Image, ram: Buffer, at: (address: bigint) => number): Set<number> {
  const start = at(image.find('boot_cpu_data')!.address);
  const vendor = VENDORS.map((name) => ram.indexOf(name, start)).find((place) => place >= 0 && place - start < 256);
  if (vendor === undefined) throw new InputError('boot_cpu_data is not laid out as in Xen 4.17');
  const words = vendor - 4 * CAPABILITY_WORDS;
  const features = new Set<number>();
  for (let number = 0; number < CAPABILITY_WORDS * 32; number++) {
    if ((ram.readUInt32LE(words + 4 * (number >> 5)) >>> (number & 31)) & 1) features.add(number);
  }
  return features;
}

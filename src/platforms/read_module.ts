/** Files of the image that are no assembly: objects, executables, shipped kernels. What a file is, its first bytes say, not its name. */
import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { readBytes } from '../files.js';
import type { Module } from '../image/module.js';
import { isBzImage } from '../kernel/bzimage.js';
import { methodOf } from '../kernel/compression.js';
import { moduleFromKernel } from '../kernel/module.js';

/** Bytes; a kernel with debug information has several hundred MiB. */
const LARGEST = 2 ** 30;
const ELF = Buffer.from('\x7fELF', 'latin1');
/** As many as a bzImage needs to be known: its header begins at 0x1f1. */
const FIRST_BYTES = 1024;
/** Smaller files are read in no time. */
const LARGE = 1 << 20;

/** The modules of those files that are no assembly, by the files' names. */
export async function readBinaries(files: readonly string[]): Promise<ReadonlyMap<string, Module>> {
  const modules = new Map<string, Module>();
  for (const file of files) {
    if (!isBinary(firstBytes(file, FIRST_BYTES)) || modules.has(file)) continue;
    modules.set(file, await readBinary(file));
  }
  return modules;
}

/** The last file that took long to read: a suite has many cases of one kernel. */
let kept: { readonly key: string; readonly module: Module } | undefined;

async function readBinary(file: string): Promise<Module> {
  const { dev, ino, size, mtimeMs } = statSync(file);
  const key = [file, dev, ino, size, mtimeMs].join(' ');
  if (kept?.key === key) return kept.module;
  const module = await moduleFromKernel(readBytes(file, 'an object, an executable or a kernel', LARGEST), file);
  if (size >= LARGE) kept = { key, module };
  return module;
}

/** Whether a file that begins so is none of text: an ELF file, a bzImage, something compressed. */
function isBinary(bytes: Buffer): boolean {
  return bytes.subarray(0, ELF.length).equals(ELF) || isBzImage(bytes) || methodOf(bytes) !== undefined;
}

/** The first bytes of a file; none of what is no file, which can be read only once, or cannot be read: who reads it says why. */
function firstBytes(path: string, count: number): Buffer {
  const bytes = Buffer.alloc(count);
  let file: number;
  try {
    if (!statSync(path).isFile()) return Buffer.alloc(0);
    file = openSync(path, 'r');
  } catch {
    return Buffer.alloc(0);
  }
  try {
    return bytes.subarray(0, readSync(file, bytes, 0, count, 0));
  } catch {
    return Buffer.alloc(0);
  } finally {
    closeSync(file);
  }
}

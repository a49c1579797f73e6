/** A file of the image: assembly, an object, an executable. What it is, its first bytes say, not its name. */
import { closeSync, openSync, readSync, statSync } from 'node:fs';
import type { AssembleOptions, Assembler } from '../assembler/index.js';
import { moduleFromElf } from '../elf/module.js';
import { readElf } from '../elf/reader.js';
import { readBytes } from '../files.js';
import type { Module } from '../image/module.js';

/** Bytes; a kernel with debug information has several hundred MiB. */
const LARGEST = 2 ** 30;
const ELF = Buffer.from('\x7fELF', 'latin1');

export function readModule(assembler: Assembler, file: string, options: AssembleOptions): Module {
  if (firstBytes(file, ELF.length).equals(ELF)) {
    return moduleFromElf(readElf(readBytes(file, 'an object or an executable', LARGEST), file));
  }
  return assembler.assemble(file, options);
}

/** The first bytes of a file; none of what is no file, which can be read only once. */
function firstBytes(path: string, count: number): Buffer {
  if (!statSync(path, { throwIfNoEntry: false })?.isFile()) return Buffer.alloc(0);
  const bytes = Buffer.alloc(count);
  const file = openSync(path, 'r');
  try {
    return bytes.subarray(0, readSync(file, bytes, 0, count, 0));
  } finally {
    closeSync(file);
  }
}

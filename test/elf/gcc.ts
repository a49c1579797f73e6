/** Objects and executables that gcc and ld make while the tests run. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gnuMissing } from '../assembler/gnu.js';

/** Why nothing can be compiled and linked here; undefined if it can. */
export const toolsMissing: string | undefined =
  gnuMissing ??
  (['ld', 'objdump', 'objcopy'].some((tool) => spawnSync(tool, ['--version']).status !== 0)
    ? 'GNU binutils (ld, objdump, objcopy) are not installed: nothing to compare with'
    : undefined);

/** As kernels are compiled. */
export const KERNEL_FLAGS = ['-O2', '-mcmodel=kernel', '-fno-pic', '-mno-red-zone', '-ffreestanding', '-mno-sse'];

export const directory = mkdtempSync(join(tmpdir(), 'entrace-elf-'));
process.on('exit', () => rmSync(directory, { recursive: true, force: true }));
let files = 0;

/** A new file in the tests' directory. */
export function written(content: string | Uint8Array, extension: string): string {
  const path = join(directory, `${files++}${extension}`);
  writeFileSync(path, content);
  return path;
}

/** Runs a tool; throws what it says if it fails. */
export function run(command: string, ...args: string[]): string {
  const result = spawnSync(command, args, { encoding: 'utf8', cwd: directory, maxBuffer: 1 << 28 });
  if (result.status !== 0) throw new Error(`${command} ${args.join(' ')}\n${result.stderr}`);
  return result.stdout;
}

/** The path of an object that gcc makes of C or (`.S`) assembly. */
export function compiled(source: string, flags: readonly string[] = KERNEL_FLAGS, extension = '.c'): string {
  const output = written('', '.o');
  run('gcc', '-c', ...flags, '-o', output, written(source, extension));
  return output;
}

/** The bytes of such an object. */
export function objectBytes(source: string, flags?: readonly string[], extension?: string): Uint8Array {
  return readFileSync(compiled(source, flags, extension));
}

/** QEMU's TCG as a peer. Its RAM is a file, through which programs go in and results come out. */
import { spawn, spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { InputError } from '../src/errors.js';
import {
  CONTROL_BYTES,
  CONTROL_PHYSICAL,
  type Guest,
  OUTPUT,
  progressOf,
  RAM_BYTES,
  type Result,
  ramWith,
  readResults,
} from './guest.js';
import type { Program } from './program.js';

const PROGRAM = 'qemu-system-x86_64';

export function qemuMissing(): string | undefined {
  return spawnSync(PROGRAM, ['--version']).status === 0 ? undefined : `${PROGRAM} is not installed (qemu-system-x86)`;
}

/** Runs the programs. When QEMU stands still, the results of those before are returned: the next one is to blame. */
export async function runOnQemu(guest: Guest, programs: readonly Program[], patience: number): Promise<Result[]> {
  const place = mkdtempSync(join(tmpdir(), 'entrace-qemu-'));
  const file = join(place, 'ram');
  const rom = join(place, 'rom');
  try {
    writeFileSync(rom, guest.rom);
    writeFileSync(file, ramWith(guest, programs));
    truncateSync(file, RAM_BYTES);
    const megabytes = RAM_BYTES >> 20;
    const child = spawn(
      PROGRAM,
      [
        ...['-object', `memory-backend-file,id=ram,size=${megabytes}M,mem-path=${file},share=on`],
        ...['-machine', 'pc,memory-backend=ram,accel=tcg', '-m', `${megabytes}M`],
        // Named an Intel processor: SYSENTER is refused in 64-bit mode otherwise.
        ...['-cpu', 'max,vendor=GenuineIntel,la57=off', '-bios', rom, '-nodefaults', '-display', 'none'],
        ...['-device', 'isa-debug-exit,iobase=0xf4,iosize=0x4'],
      ],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    );
    let messages = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      messages += text;
    });
    const ended = new Promise<void>((resolve, reject) => {
      child.on('error', reject);
      child.on('close', () => resolve());
    });
    const ram = openSync(file, 'r');
    const control = (): ReturnType<typeof progressOf> => {
      const bytes = new Uint8Array(CONTROL_BYTES);
      readSync(ram, bytes, 0, CONTROL_BYTES, CONTROL_PHYSICAL);
      return progressOf(bytes);
    };
    let last = -1;
    const guard = setInterval(() => {
      const { index } = control();
      if (index === last) child.kill('SIGKILL');
      last = index;
    }, patience);
    await ended.finally(() => clearInterval(guard));
    const { index, outputBytes } = control();
    if (index === 0 && messages !== '') throw new InputError(`QEMU: ${messages.trim().split('\n')[0]}`);
    const bytes = new Uint8Array(outputBytes + 8);
    readSync(ram, bytes, 0, bytes.length, OUTPUT);
    closeSync(ram);
    return readResults(bytes, index);
  } finally {
    rmSync(place, { recursive: true, force: true });
  }
}

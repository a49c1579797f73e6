/** Bochs as a peer: its optional RAM image carries the programs, its debugger writes the results to files. */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { InputError } from '../src/errors.js';
import {
  CONTROL_BYTES,
  type Guest,
  IMAGE_START,
  progressOf,
  RAM_BYTES,
  type Result,
  ramWith,
  readResults,
  VIRTUAL_CONTROL,
  VIRTUAL_OUTPUT,
} from './guest.js';
import { LIVE_WORDS } from './layout.js';
import type { Program } from './program.js';
import { STATE_NAMES } from './state.js';

export function bochsMissing(): string | undefined {
  if (spawnSync('bochs', ['--help'], { stdio: ['ignore', 'pipe', 'pipe'] }).status !== 0) {
    return 'bochs is not installed (bochs, bochs-term)';
  }
  if (spawnSync('script', ['--version']).status !== 0) return 'script is not installed (bsdutils)';
  return undefined;
}

/** Allowed for one program; it takes a hundredth of that. */
const MILLISECONDS = 30;

/** Bytes of output to write out for a program: what a result holds, were it to change `words` words. */
const outputBytes = (words: number): number => 8 + 8 * STATE_NAMES.length + 16 * words;
/** What programs change on average is far below this. */
const CHANGED_WORDS = 64;

/**
 * Runs the programs. When Bochs stands still, the results of those before the one that is to blame are returned; it does not
 * tell which that is, so it is looked for by halves.
 */
export async function runOnBochs(guest: Guest, programs: readonly Program[], patience: number): Promise<Result[]> {
  const results = await runOnce(guest, programs, patience);
  if (results) return results;
  if (programs.length === 1) return [];
  const half = programs.length >>> 1;
  const first = await runOnBochs(guest, programs.slice(0, half), patience);
  return first.length < half ? first : [...first, ...(await runOnBochs(guest, programs.slice(half), patience))];
}

/** The results of all programs; undefined when Bochs stands still. */
async function runOnce(guest: Guest, programs: readonly Program[], patience: number): Promise<Result[] | undefined> {
  const place = mkdtempSync(join(tmpdir(), 'entrace-bochs-'));
  const path = (name: string): string => join(place, name);
  try {
    writeFileSync(path('rom'), guest.rom);
    writeFileSync(path('image'), ramWith(guest, programs).subarray(IMAGE_START));
    // A video BIOS must be named, but is not used.
    writeFileSync(path('video'), new Uint8Array(512));
    const address = (a: bigint): string => `0x${BigInt.asUintN(64, a).toString(16)}`;
    const room = outputBytes(LIVE_WORDS) + programs.length * outputBytes(CHANGED_WORDS);
    const commands = [
      // The debugger also stops at each reset, of which there may be as many as programs.
      ...Array.from({ length: programs.length + 1 }, () => 'c'),
      `writemem "${path('control')}" ${address(VIRTUAL_CONTROL)} ${CONTROL_BYTES}`,
      `writemem "${path('output')}" ${address(VIRTUAL_OUTPUT)} ${room}`,
      'q',
    ];
    writeFileSync(path('commands'), `${commands.join('\n')}\n`);
    writeFileSync(
      path('bochsrc'),
      [
        `megs: ${RAM_BYTES >> 20}`,
        'cpu: model=corei7_icelake_u, ips=100000000, reset_on_triple_fault=1, ignore_bad_msrs=0',
        `romimage: file=${path('rom')}, address=0xffff0000`,
        `vgaromimage: file=${path('video')}`,
        `optramimage1: file=${path('image')}, address=0x${IMAGE_START.toString(16)}`,
        'display_library: term',
        'magic_break: enabled=1',
        'speaker: enabled=0',
        'sound: waveoutdrv=dummy, waveindrv=dummy, midioutdrv=dummy',
        ...['ata0: enabled=0', 'ata1: enabled=0', 'clock: sync=none', 'private_colormap: enabled=0'],
        ...[`log: ${path('log')}`, 'panic: action=report', 'error: action=ignore', 'info: action=ignore'],
        'debug: action=ignore',
        '',
      ].join('\n'),
    );
    const child = spawn('script', ['-qec', `bochs -q -f ${path('bochsrc')} -rc ${path('commands')}`, '/dev/null'], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let messages = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        messages = (messages + text).slice(-4096);
      });
    }
    let late = false;
    const guard = setTimeout(
      () => {
        late = true;
        child.kill('SIGTERM');
      },
      patience + programs.length * MILLISECONDS,
    );
    await new Promise<void>((resolve, reject) => {
      child.on('error', reject);
      child.on('close', () => resolve());
    }).finally(() => clearTimeout(guard));
    if (late) return undefined;
    if (!existsSync(path('control')) || statSync(path('control')).size < CONTROL_BYTES) {
      const said =
        /exiting with the following message:\s*(.*)/.exec(messages)?.[1] ?? messages.trim().split('\n').at(-1);
      throw new InputError(`Bochs does not run: ${said?.trim() ?? 'no message'}`);
    }
    const { index } = progressOf(readFileSync(path('control')));
    return readResults(readFileSync(path('output')), index);
  } finally {
    rmSync(place, { recursive: true, force: true });
  }
}

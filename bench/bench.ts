/**
 * Measures, in one run: the binding's floor (write 18 registers, one step, read 18), the search's transitions a second
 * against it, memory for a visited state, growth with the bound, the start of the command, and a step back in the debugger.
 */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Assembler } from '../src/assembler/index.js';
import { ENGINE_REGISTERS } from '../src/cpu/registers.js';
import { allocateShared, UC_X86_REG, Unicorn } from '../src/cpu/unicorn.js';
import { parseBound, parsePlaces } from '../src/explore/bound.js';
import { search } from '../src/explore/explorer.js';
import type { SearchResult } from '../src/explore/result.js';
import { machineFor } from '../src/platforms/boot.js';
import { LINUX } from '../src/platforms/linux.js';
import { buildSubject } from '../src/platforms/subject.js';
import { PROFILES } from '../src/profiles/profile.js';
import { PROPERTIES } from '../src/properties/index.js';
import { count } from '../src/report/names.js';

const FLOOR_STEPS = 300_000;
const IMAGE = fileURLToPath(new URL('../../asm/linux_nmi.S', import.meta.url));

/** Rounds a second of: write 18 registers, execute one instruction, read 18 registers. */
function floor(): number {
  const engine = new Unicorn();
  const code = allocateShared(4096);
  // inc %rax; mov %rax, %rbx; push %rax; pop %rbx; jmp back
  new Uint8Array(code.buffer).set([0x48, 0xff, 0xc0, 0x48, 0x89, 0xc3, 0x50, 0x5b, 0xeb, 0xf6]);
  engine.mem_map_ptr(0x1000n, 4096, code.address);
  const registers = allocateShared(8 * ENGINE_REGISTERS);
  const values = new BigUint64Array(registers.buffer);
  const words = new Uint32Array(registers.buffer);
  const general = Object.values(UC_X86_REG).filter((id) => id !== UC_X86_REG.FS_BASE && id !== UC_X86_REG.GS_BASE);
  const rip = general.indexOf(UC_X86_REG.RIP);
  const rsp = general.indexOf(UC_X86_REG.RSP);
  const batch = engine.batch(
    general,
    general.map((_, i) => registers.address + BigInt(8 * i)),
  );
  values[rip] = 0x1000n;
  values[rsp] = 0x1800n;
  values[general.indexOf(UC_X86_REG.EFLAGS)] = 2n;
  const began = performance.now();
  for (let i = 0; i < FLOOR_STEPS; i++) {
    engine.reg_write_batch(batch);
    engine.emu_start(words[2 * rip]!, 1);
    engine.reg_read_batch(batch);
  }
  const rate = (FLOOR_STEPS / (performance.now() - began)) * 1000;
  engine.close();
  return rate;
}

async function searcher(context: string): Promise<(events: string) => SearchResult> {
  const subject = buildSubject(await Assembler.create(), { files: [IMAGE], platform: LINUX, context });
  const machine = machineFor(subject, PROFILES.intel!);
  return (events) => {
    const bound = parseBound(events);
    const places = parsePlaces([], subject.image, LINUX, bound);
    return search(machine, subject, PROPERTIES, { bound, places });
  };
}

/** Transitions a second of the last, counting round of a search. */
function rate(result: SearchResult): number {
  return result.transitions / result.lastRoundSeconds;
}

function line(name: string, value: string): void {
  process.stdout.write(`${name.padEnd(44)} ${value}\n`);
}

async function main(): Promise<void> {
  const run = await searcher('syscall-gap');
  floor();
  run('nmi=2,bp=1');
  // Floor and search in turns, so that a noisy machine hits both.
  const rounds = Array.from({ length: 5 }, () => {
    const before = floor();
    const result = run('nmi=4,bp=1');
    const after = floor();
    return { floor: (before + after) / 2, rate: rate(result), result };
  });
  rounds.sort((a, b) => a.rate / a.floor - b.rate / b.floor);
  const middle = rounds[2]!;
  line('floor: write 18, step, read 18', `${count(Math.round(middle.floor))} a second`);
  line('search, linux_nmi.S, syscall-gap, nmi=4,bp=1', `${count(Math.round(middle.rate))} transitions a second`);
  line('search / floor', `${rounds.map((r) => (r.rate / r.floor).toFixed(2)).join(' ')}   (bar: 0.40)`);
  line('visited set', `${middle.result.bytesPerState.toFixed(1)} bytes a state   (bar: 48)`);

  process.stdout.write('\nlinux_nmi.S, context kernel, bp=1, growing with the number of NMIs\n');
  const kernel = await searcher('kernel');
  let last: SearchResult | undefined;
  for (let n = 1; n <= 4; n++) {
    const result = kernel(`nmi=${n},bp=1`);
    const factor = last ? `states x${(result.states / last.states).toFixed(1)}` : '';
    line(
      `  nmi=${n}`,
      `${count(result.states).padStart(9)} states ${count(result.transitions).padStart(10)} transitions ${result.seconds.toFixed(2).padStart(6)} s  ${factor}`,
    );
    last = result;
  }

  const main = fileURLToPath(new URL('../src/cli/main.js', import.meta.url));
  /** The middle one of `runs` times, in milliseconds. */
  const time = (runs: number, ...args: string[]): string => {
    const times = Array.from({ length: runs }, () => {
      const began = performance.now();
      execFileSync(process.execPath, [main, ...args]);
      return performance.now() - began;
    }).sort((a, b) => a - b);
    return times[runs >> 1]!.toFixed(0);
  };
  process.stdout.write('\n');
  line('entrace --help', `${time(7, '--help')} ms   (bar: 150)`);
  const entry = fileURLToPath(new URL('../../downloads/linux/entry_64.i.S', import.meta.url));
  if (existsSync(entry)) line('entrace asm, entry_64.S of Linux 6.1', `${time(3, 'asm', entry)} ms   (bar: 2000)`);

  const measured = execFileSync(process.execPath, [fileURLToPath(new URL('debugger.js', import.meta.url))], {
    encoding: 'utf8',
  });
  const { transitions, median, worst, resident } = JSON.parse(measured) as Record<string, number>;
  process.stdout.write('\n');
  line(
    `debugger: a step back in ${count(transitions!)} and its view`,
    `${median!.toFixed(1)} ms, ${worst!.toFixed(1)} at worst   (bar: 20)`,
  );
  line('debugger: resident memory', `${resident!.toFixed(0)} MiB   (bar: 200)`);
}

await main();

/**
 * A kernel that has booted under QEMU against what src/patching/ makes of its file: all code, byte by byte. Nothing but the kernel
 * runs: it finds no disk, panics, and so ends QEMU; by then it has patched itself. Its RAM is a file, which is read then.
 */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { InputError } from '../src/errors.js';
import { Image } from '../src/image/image.js';
import { link } from '../src/image/linker.js';
import { type Patchable, patchable, patched } from '../src/patching/patch.js';
import { platformNamed } from '../src/platforms/index.js';
import { readBinaries } from '../src/platforms/read_module.js';

const PROGRAM = 'qemu-system-x86_64';
const MEGABYTES = 256;

/** A processor, and what the kernel is told. */
export interface Boot {
  readonly name: string;
  readonly cpu: string;
  readonly commandLine: string;
}

export const BOOTS: readonly Boot[] = [
  { name: 'Intel, as it comes (PTI, return thunks against ITS)', cpu: 'Skylake-Client-v1', commandLine: '' },
  {
    name: 'Intel without mitigations, SMAP, FSGSBASE',
    cpu: 'Skylake-Client-v1',
    commandLine: 'mitigations=off nosmap nofsgsbase',
  },
  { name: 'AMD Zen 3 with PTI (SRSO by aliasing)', cpu: 'EPYC-Milan', commandLine: 'pti=on' },
  { name: 'AMD Zen 2 (SRSO)', cpu: 'EPYC-Rome', commandLine: '' },
  {
    name: 'AMD Zen 2, retpolines with LFENCE, plain returns',
    cpu: 'EPYC-Rome',
    commandLine: 'spectre_v2=retpoline,lfence retbleed=off spec_rstack_overflow=off',
  },
];

export function qemuMissing(): string | undefined {
  return spawnSync(PROGRAM, ['--version']).status === 0 ? undefined : `${PROGRAM} is not installed (qemu-system-x86)`;
}

/** The RAM of a machine on which the kernel has come to its panic. */
export function bootedMemory(kernel: string, boot: Boot): Promise<Buffer> {
  // LOCK prefixes would go on a machine with one processor; a panic restarts the machine, which ends QEMU.
  const commandLine = `nokaslr noreplace-smp panic=-1 console=ttyS0 ${boot.commandLine}`;
  return memoryAtEnd(boot.cpu, ['-kernel', kernel, '-append', commandLine], 'Kernel panic');
}

/** The RAM of a machine that runs until it restarts; an error if it did not print what it had to. */
export async function memoryAtEnd(cpu: string, options: readonly string[], printed: string): Promise<Buffer> {
  const place = mkdtempSync(join(tmpdir(), 'entrace-boot-'));
  const ram = join(place, 'ram');
  try {
    const child = spawn(
      PROGRAM,
      [
        ...['-object', `memory-backend-file,id=ram,size=${MEGABYTES}M,mem-path=${ram},share=on`],
        ...['-machine', 'pc,memory-backend=ram,accel=tcg', '-m', `${MEGABYTES}M`, '-cpu', cpu],
        ...['-nodefaults', '-display', 'none', '-serial', 'stdio', '-no-reboot', ...options],
      ],
      { stdio: ['ignore', 'pipe', 'ignore'] },
    );
    let log = '';
    child.stdout.setEncoding('latin1').on('data', (text: string) => {
      log += text;
    });
    await new Promise<void>((resolve, reject) => {
      child.on('error', reject);
      child.on('close', () => resolve());
    });
    if (!log.includes(printed)) {
      throw new InputError(`${options[1]}: did not boot on ${cpu}: ${log.trim().split('\n').slice(-3).join(' / ')}`);
    }
    return readFileSync(ram);
  } finally {
    rmSync(place, { recursive: true, force: true });
  }
}

/** The kernel alone, at its addresses. */
export async function kernelImage(file: string): Promise<Image> {
  const module = (await readBinaries([file])).get(file)!;
  return link([module], { layout: platformNamed('linux').layout, absolute: {}, tested: [module] });
}

export interface CodeDifference {
  readonly place: string;
  readonly here: string;
  readonly booted: string;
}

export interface BootComparison {
  /** Names of the features that the booted kernel has found. */
  readonly features: readonly string[];
  /** Bytes of code that were compared, and those of them that booting has changed. */
  readonly bytes: number;
  readonly patchedBytes: number;
  /** Places where the booted kernel has gone on since: static keys that have been turned, trampolines that have been updated. */
  readonly keys: number;
  readonly trampolines: number;
  readonly differences: readonly CodeDifference[];
}

/** A line of the report. */
export interface BootRow {
  readonly name: string;
  readonly cpu: string;
  readonly commandLine: string;
  readonly bytes: number;
  readonly patchedBytes: number;
  /** Places that the booted system has turned since, by what happened while it ran. */
  readonly turned: number;
  readonly differences: readonly CodeDifference[];
}

/** Where the kernel's first LOAD segment lies without address randomization: at its linked address and at 16 MiB. */
const VIRTUAL = 0xffffffff81000000n;
const PHYSICAL = 0x1000000n;
/** struct cpuinfo_x86: the words of x86_capability, and behind them the vendor's name. */
const CAPABILITY_WORDS = 24;
const VENDORS = ['GenuineIntel', 'AuthenticAMD'];
const CPU_BYTES = 512;
const ALWAYS = 3 * 32 + 21;
/** struct static_call_site and struct jump_entry. Bytes. */
const STATIC_CALL = 8n;
const JUMP_ENTRY = 16n;
/** Bytes of a difference that are shown. */
const SHOWN = 16;

/** `alter` changes the features before the image is made: to see that the comparison finds it. */
export function compareBooted(image: Image, ram: Buffer, alter?: (features: Set<number>) => void): BootComparison {
  const booted = new BootedKernel(image, ram);
  const subject = patchable(booted.withKeys());
  if (!subject) throw new InputError('the kernel has nothing to patch');
  const features = booted.features();
  const names = [...features].map((number) => subject.names.name(number));
  alter?.(features);
  return { features: names, ...booted.compare(subject, features) };
}

class BootedKernel {
  constructor(
    private readonly image: Image,
    private readonly ram: Buffer,
  ) {}

  /** The words that the kernel's alternatives are chosen by. */
  features(): Set<number> {
    const cpu = this.at(this.address('boot_cpu_data'));
    const vendor = VENDORS.map((name) => this.ram.indexOf(name, cpu)).find((at) => at >= 0 && at - cpu < CPU_BYTES);
    const start = (vendor ?? cpu) - 4 * CAPABILITY_WORDS;
    const features = new Set<number>();
    for (let number = 0; number < CAPABILITY_WORDS * 32; number++) {
      if ((this.ram.readUInt32LE(start + 4 * (number >> 5)) >>> (number & 31)) & 1) features.add(number);
    }
    if (!features.has(ALWAYS)) throw new InputError('boot_cpu_data is not laid out as in Linux 6.1');
    return features;
  }

  /** The image with static calls' keys as they are at the end: drivers and the scheduler change them while the kernel boots. */
  withKeys(): Image {
    const data = new Map(this.image.sections.map((section) => [section, section.data]));
    const copied = new Set<unknown>();
    for (
      let at = this.address('__start_static_call_sites');
      at < this.address('__stop_static_call_sites');
      at += STATIC_CALL
    ) {
      const key = (at + 4n + BigInt(this.signed(at + 4n))) & ~3n;
      const section = this.image.sectionAt(key)!;
      if (!copied.has(section)) {
        copied.add(section);
        data.set(section, section.data.slice());
      }
      data.get(section)!.set(this.ram.subarray(this.at(key), this.at(key) + 8), Number(key - section.address));
    }
    const sections = this.image.sections.map((section) => ({ ...section, data: data.get(section)! }));
    return new Image(sections, this.image.symbols, this.image.tested, this.image.sources);
  }

  compare(subject: Patchable, features: ReadonlySet<number>): Omit<BootComparison, 'features'> {
    const after = patched(subject, features).image;
    const keys = this.jumpEntries();
    const trampolines = new Set(this.image.symbols.filter((s) => s.name.startsWith('__SCT__')).map((s) => s.address));
    const found = { bytes: 0, patchedBytes: 0, keys: 0, trampolines: 0 };
    const differences: CodeDifference[] = [];
    for (const section of after.sections) {
      if (section.segment !== 'text') continue;
      const { data, address } = section;
      const base = this.at(address);
      const original = this.image.sectionAt(address)!.data;
      found.bytes += data.length;
      for (let i = 0; i < data.length; i++) {
        if (original[i] !== this.ram[base + i]) found.patchedBytes++;
      }
      for (let i = 0; i < data.length; i++) {
        if (data[i] === this.ram[base + i]) continue;
        const covering = [0, 1, 2, 3, 4].map((back) => address + BigInt(i - back));
        const key = covering.find((place) => keys.has(place));
        const trampoline = covering.find((place) => trampolines.has(place));
        if (key !== undefined && this.isKey(key, keys.get(key)!)) {
          found.keys++;
          i = Number(key - address) + 4;
        } else if (trampoline !== undefined) {
          found.trampolines++;
          i = Number(trampoline - address) + 4;
        } else {
          const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
          differences.push({
            place: this.image.name(address + BigInt(i)),
            here: text(data.subarray(i, i + SHOWN)),
            booted: text(this.ram.subarray(base + i, base + i + SHOWN)),
          });
          i += SHOWN;
        }
      }
    }
    return { ...found, differences };
  }

  /** Static keys: the place of each, and where its jump goes. */
  private jumpEntries(): Map<bigint, bigint> {
    const entries = new Map<bigint, bigint>();
    for (let at = this.address('__start___jump_table'); at < this.address('__stop___jump_table'); at += JUMP_ENTRY) {
      entries.set(at + BigInt(this.signed(at)), at + 4n + BigInt(this.signed(at + 4n)));
    }
    return entries;
  }

  /** Whether the booted kernel has a NOP or the jump there. */
  private isKey(place: bigint, target: bigint): boolean {
    const bytes = this.ram.subarray(this.at(place), this.at(place) + 5);
    const hex = bytes.toString('hex');
    if (hex === '0f1f440000' || hex.startsWith('6690')) return true;
    if (bytes[0] === 0xeb) return place + 2n + BigInt(bytes.readInt8(1)) === target;
    return bytes[0] === 0xe9 && place + 5n + BigInt(bytes.readInt32LE(1)) === target;
  }

  private signed(address: bigint): number {
    const section = this.image.sectionAt(address)!;
    const view = new DataView(section.data.buffer, section.data.byteOffset, section.data.byteLength);
    return view.getInt32(Number(address - section.address), true);
  }

  private address(symbol: string): bigint {
    const found = this.image.find(symbol);
    if (!found) throw new InputError(`the kernel has no symbol ${symbol}`);
    return found.address;
  }

  /** Offset in RAM. */
  private at(address: bigint): number {
    return Number(address - VIRTUAL + PHYSICAL);
  }
}

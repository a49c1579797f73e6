/**
 * QEMU's TCG with the same image as a machine of ours: the same bytes mapped at the same addresses with the same rights, the same
 * registers, descriptor tables and MSRs. It is stepped over its gdb socket; its RAM is a file, which is read and
 * written directly.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Assembler } from '../src/assembler/index.js';
import { PAGE_SIZE, Perm, type Region } from '../src/cpu/memory.js';
import { REGISTER_COUNT, Reg, type RegisterName } from '../src/cpu/registers.js';
import { InputError } from '../src/errors.js';
import { codeSegment, dataSegment, tssDescriptor } from '../src/harness/descriptors.js';
import { IO_APIC_PAGE } from '../src/harness/io_apic.js';
import { LOCAL_APIC_PAGE } from '../src/harness/local_apic.js';
import type { Machine } from '../src/harness/machine.js';
import { link } from '../src/image/linker.js';
import { GdbClient, littleEndian } from './gdb_client.js';

/** Name of the region with the state save area. */
const SMRAM = 'SMRAM';

const PROGRAM = 'qemu-system-x86_64';

/** Why QEMU cannot be used here; undefined if it can. */
export function peerMissing(): string | undefined {
  return spawnSync(PROGRAM, ['--version']).status === 0 ? undefined : `${PROGRAM} is not installed (qemu-system-x86)`;
}

// Physical addresses. The descriptor table of the reset stands at 0, where GDTR points after a reset.
const RESET_GDT = 0;
const RESET_GDT_BYTES = 0x400;
const LOADER_CODE = 0x2000;
const LOADER_DATA = 0x3000;
/** The root of the page tables, for machines whose CR3 may be anything. */
export const ROOT = 0x10000;
const RESET_ROOT = 0x11000;
const TABLES = 0x12000;
const TABLES_END = 0x200000;
const IMAGE = 0x200000;
const RAM_BYTES = 32 << 20;
const LOCAL_APIC = 0xfee00000;
const IO_APIC = 0xfec00000;
/** Where SMM code begins after a reset: SMBASE + 8000H. */
const SMM_ENTRY = 0x38000;
const RSM = [0x0f, 0xaa];

/** Where the loader is mapped in every address space: nothing else uses these addresses. */
const LOADER = 0xffffb00000000000n;
const DATA = LOADER + BigInt(PAGE_SIZE);
const APIC_PAGE = DATA + BigInt(PAGE_SIZE);

const RESET_CS = 0x08;
const RESET_SS = 0x10;
const ROM_BYTES = 0x10000;

/** Offsets in the loader's data page. */
const Data = {
  GDTR: 0x00,
  IDTR: 0x10,
  CR0: 0x20,
  CR4: 0x28,
  CR2: 0x30,
  CR3: 0x38,
  SEGMENTS: 0x40,
  TR: 0x60,
  LDTR: 0x68,
  DEBUG: 0x70,
  GENERAL: 0xa0,
  FRAME: 0x120,
  MSR_COUNT: 0x150,
  MSRS: 0x158,
} as const;

const GENERAL = ['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi'].concat(
  Array.from({ length: 8 }, (_, i) => `r${i + 8}`),
);

/** MSRs that are loaded from the machine's registers, and those that QEMU needs for machine checks to arrive. */
const MSRS: readonly (readonly [number, RegisterName | bigint])[] = [
  [0xc0000080, 'EFER'],
  [0xc0000081, 'STAR'],
  [0xc0000082, 'LSTAR'],
  [0xc0000084, 'FMASK'],
  [0xc0000100, 'FS_BASE'],
  [0xc0000101, 'GS_BASE'],
  [0xc0000102, 'KERNEL_GS_BASE'],
  [0xc0000103, 'TSC_AUX'],
  [0x174, 'SYSENTER_CS'],
  [0x175, 'SYSENTER_ESP'],
  [0x176, 'SYSENTER_EIP'],
  [0x17b, 0xffffffffffffffffn],
  [0x400, 0xffffffffffffffffn],
];

/** Loads the whole state from the data page and goes to the start with an IRETQ. */
const LOADER_SOURCE = `
	.globl	loader, loader_go
loader:
	movabsq	$0x${DATA.toString(16)}, %rbx
	ltr	${Data.TR}(%rbx)
	movq	${Data.CR4}(%rbx), %rax
	movq	%rax, %cr4
	movq	${Data.CR0}(%rbx), %rax
	movq	%rax, %cr0
	movq	${Data.CR2}(%rbx), %rax
	movq	%rax, %cr2
	movabsq	$0x${APIC_PAGE.toString(16)}, %rax
	movl	$0x1ff, 0xf0(%rax)	/* the local APIC: enabled, spurious vector 0xff */
	lgdt	${Data.GDTR}(%rbx)
	lidt	${Data.IDTR}(%rbx)
	movq	${Data.CR3}(%rbx), %rax
	movq	%rax, %cr3
	lldt	${Data.LDTR}(%rbx)
${['ds', 'es', 'fs', 'gs'].map((s, i) => `\tmovq\t${Data.SEGMENTS + 8 * i}(%rbx), %rax\n\tmovl\t%eax, %${s}\n`).join('')}
${[0, 1, 2, 3, 6, 7].map((n, i) => `\tmovq\t${Data.DEBUG + 8 * i}(%rbx), %rax\n\tmovq\t%rax, %dr${n}\n`).join('')}
	leaq	${Data.MSRS}(%rbx), %rsi
	movq	${Data.MSR_COUNT}(%rbx), %rdi
loader_msr:
	movl	(%rsi), %ecx
	movl	8(%rsi), %eax
	movl	12(%rsi), %edx
	wrmsr
	addq	$16, %rsi
	decq	%rdi
	jnz	loader_msr
	leaq	${Data.FRAME}(%rbx), %rsp
${GENERAL.map((name, i) => (name === 'rsp' || name === 'rbx' ? '' : `\tmovq\t${Data.GENERAL + 8 * i}(%rbx), %${name}\n`)).join('')}
	movq	${Data.GENERAL + 8 * Reg.RBX}(%rbx), %rbx
loader_go:
	iretq
`;

interface Loader {
  readonly code: Uint8Array;
  readonly entry: bigint;
  readonly go: bigint;
}

let assembled: Promise<Loader> | undefined;

async function assembleLoader(): Promise<Loader> {
  const assembler = await Assembler.create();
  const module = assembler.assembleText(LOADER_SOURCE, 'loader.S');
  const elsewhere = 0x10000000n;
  const image = link([module], {
    layout: {
      text: LOADER,
      rodata: elsewhere,
      data: elsewhere,
      'user-text': elsewhere,
      'user-data': elsewhere,
      percpu: elsewhere,
      'smm-text': elsewhere,
    },
    absolute: {},
    tested: [module],
  });
  const at = (name: string): bigint => image.globals.get(name)!.address;
  return { code: image.sections.find((s) => s.segment === 'text')!.data, entry: at('loader'), go: at('loader_go') };
}

/** Page table entry bits (SDM vol. 3, 4.5). Accessed and dirty are set, so that the processor never writes a table. */
const Entry = { PRESENT: 1n, WRITE: 2n, USER: 4n, ACCESSED: 0x20n, DIRTY: 0x40n, NO_EXECUTE: 1n << 63n } as const;
const TABLE = Entry.PRESENT | Entry.WRITE | Entry.USER | Entry.ACCESSED;
const TABLE_ADDRESS = 0xffffffffff000n;
const PAGE = Entry.PRESENT | Entry.ACCESSED | Entry.DIRTY;

/** Numbers of the registers in QEMU's stub, for single writes. */
const Gdb = { RIP: 16, CS: 18, SS: 19, CR0: 27, CR3: 29, CR4: 30, EFER: 32 } as const;

/** Where each register stands in the reply to `g`: offset and bytes. */
const PLACES: readonly (readonly [RegisterName, number, number])[] = [
  ...(['RAX', 'RBX', 'RCX', 'RDX', 'RSI', 'RDI', 'RBP', 'RSP'] as const).map((r, i) => [r, 8 * i, 8] as const),
  ...(['R8', 'R9', 'R10', 'R11', 'R12', 'R13', 'R14', 'R15'] as const).map((r, i) => [r, 64 + 8 * i, 8] as const),
  ['RIP', 128, 8],
  ['RFLAGS', 136, 4],
  ...(['CS', 'SS', 'DS', 'ES', 'FS', 'GS'] as const).map((r, i) => [r, 140 + 4 * i, 4] as const),
  ...(['FS_BASE', 'GS_BASE', 'KERNEL_GS_BASE', 'CR0', 'CR2'] as const).map((r, i) => [r, 164 + 8 * i, 8] as const),
  ['CR3', 204, 8],
  ['CR4', 212, 8],
  ['EFER', 228, 8],
];

/** The registers that are compared. */
export const COMPARED: readonly RegisterName[] = PLACES.map(([name]) => name);

const CR0_RESET = 0x80000011n;
const CR0_PE = 1n;
const CR4_PAE = 0x20n;
const EFER_LME_NXE = 0x900n;

/** An MSI write's data word (SDM vol. 3, 10.11.2): delivery mode in bits 10 to 8. */
const Msi = { FIXED: 0 << 8, SMI: 2 << 8, NMI: 4 << 8 } as const;
/** VAL, UC, EN, S-less: an uncorrected error, which is reported by #MC; MCG_STATUS: MCIP and RIPV. */
const MACHINE_CHECK = 'mce 0 0 0xb000000000000000 5 0 0';

/** How long QEMU may be silent on a step, in ms, before it is stopped: it has halted or has shut down. */
const SILENCE = 10_000;
/** The same where it is expected to halt. */
const HALT_SILENCE = 2;

/** Those that have not been closed: they do not outlive this program. */
const running = new Set<EventPeer>();
process.on('exit', () => {
  for (const peer of running) peer.close();
});

/** How a step came to its end: by itself, not at all, or by a shutdown. */
export type Stopped = 'step' | 'silent' | 'shutdown';

export class EventPeer {
  /** The registers after the last `readRegisters`, at the places that Reg gives them. */
  readonly registers = new BigUint64Array(REGISTER_COUNT);
  /** The guest's memory after the last `readMemory`, in the order of GuestMemory's buffer. */
  readonly memory: Uint8Array;
  /** The parts of that buffer that are RAM in both: [first byte, byte after the last]. */
  readonly compared: readonly (readonly [number, number])[];
  readonly #start: Uint8Array;
  readonly #gdt: Uint8Array;

  private constructor(
    readonly place: string,
    readonly child: ChildProcess,
    readonly client: GdbClient,
    readonly ram: number,
    readonly loader: Loader,
    machine: Machine,
    gdt: Uint8Array,
  ) {
    this.#start = machine.memory.u8.slice();
    this.compared = comparedRanges(machine);
    this.memory = new Uint8Array(this.#start.length);
    this.#gdt = gdt;
  }

  /** Starts QEMU with what is in `machine` now: each `reset` brings it back to there. */
  static async start(machine: Machine): Promise<EventPeer> {
    assembled ??= assembleLoader();
    const loader = await assembled;
    const place = mkdtempSync(join(tmpdir(), 'entrace-events-'));
    const bytes = ramOf(machine, loader);
    writeFileSync(join(place, 'rom'), Buffer.alloc(ROM_BYTES, 0xf4));
    writeFileSync(join(place, 'ram'), bytes);
    const socket = join(place, 'gdb');
    const child = spawn(
      PROGRAM,
      [
        ...['-object', `memory-backend-file,id=ram,size=${RAM_BYTES},mem-path=${join(place, 'ram')},share=on`],
        ...[
          '-machine',
          'microvm,pit=off,pic=off,rtc=off,isa-serial=off,memory-backend=ram',
          '-m',
          `${RAM_BYTES >> 20}M`,
        ],
        ...['-accel', 'tcg', '-cpu', 'max,la57=off', '-bios', join(place, 'rom')],
        ...['-nodefaults', '-no-user-config', '-display', 'none'],
        ...['-S', '-gdb', `unix:${socket},server=on,wait=off`],
      ],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    );
    let messages = '';
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      messages += text;
    });
    let ended = false;
    child.on('error', () => {
      ended = true;
    });
    child.on('exit', () => {
      ended = true;
    });
    let client: GdbClient | undefined;
    while (!client && !ended) {
      await new Promise((resolve) => setTimeout(resolve, 5));
      // The socket's file is there a moment before anybody listens on it.
      client = await GdbClient.connect(socket).catch(() => undefined);
    }
    if (!client) {
      rmSync(place, { recursive: true, force: true });
      throw new InputError(`QEMU does not start: ${messages.trim().split('\n')[0]}`);
    }
    const gdt = bytes.subarray(RESET_GDT, RESET_GDT + RESET_GDT_BYTES);
    const peer = new EventPeer(place, child, client, openSync(join(place, 'ram'), 'r+'), loader, machine, gdt);
    running.add(peer);
    // Steps with interrupts and NMIs let through; memory packets take physical addresses, also those of devices.
    await client.command('Qqemu.sstep=1');
    await client.command('Qqemu.PhyMemMode:1');
    await client.command(`Z0,${loader.go.toString(16)},1`);
    return peer;
  }

  /** Back to the start state: a reset of the whole machine, then the loader. */
  async reset(): Promise<void> {
    const { client } = this;
    await client.command(`P${Gdb.RIP.toString(16)}=${littleEndian(0n)}`);
    await client.monitor('system_reset');
    // The reset happens in QEMU's main loop, soon after the command.
    while (!(await client.request(`p${Gdb.RIP.toString(16)}`)).startsWith('f0ff'));
    writeSync(this.ram, this.#start, 0, this.#start.length, IMAGE);
    writeSync(this.ram, this.#gdt, 0, this.#gdt.length, RESET_GDT);
    const set = (register: number, value: bigint, bytes = 8): Promise<void> =>
      client.command(`P${register.toString(16)}=${littleEndian(value, bytes)}`);
    await set(Gdb.CR4, CR4_PAE);
    await set(Gdb.EFER, EFER_LME_NXE);
    await set(Gdb.CR3, BigInt(RESET_ROOT));
    await set(Gdb.CR0, CR0_RESET);
    await set(Gdb.CS, BigInt(RESET_CS), 4);
    await set(Gdb.SS, BigInt(RESET_SS), 4);
    await set(Gdb.RIP, this.loader.entry);
    const silent = await this.#resume('c', SILENCE);
    await this.readRegisters();
    if (silent || this.registers[Reg.RIP] !== this.loader.go)
      throw new Error('the start state cannot be loaded into QEMU');
    await this.step();
  }

  /** One instruction, or what comes before it. `halts`: QEMU is expected to halt or to shut down with it. */
  async step(halts = false): Promise<Stopped> {
    if (!(await this.#resume('s', halts ? HALT_SILENCE : SILENCE))) return 'step';
    // A shutdown resets the machine, which then halts in its ROM, in real mode.
    await this.readRegisters();
    return this.isReset ? 'shutdown' : 'silent';
  }

  /** Lets QEMU run until it stops by itself; true if it had to be stopped. */
  async #resume(packet: 's' | 'c', silence: number): Promise<boolean> {
    let silent = false;
    const timer = setInterval(() => {
      silent = true;
      this.client.interrupt();
    }, silence);
    await this.client.request(packet).finally(() => clearInterval(timer));
    return silent;
  }

  /** Whether the registers that were read last are those after a reset. */
  get isReset(): boolean {
    return (this.registers[Reg.CR0]! & CR0_PE) === 0n;
  }

  /** An event arrives at the processor, which is stopped: it is taken, if it can be, by the next step. */
  async inject(event: string, halted: boolean): Promise<void> {
    const [kind, vector] = event.split(':');
    if (kind === 'mc') {
      await this.client.monitor(MACHINE_CHECK);
      return;
    }
    const data = kind === 'nmi' ? Msi.NMI : kind === 'smi' ? Msi.SMI : Msi.FIXED | Number(vector);
    await this.client.command(`M${LOCAL_APIC.toString(16)},4:${littleEndian(BigInt(data), 4)}`);
    // A processor that is not halted spends a step on asking its local APIC what there is.
    if (kind === 'msi' && !halted) await this.step();
  }

  async readRegisters(): Promise<void> {
    const bytes = Buffer.from(await this.client.request('g'), 'hex');
    for (const [name, offset, size] of PLACES) {
      this.registers[Reg[name]] = size === 8 ? bytes.readBigUInt64LE(offset) : BigInt(bytes.readUInt32LE(offset));
    }
  }

  readMemory(): void {
    readSync(this.ram, this.memory, 0, this.memory.length, IMAGE);
  }

  close(): void {
    running.delete(this);
    this.client.close();
    this.child.kill('SIGKILL');
    closeSync(this.ram);
    rmSync(this.place, { recursive: true, force: true });
  }
}

/** All of RAM: tables, loader, image. */
function ramOf(machine: Machine, loader: Loader): Uint8Array {
  const { memory } = machine;
  const bytes = new Uint8Array(RAM_BYTES);
  const view = new DataView(bytes.buffer);
  const store = (at: number, value: bigint): void => view.setBigUint64(at, BigInt.asUintN(64, value), true);
  const { u64 } = machine.cpu.regs;
  bytes.set(loader.code, LOADER_CODE);
  bytes.set(memory.u8, IMAGE);
  bytes.set(RSM, SMM_ENTRY);

  store(RESET_GDT + RESET_CS, codeSegment(0));
  store(RESET_GDT + RESET_SS, dataSegment(0));
  const [tssLow, tssHigh] = tssDescriptor(u64[Reg.TR_BASE]!, Number(u64[Reg.TR_LIMIT]!));
  // LTR takes an available TSS and marks it busy.
  store(RESET_GDT + Number(u64[Reg.TR]!), tssLow & ~(1n << 41n));
  store(RESET_GDT + Number(u64[Reg.TR]!) + 8, tssHigh);

  const data = (offset: number, value: bigint): void => store(LOADER_DATA + offset, value);
  const pseudoDescriptor = (offset: number, base: bigint, limit: bigint): void => {
    view.setUint16(LOADER_DATA + offset, Number(limit), true);
    data(offset + 2, base);
  };
  pseudoDescriptor(Data.GDTR, u64[Reg.GDTR_BASE]!, u64[Reg.GDTR_LIMIT]!);
  pseudoDescriptor(Data.IDTR, u64[Reg.IDTR_BASE]!, u64[Reg.IDTR_LIMIT]!);
  for (const name of ['CR0', 'CR4', 'CR2', 'TR', 'LDTR'] as const) data(Data[name], u64[Reg[name]]!);
  // CR3 names the same page in both, so that its value can be seen by software.
  data(Data.CR3, u64[Reg.CR3]!);
  [Reg.DS, Reg.ES, Reg.FS, Reg.GS].forEach((r, i) => {
    data(Data.SEGMENTS + 8 * i, u64[r]!);
  });
  [Reg.DR0, Reg.DR1, Reg.DR2, Reg.DR3, Reg.DR6, Reg.DR7].forEach((r, i) => {
    data(Data.DEBUG + 8 * i, u64[r]!);
  });
  for (let r = 0; r < 16; r++) data(Data.GENERAL + 8 * r, u64[r]!);
  [Reg.RIP, Reg.CS, Reg.RFLAGS, Reg.RSP, Reg.SS].forEach((r, i) => {
    data(Data.FRAME + 8 * i, u64[r]!);
  });
  data(Data.MSR_COUNT, BigInt(MSRS.length));
  MSRS.forEach(([number, value], i) => {
    data(Data.MSRS + 16 * i, BigInt(number));
    data(Data.MSRS + 16 * i + 8, typeof value === 'bigint' ? value : u64[Reg[value]]!);
  });

  let free = TABLES;
  const entryOf = (root: number, address: bigint): number => {
    let table = root;
    for (let shift = 39n; ; shift -= 9n) {
      const entry = table + 8 * Number((address >> shift) & 0x1ffn);
      if (shift === 12n) return entry;
      if (view.getBigUint64(entry, true) === 0n) {
        store(entry, BigInt(free) | TABLE);
        free += PAGE_SIZE;
      }
      table = Number(view.getBigUint64(entry, true) & 0xffffff000n);
    }
  };
  const map = (root: number, address: bigint, size: number, perms: number, physical: number): void => {
    const rights =
      (perms & Perm.WRITE ? Entry.WRITE : 0n) |
      (perms & Perm.USER ? Entry.USER : 0n) |
      (perms & Perm.EXEC ? 0n : Entry.NO_EXECUTE);
    for (let at = 0; at < size; at += PAGE_SIZE) {
      store(entryOf(root, address + BigInt(at)), BigInt(physical + at) | PAGE | rights);
    }
  };
  const roots = memory.spaces.map(({ cr3 }) =>
    Number((memory.spaces.length > 1 ? cr3 : u64[Reg.CR3]!) & TABLE_ADDRESS),
  );
  forEachRegion(machine, (region, offset) => {
    const device = region.name === LOCAL_APIC_PAGE ? LOCAL_APIC : region.name === IO_APIC_PAGE ? IO_APIC : undefined;
    memory.spaces.forEach(({ name }, i) => {
      const perms = region.spaces ? region.spaces[name] : region.perms;
      if (perms !== undefined) map(roots[i]!, region.address, region.size, perms, device ?? IMAGE + offset);
    });
  });
  const loaderPages = [
    [LOADER_CODE, Perm.EXEC],
    [LOADER_DATA, Perm.WRITE],
    [LOCAL_APIC, Perm.WRITE],
  ] as const;
  for (const root of [...roots, RESET_ROOT]) {
    loaderPages.forEach(([physical, perms], i) => {
      map(root, LOADER + BigInt(i * PAGE_SIZE), PAGE_SIZE, perms, physical);
    });
  }
  map(RESET_ROOT, 0n, PAGE_SIZE, Perm.WRITE, RESET_GDT);
  const last = Math.min(...roots.filter((root) => root >= IMAGE), RAM_BYTES);
  if (free > TABLES_END || IMAGE + memory.u8.length > last) throw new RangeError('the parts of RAM overlap');
  return bytes;
}

/** Calls `visit` with each region that software can reach and its offset in the buffer. */
function forEachRegion({ memory }: Machine, visit: (region: Region, offset: number) => void): void {
  let offset = 0;
  for (const region of memory.regions) {
    if (!region.hidden) visit(region, offset);
    offset += region.size;
  }
}

/** All but the devices' pages, and the state save area, which has another layout in QEMU. */
function comparedRanges(machine: Machine): [number, number][] {
  const ranges: [number, number][] = [];
  forEachRegion(machine, ({ name, perms, size }, offset) => {
    if (perms & Perm.DEVICE || name === SMRAM) return;
    const before = ranges.at(-1);
    if (before?.[1] === offset) before[1] += size;
    else ranges.push([offset, offset + size]);
  });
  return ranges;
}

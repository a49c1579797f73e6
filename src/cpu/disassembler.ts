/** Capstone, behind a cache: bytes in, the text that a person reads out. The only file that knows Capstone. */
import { createRequire } from 'node:module';
import { MAX_INSTRUCTION } from '../image/instructions.js';

/** The fields of Capstone's instructions that can be relied on; `detail` is read at wrong offsets and `address` is signed. */
interface CapstoneInstruction {
  readonly id: number;
  readonly mnemonic: string;
  readonly op_str: string;
  readonly size: number;
}

interface CapstoneEngine {
  option(type: number, value: number): void;
  disasm(bytes: Uint8Array, address: bigint, count: number): readonly CapstoneInstruction[];
}

interface CapstoneModule {
  readonly Capstone: new (arch: number, mode: number) => CapstoneEngine;
  readonly ARCH_X86: number;
  readonly MODE_64: number;
  readonly OPT_SYNTAX: number;
  readonly OPT_SYNTAX_ATT: number;
  readonly OPT_SYNTAX_INTEL: number;
}

export interface DisassembledInstruction {
  /** With prefixes that are part of it: `movq`, `rep movsb`. */
  readonly mnemonic: string;
  /** Empty if there are none. A branch has its target as an address, as if the instruction lay at the given one. */
  readonly operands: string;
  /** Bytes. */
  readonly size: number;
}

/** Instructions that the cache may hold before it is emptied. */
const CACHE_LIMIT = 100_000;

/**
 * Instructions that Capstone does not know or, because it passes over the mandatory prefix, takes for others (ERETU for
 * CLAC). Intel SDM volume 2; AMD APM volume 3; Intel FRED specification, chapter 9 (ERETS, ERETU).
 */
const KNOWN: ReadonlyMap<string, string> = new Map([
  ['0f01c6', 'wrmsrns'],
  ['0f01e8', 'serialize'],
  ['0f01fd', 'rdpru'],
  ['0f01fe', 'invlpgb'],
  ['0f01ff', 'tlbsync'],
  ['660f01cc', 'tdcall'],
  ['660f01cd', 'seamret'],
  ['660f01ce', 'seamops'],
  ['660f01cf', 'seamcall'],
  ['f20f01ca', 'erets'],
  ['f20f01e8', 'xsusldtrk'],
  ['f20f01e9', 'xresldtrk'],
  ['f30f01ca', 'eretu'],
  ['f30f01d9', 'vmgexit'],
  ['f30f01ec', 'uiret'],
  ['f30f01ed', 'testui'],
  ['f30f01ee', 'clui'],
  ['f30f01ef', 'stui'],
  ['f30f01fa', 'mcommit'],
]);

/** One for all: it takes 10 MB. */
let loading: Promise<CapstoneModule> | undefined;

function load(): Promise<CapstoneModule> {
  const require = createRequire(import.meta.url);
  return (require('@alexaltea/capstone-js') as () => Promise<CapstoneModule>)();
}

export class Disassembler {
  private readonly cache = new Map<string, DisassembledInstruction | undefined>();

  private constructor(private readonly engine: CapstoneEngine) {}

  /** Loads Capstone (about 30 ms). */
  static async create(syntax: 'att' | 'intel' = 'att'): Promise<Disassembler> {
    loading ??= load();
    const module = await loading;
    const engine = new module.Capstone(module.ARCH_X86, module.MODE_64);
    engine.option(module.OPT_SYNTAX, syntax === 'att' ? module.OPT_SYNTAX_ATT : module.OPT_SYNTAX_INTEL);
    return new Disassembler(engine);
  }

  /** The first instruction in `bytes`; `.byte 0x…` if it is not a known one or not all there. */
  text(bytes: Uint8Array, address: bigint): string {
    const instruction = this.instruction(bytes, address);
    if (!instruction) return byteDirective(bytes.subarray(0, MAX_INSTRUCTION));
    return instruction.operands === '' ? instruction.mnemonic : `${instruction.mnemonic} ${instruction.operands}`;
  }

  /** The first instruction in `bytes`; undefined if it is not a known one or not all there. */
  instruction(bytes: Uint8Array, address: bigint): DisassembledInstruction | undefined {
    const code = bytes.subarray(0, MAX_INSTRUCTION);
    const key = `${address.toString(16)} ${Buffer.from(code).toString('hex')}`;
    if (this.cache.has(key)) return this.cache.get(key);
    const found = this.ask(code, address);
    if (this.cache.size >= CACHE_LIMIT) this.cache.clear();
    this.cache.set(key, found);
    return found;
  }

  private ask(code: Uint8Array, address: bigint): DisassembledInstruction | undefined {
    if (code.length === 0) return undefined;
    const hex = Buffer.from(code.subarray(0, 4)).toString('hex');
    for (const size of [3, 4]) {
      const mnemonic = KNOWN.get(hex.slice(0, 2 * size));
      if (mnemonic) return { mnemonic, operands: '', size };
    }
    let first: CapstoneInstruction | undefined;
    try {
      first = this.engine.disasm(code, BigInt.asUintN(64, address), 1)[0];
    } catch (error) {
      // Capstone throws a string for bytes that it does not know; anything else is a broken module.
      if (typeof error !== 'string') throw error;
    }
    if (!first || first.size > code.length) return undefined;
    return { mnemonic: first.mnemonic, operands: hexadecimal(first.op_str), size: first.size };
  }
}

/** Capstone writes immediates of 64 bits whose highest bit is set in decimal: nobody recognises an address in that. */
function hexadecimal(operands: string): string {
  return operands.replace(/\$(\d{5,})\b/g, (_, digits: string) => `$0x${BigInt(digits).toString(16)}`);
}

/** `.byte 0x0f, 0x05` */
export function byteDirective(bytes: Uint8Array): string {
  return `.byte ${[...bytes].map((byte) => `0x${byte.toString(16).padStart(2, '0')}`).join(', ')}`;
}

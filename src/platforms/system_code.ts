/**
 * Images that are a system software's own code: an object of it, or the whole of it. What the platform's tables say of handlers
 * that are written for it does not hold for all versions of that; here it is told by the symbols of the code.
 */

import { InputError } from '../errors.js';
import type { Module, ModuleSymbol } from '../image/module.js';
import { executableOf } from './executable.js';
import { PLATFORMS } from './index.js';
import { linuxKernel } from './linux_kernel.js';
import type { Platform } from './platform.js';
import { xenHypervisor } from './xen_hypervisor.js';

/** What a file has of a variable, or of a table in code: its bytes, and its address if the file is linked. */
export interface Variable {
  readonly bytes: Uint8Array;
  readonly address: bigint | undefined;
}

/** What is known of a system software by its symbols. */
export class CodeFacts {
  readonly #modules: readonly Module[];
  readonly #symbols = new Map<string, ModuleSymbol>();
  #names: Map<bigint, ModuleSymbol> | undefined;
  /** The executable, with what of it is loaded at addresses of its own. */
  readonly executable: Module | undefined;

  constructor(modules: readonly Module[]) {
    this.#modules = modules;
    for (const { symbols } of modules) {
      for (const symbol of symbols) {
        const known = this.#symbols.get(symbol.name);
        if (!known || known.section === 'undefined') this.#symbols.set(symbol.name, symbol);
      }
    }
    this.executable = executableOf(modules);
  }

  /** Whether the code defines or uses a symbol. */
  mentions(name: string): boolean {
    return this.#symbols.has(name);
  }

  defines(name: string): boolean {
    const symbol = this.#symbols.get(name);
    return symbol !== undefined && symbol.section !== 'undefined';
  }

  /** The bytes of a variable: its size or, where the symbol table has none, the way to the next symbol. Undefined if it is not defined. */
  extent(name: string): number | undefined {
    const symbol = this.#symbols.get(name);
    if (symbol === undefined || symbol.section === 'undefined') return undefined;
    if (symbol.size > 0n) return Number(symbol.size);
    let next: bigint | undefined;
    for (const { section, value } of this.#symbols.values()) {
      if (section === symbol.section && value > symbol.value && (next === undefined || value < next)) next = value;
    }
    return next === undefined ? undefined : Number(next - symbol.value);
  }

  /** The variable of that name; undefined if it is not defined, or has no contents in the file. */
  variable(name: string): Variable | undefined {
    const symbol = this.#symbols.get(name);
    const size = this.extent(name);
    const module = this.#modules.find(({ symbols }) => symbol !== undefined && symbols.includes(symbol));
    const section = module?.sections.find((s) => s.name === symbol?.section);
    if (symbol === undefined || size === undefined || section === undefined) return undefined;
    const from = Number(symbol.value);
    if (from + size > section.data.length) return undefined;
    const address = section.address === undefined ? undefined : section.address + symbol.value;
    return { bytes: section.data.subarray(from, from + size), address };
  }

  /** The name of what begins at an address of the executable, a global one before a local one. */
  symbolAt(address: bigint): string | undefined {
    this.#names ??= this.#namesByAddress();
    return this.#names.get(address)?.name;
  }

  #namesByAddress(): Map<bigint, ModuleSymbol> {
    const names = new Map<bigint, ModuleSymbol>();
    const { sections = [], symbols = [] } = this.executable ?? {};
    const starts = new Map(sections.map((section) => [section.name, section.address]));
    for (const symbol of symbols) {
      const start = starts.get(symbol.section);
      if (start === undefined) continue;
      const at = BigInt.asUintN(64, start + symbol.value);
      const known = names.get(at);
      if (known === undefined || (known.binding === 'local' && symbol.binding !== 'local')) names.set(at, symbol);
    }
    return names;
  }
}

/** The platform as the modules under test need it; `stubs` are the functions that the user gives others for. */
export function platformFor(platform: Platform, tested: readonly Module[], stubs: readonly string[]): Platform {
  const facts = new CodeFacts(tested);
  if (!facts.mentions(platform.systemCode.marker)) {
    refuseOthers(platform, facts, tested);
    return platform;
  }
  const adapt = platform.name === 'linux' ? linuxKernel : xenHypervisor;
  const own = adapt(platform, facts);
  // Where another function takes the place of one that serves an NMI, that one is "the body".
  const stubbed = own.bodies.filter((name) => stubs.includes(name));
  return {
    ...own,
    ...(facts.executable === undefined ? {} : { layout: { ...own.systemCode.beside, percpu: own.layout.percpu } }),
    bodies: stubbed.length > 0 ? stubbed : own.bodies,
    defaults: own.systemCode.defaults,
  };
}

/** Code of another system software would be run by conventions that are not its own. */
function refuseOthers(platform: Platform, facts: CodeFacts, tested: readonly Module[]): void {
  for (const { name, systemCode } of PLATFORMS) {
    if (name === platform.name || !facts.mentions(systemCode.marker)) continue;
    const files = tested.map((module) => module.name).join(', ');
    throw new InputError(
      `${files}: is code of the platform ${name} (${systemCode.marker} is in it); use --platform ${name}`,
    );
  }
}

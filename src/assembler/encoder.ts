/**
 * Keystone, behind a cache: one instruction in, its bytes out. The only file that knows Keystone.
 *
 * Keystone gets text in which every number is hexadecimal and every operand size is spelled out. It reads bare
 * numbers as hexadecimal, crashes on some directives, and reports nothing for some bad input but no bytes.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

/** As much of WebAssembly as is needed here; the compiler's own declarations belong to the browser's library. */
interface WebAssemblyInstance {
  readonly exports: object;
}
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object, imports: object) => WebAssemblyInstance;
};

interface KeystoneResult {
  readonly failed: boolean;
  readonly mc: Uint8Array;
}

interface KeystoneEngine {
  option(type: number, value: number): void;
  asm(text: string, address: number): KeystoneResult;
  errno(): number;
}

interface KeystoneModule {
  readonly Keystone: new (arch: number, mode: number) => KeystoneEngine;
  readonly ARCH_X86: number;
  readonly MODE_64: number;
  readonly OPT_SYNTAX: number;
  readonly OPT_SYNTAX_ATT: number;
  readonly ERR_ASM_X86_MNEMONICFAIL?: number;
  readonly ERR_ASM_MNEMONICFAIL: number;
}

interface KeystoneSettings {
  print: () => void;
  printErr: () => void;
  instantiateWasm: (imports: object, receive: (instance: WebAssemblyInstance, module: object) => void) => object;
}

interface Engine {
  readonly module: KeystoneModule;
  readonly engine: KeystoneEngine;
}

/**
 * Why an instruction has no encoding. `crash`: Keystone stopped on it, and its instance was thrown away; `restarting`: so
 * many did at once that no fresh instance is ready before the caller lets other tasks run.
 */
export type Refusal = 'mnemonic' | 'operands' | 'crash' | 'restarting';

/** How many fresh instances wait to replace a crashed one. */
const SPARES = 1;
/** Texts that the cache may hold before it is emptied. */
const CACHE_LIMIT = 100_000;

export class Encoder {
  private readonly cache = new Map<string, Uint8Array | Refusal>();
  private readonly spares: Engine[] = [];

  private constructor(
    private current: Engine | undefined,
    private readonly start: () => Promise<Engine>,
  ) {}

  static async create(): Promise<Encoder> {
    const require = createRequire(import.meta.url);
    const path = require.resolve('@alexaltea/keystone-js');
    const wasm = new WebAssembly.Module(readFileSync(path.replace(/\.js$/, '.wasm')));
    const load = require(path) as (settings: KeystoneSettings) => Promise<KeystoneModule>;
    const start = async (): Promise<Engine> => {
      const module = await load({
        print: () => {},
        printErr: () => {},
        instantiateWasm: (imports, receive) => {
          const instance = new WebAssembly.Instance(wasm, imports);
          receive(instance, wasm);
          return instance.exports;
        },
      });
      const engine = new module.Keystone(module.ARCH_X86, module.MODE_64);
      engine.option(module.OPT_SYNTAX, module.OPT_SYNTAX_ATT);
      return { module, engine };
    };
    const encoder = new Encoder(await start(), start);
    await encoder.refill();
    return encoder;
  }

  private async refill(): Promise<void> {
    while (this.spares.length < SPARES) this.spares.push(await this.start());
  }

  /** Bytes of one instruction at address 0 (AT&T syntax, numbers in hexadecimal), or why there are none. */
  encode(text: string): Uint8Array | Refusal {
    let result = this.cache.get(text);
    if (result === undefined) {
      result = this.ask(text);
      if (this.cache.size >= CACHE_LIMIT) this.cache.clear();
      if (result !== 'restarting') this.cache.set(text, result);
    }
    return result;
  }

  private ask(text: string): Uint8Array | Refusal {
    this.current ??= this.spares.pop();
    if (!this.current) return 'restarting';
    const { engine, module } = this.current;
    const { exitCode } = process;
    try {
      const result = engine.asm(text, 0);
      if (!result.failed && result.mc.length > 0 && result.mc.length <= 15) return Uint8Array.from(result.mc);
      const error = engine.errno();
      return error === module.ERR_ASM_X86_MNEMONICFAIL || error === module.ERR_ASM_MNEMONICFAIL
        ? 'mnemonic'
        : 'operands';
    } catch {
      // Keystone ends "its" program, and Emscripten takes that for this one.
      process.exitCode = exitCode;
      // The instance's memory can be in any state now.
      this.current = undefined;
      void this.refill();
      return 'crash';
    }
  }
}

/** The assembler: the GNU dialect for x86-64 in, a relocatable module out. */
import { InputError } from '../errors.js';
import type { Module } from '../image/module.js';
import { Assembly } from './assembly.js';
import { Encoder } from './encoder.js';
import { InstructionEncoder } from './instruction.js';
import { ObjectWriter } from './object.js';
import { Preprocessor, readSource } from './preprocessor.js';

export { AssemblyError } from './source.js';

/** Keystone, or the machine's own `gcc -c`. */
export const ASSEMBLERS = ['keystone', 'gnu'] as const;
export type AssemblerName = (typeof ASSEMBLERS)[number];

/** How the sources of an image are read; all that a command, a scenario or a saved path says about it. */
export interface SourceSettings {
  readonly defines?: Readonly<Record<string, string>>;
  readonly includePaths?: readonly string[];
  readonly forcedIncludes?: readonly string[];
  readonly assembler?: AssemblerName;
}

export interface AssembleOptions {
  /** As `-DNAME=VALUE`. */
  readonly defines?: Readonly<Record<string, string>>;
  /** Directories that are searched for included files, after the including file's own. */
  readonly includePaths?: readonly string[];
  /** As `-include FILE`: read before the file itself. */
  readonly forcedIncludes?: readonly string[];
  /** Reads a file as text; throws if there is none. Default: the file system. */
  readonly readFile?: (path: string) => string;
}

export class Assembler {
  private constructor(private readonly instructions: InstructionEncoder) {}

  /** Loads the encoder (about 30 ms). One assembler can assemble any number of files. */
  static async create(): Promise<Assembler> {
    return new Assembler(new InstructionEncoder(await Encoder.create()));
  }

  /** Assembles a file. Throws InputError (unreadable file) or AssemblyError (the first error in the source). */
  assemble(path: string, options: AssembleOptions = {}): Module {
    return this.assembleText(read(options)(path), path, options);
  }

  /** Assembles text that is called `name` in messages; includes are looked for next to it. */
  assembleText(text: string, name: string, options: AssembleOptions = {}): Module {
    const preprocessor = new Preprocessor({
      defines: options.defines ?? {},
      includePaths: options.includePaths ?? [],
      forcedIncludes: options.forcedIncludes ?? [],
      readFile: read(options),
    });
    try {
      const lines = preprocessor.run(text, name);
      const assembly = new Assembly(this.instructions, preprocessor);
      assembly.run(lines);
      const sections = [...assembly.sections.values()].filter((section) => section.touched || section.name === '.text');
      return new ObjectWriter(name, sections, assembly.symbols, preprocessor.sources).write();
    } catch (error) {
      // Each nested thing has a limit of its own but the depth of an expression.
      if (!(error instanceof RangeError)) throw error;
      throw new InputError(`${name}: an expression in it is too long or too deeply nested; split it`);
    }
  }
}

function read(options: AssembleOptions): (path: string) => string {
  const { readFile } = options;
  if (!readFile) return readSource;
  return (path) => {
    try {
      return readFile(path);
    } catch (cause) {
      if (cause instanceof InputError) throw cause;
      const code = (cause as NodeJS.ErrnoException).code;
      throw new InputError(
        code === undefined || code === 'ENOENT' ? `${path}: no such file` : `${path}: cannot be read (${code})`,
      );
    }
  };
}

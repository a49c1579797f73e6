/** Opens a debugger on what a command names: an image, a scenario or a path file. */
import type { CodeOptions, SourceOptions } from '../cli/search_options.js';
import { InputError } from '../errors.js';
import type { Debugger } from './debugger.js';

export interface DebugOptions extends SourceOptions, CodeOptions {
  readonly platform: string;
  readonly profile: string;
  readonly knob?: readonly string[];
  readonly context: string;
  /** Of a scenario with several contexts or profiles. */
  readonly case?: string;
}

/** Rejects with an InputError for whatever is wrong with the files. */
export async function openDebugger(_target: readonly string[], _options: DebugOptions): Promise<Debugger> {
  throw new InputError('not built yet');
}

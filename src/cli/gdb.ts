/** entrace gdb: the remote serial protocol. */
import { openDebugger } from '../debugger/open.js';
import { type DebugOptions, debugSettings } from './debug_options.js';
import { EXIT } from './exit.js';

export async function gdb(
  target: readonly string[],
  options: DebugOptions & { readonly port?: number },
): Promise<number> {
  await openDebugger(target, debugSettings(options));
  return EXIT.HOLDS;
}

/** entrace gdb: the remote serial protocol. */
import { type DebugOptions, openDebugger } from '../debugger/open.js';
import { EXIT } from './exit.js';

export async function gdb(
  target: readonly string[],
  options: DebugOptions & { readonly port?: number },
): Promise<number> {
  await openDebugger(target, options);
  return EXIT.HOLDS;
}

/** entrace debug: the full screen, or the line mode. */
import { type DebugOptions, openDebugger } from '../debugger/open.js';
import { EXIT } from './exit.js';

export async function debug(
  target: readonly string[],
  options: DebugOptions & { readonly batch?: boolean; readonly commands?: readonly string[] },
): Promise<number> {
  await openDebugger(target, options);
  return EXIT.HOLDS;
}

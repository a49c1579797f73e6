/** entrace debug: the full screen, or the line mode. */
import { openDebugger } from '../debugger/open.js';
import { type DebugOptions, debugSettings } from './debug_options.js';
import { EXIT } from './exit.js';

export async function debug(
  target: readonly string[],
  options: DebugOptions & { readonly batch?: boolean; readonly commands?: readonly string[] },
): Promise<number> {
  await openDebugger(target, debugSettings(options));
  return EXIT.HOLDS;
}

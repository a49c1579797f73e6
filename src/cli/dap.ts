/** entrace dap: the Debug Adapter Protocol. */
import { EXIT } from './exit.js';

export async function dap(): Promise<number> {
  return EXIT.HOLDS;
}

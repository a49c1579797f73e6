/** entrace serve: the page. */
import { EXIT } from './exit.js';

export async function serve(_file: string | undefined, _options: { readonly port?: number }): Promise<number> {
  return EXIT.HOLDS;
}

import { InputError } from '../errors.js';
import type { Image } from '../image/image.js';

/** The code under test has come to something that the machine does not model: no verdict can be given. */
export class NotModelled extends InputError {
  constructor(
    readonly address: bigint,
    readonly what: string,
  ) {
    super(`0x${address.toString(16)}: ${what}`);
  }

  /** The same with the place as people write it: `file:line: label+n: what`. */
  placed(image: Image): string {
    const line = image.locate(this.address)?.line;
    const at = line && line.position.line > 0 ? `${line.position.file}:${line.position.line}: ` : '';
    return `${at}${image.name(this.address)}: ${this.what}`;
  }
}

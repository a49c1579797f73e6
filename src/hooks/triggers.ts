/** Triggers: where and when something fires. A trigger looks at the machine at a boundary and says yes or no. */
import { InputError } from '../errors.js';
import type { Image } from '../image/image.js';

/** Addresses from `start` up to, and not including, `end`. */
export interface Range {
  readonly start: bigint;
  readonly end: bigint;
}

/** Reads `LABEL..LABEL` (the second not included), `LABEL+n` (one boundary) or an address. */
export function rangesOf(image: Image, text: string): Range[] {
  const [from, to, ...rest] = text.split('..');
  if (rest.length > 0 || !from || to === '') throw new InputError(`'${text}': expected LABEL, LABEL+n or LABEL..LABEL`);
  const start = addressOf(image, from);
  const end = to === undefined ? start + 1n : addressOf(image, to);
  if (end <= start) throw new InputError(`'${text}': the end lies before the start`);
  return [{ start, end }];
}

/** The address of `label`, `label+n` or `0x…`; an InputError that names near misses otherwise. */
export function addressOf(image: Image, text: string): bigint {
  const address = image.resolve(text);
  if (address !== undefined) return address;
  const label = text.replace(/\+\d+$/, '');
  if (image.find(label)) throw new InputError(`'${text}': there are not so many instructions after ${label}`);
  const near = [...image.globals.keys()].filter((name) => name.includes(label) || label.includes(name)).slice(0, 5);
  throw new InputError(`there is no label '${label}' in the image${near.length > 0 ? `; did you mean ${near.join(' or ')}?` : ''}`);
}

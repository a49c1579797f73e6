/** Source files of an image by line: which boundaries come from each. */
import { basename, resolve } from 'node:path';
import type { Image } from '../image/image.js';

export interface SourceFile {
  readonly name: string;
  readonly lines: readonly string[];
  /** Addresses of the instructions that come from a line, by its number. */
  readonly addresses: ReadonlyMap<number, readonly bigint[]>;
}

export class SourceIndex {
  readonly #files = new Map<string, SourceFile | undefined>();

  constructor(readonly image: Image) {}

  /** A file by its name, as the line map or as a person writes it; undefined where its text is not known. */
  file(name: string): SourceFile | undefined {
    const key = resolve(name);
    if (!this.#files.has(key)) this.#files.set(key, this.#read(key) ?? this.#inSomeFolder(name));
    return this.#files.get(key);
  }

  /** For a name without a folder: the only file that is called so. */
  #inSomeFolder(name: string): SourceFile | undefined {
    const same = [...this.image.sources.keys()].filter((path) => basename(path) === name);
    return same.length === 1 ? this.#read(resolve(same[0]!)) : undefined;
  }

  #read(key: string): SourceFile | undefined {
    const found = [...this.image.sources].find(([name]) => resolve(name) === key);
    if (!found) return undefined;
    const [name, text] = found;
    const addresses = new Map<number, bigint[]>();
    for (const section of this.image.sections) {
      for (const { offset, position } of section.lines) {
        if (resolve(position.file) !== key) continue;
        const list = addresses.get(position.line) ?? [];
        list.push(section.address + BigInt(offset));
        addresses.set(position.line, list);
      }
    }
    const lines = text.split(/\r?\n/);
    if (lines.at(-1) === '') lines.pop();
    return { name, lines, addresses };
  }
}

const known = new WeakMap<Image, SourceIndex>();

/** One for each image. */
export function sourceIndex(image: Image): SourceIndex {
  let index = known.get(image);
  if (!index) {
    index = new SourceIndex(image);
    known.set(image, index);
  }
  return index;
}

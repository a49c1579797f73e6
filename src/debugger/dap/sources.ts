/** Files and lines of the image as the protocol has them, and back. */
import { existsSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import type { DebugProtocol } from '@vscode/debugprotocol';
import type { Image } from '../../image/image.js';

export interface Place {
  readonly source: DebugProtocol.Source;
  /** From 1. */
  readonly line: number;
}

export class Sources {
  /** The names by which the image knows its files, without those that are on no disk: these are known by number, from 1. */
  readonly #names: readonly string[];

  constructor(readonly image: Image) {
    this.#names = [...image.sources.keys()];
  }

  /** Where the instruction at an address comes from; undefined if that is not known. */
  place(address: bigint): Place | undefined {
    const position = this.image.locate(address)?.line?.position;
    if (position === undefined || position.line === 0) return undefined;
    return { source: this.source(position.file), line: position.line };
  }

  source(file: string): DebugProtocol.Source {
    const path = resolve(file);
    if (existsSync(path)) return { name: basename(path), path };
    const number = this.#names.indexOf(file) + 1;
    return number > 0 ? { name: file, sourceReference: number } : { name: file, presentationHint: 'deemphasize' };
  }

  /** The image's name of a file; undefined if nothing in the image is from it. */
  file({ path, sourceReference }: DebugProtocol.Source): string | undefined {
    if (sourceReference) return this.#names[sourceReference - 1];
    return path === undefined ? undefined : this.#names.find((name) => resolve(name) === resolve(path));
  }

  text(source: DebugProtocol.Source): string | undefined {
    const file = this.file(source);
    return file === undefined ? undefined : this.image.sources.get(file);
  }
}

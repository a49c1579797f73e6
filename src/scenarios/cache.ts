/**
 * Results of earlier runs, one file each, keyed by all that decides them: the program itself, the linked image, the profile's
 * rules, what is fired and checked. What must come out is no part of it: it is compared each time.
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { InputError } from '../errors.js';
import { makeDirectory } from '../explore/path_file.js';
import type { Subject } from '../platforms/subject.js';
import type { Profile } from '../profiles/profile.js';
import type { Result } from './outcome.js';
import type { Case } from './scenario.js';

const PROGRAM = fileURLToPath(new URL('..', import.meta.url));

/** Where results are kept if --cache names no directory. */
const DEFAULT_DIRECTORY = join('.entrace', 'cache');

/** The cache that `--cache [DIR]` asks for; undefined without it. */
export function chooseCache(option: string | true | undefined): Cache | undefined {
  return option === undefined ? undefined : new Cache(option === true ? DEFAULT_DIRECTORY : option, programHash());
}

/** SHA-256 of the program's own code: another version may come to another result. */
function programHash(): string {
  const hash = createHash('sha256');
  const files = readdirSync(PROGRAM, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.js'));
  for (const name of files.sort()) hash.update(`${name}\n`).update(readFileSync(join(PROGRAM, name)));
  return hash.digest('hex');
}

export class Cache {
  constructor(
    readonly directory: string,
    readonly program: string,
  ) {
    makeDirectory(directory, '--cache');
  }

  key({ scenario, context }: Case, { image, features }: Subject, profile: Profile): string {
    const { platform, bound, at, schedule, properties, maxStates } = scenario;
    const firings = schedule?.map(({ event, boundary, hit }) => ({ event, boundary, hit }));
    // What the code was patched for is in its bytes.
    const processor = features && [features.control.toString(16), features.isolation, features.pcid];
    const all = [this.program, image.hash, names(image.symbols), processor, platform, profile, context];
    return createHash('sha256')
      .update(JSON.stringify([...all, bound, at, firings, properties, maxStates]))
      .digest('hex');
  }

  /** Undefined if there is no such result, or none that can be read. */
  get(key: string): Result | undefined {
    try {
      return JSON.parse(readFileSync(this.#file(key), 'utf8'), revive) as Result;
    } catch {
      return undefined;
    }
  }

  put(key: string, result: Result): void {
    const file = this.#file(key);
    // Another process may look for it meanwhile: it must see all of it or nothing.
    const whole = `${file}.${process.pid}`;
    try {
      writeFileSync(whole, JSON.stringify(result, replace));
      renameSync(whole, file);
    } catch (error) {
      throw new InputError(
        `--cache ${this.directory}: ${file} cannot be written (${(error as NodeJS.ErrnoException).code})`,
      );
    }
  }

  #file(key: string): string {
    return join(this.directory, `${key}.json`);
  }
}

/** The symbols decide what code means to the platform, and what boundaries are called. */
function names(symbols: Subject['image']['symbols']): string {
  const hash = createHash('sha256');
  for (const s of symbols) hash.update(`${s.name} ${s.address.toString(16)} ${s.binding} ${s.module}\n`);
  return hash.digest('hex');
}

function replace(_: string, value: unknown): unknown {
  return typeof value === 'bigint' ? { bigint: value.toString(16) } : value;
}

function revive(_: string, value: unknown): unknown {
  const digits = (value as { bigint?: unknown } | null)?.bigint;
  return typeof digits === 'string' ? BigInt(`0x${digits}`) : value;
}

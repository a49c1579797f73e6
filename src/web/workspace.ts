/** The files that the editor offers, their texts as they stand in it, and the subject that is made of one of them. */
import { readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { Assembler } from '../assembler/index.js';
import { InputError } from '../errors.js';
import { readBytes } from '../files.js';
import { EVENT_NAMES } from '../harness/events.js';
import { PLATFORMS, platformNamed } from '../platforms/index.js';
import { ASM_DIRECTORY, buildSubject, type Subject } from '../platforms/subject.js';
import { PROFILES, type Profile, profileNamed } from '../profiles/profile.js';
import { PROPERTIES } from '../properties/index.js';
import { shortPath } from '../report/text.js';
import type { Settings } from './messages.js';
import type { Choices } from './protocol.js';

/** What is typed without a file. */
const UNTITLED = 'untitled.S';
const FIRST = 'linux_nmi_rfc.S';
/** Bytes; a message has room for it. */
const LARGEST = 2 ** 21;

const NEW_TEXT = `/* Your own NMI handler. With the C part (do_nmi) left undefined, a stand-in takes its place. */
#include "include/linux.h"

	.text

	.globl	nmi
nmi:
	iretq
`;

export class Workspace {
  readonly files: readonly string[];
  /** What has been typed, by file. */
  readonly #typed = new Map<string, string>();
  #file: string;

  private constructor(
    readonly assembler: Assembler,
    given: string | undefined,
  ) {
    const own = readdirSync(ASM_DIRECTORY)
      .filter((name) => name.endsWith('.S'))
      .sort()
      .map((name) => shortPath(join(ASM_DIRECTORY, name)));
    const first = given === undefined ? undefined : shortPath(given);
    const others = own.filter((file) => first === undefined || resolve(file) !== resolve(first));
    this.files = [...(first === undefined ? [] : [first]), ...others, UNTITLED];
    this.#file = first ?? shortPath(join(ASM_DIRECTORY, FIRST));
    this.original();
  }

  /** `given`: the file that the editor begins with. */
  static async create(given?: string): Promise<Workspace> {
    return new Workspace(await Assembler.create(), given);
  }

  get file(): string {
    return this.#file;
  }

  get text(): string {
    return this.#typed.get(this.#file) ?? this.original();
  }

  get changed(): boolean {
    return this.#typed.has(this.#file);
  }

  /** The file's text on the disk. */
  original(): string {
    if (this.#file === UNTITLED) return NEW_TEXT;
    const bytes = readBytes(this.#file, 'an assembly file (.S)', LARGEST);
    if (bytes.includes(0)) throw new InputError(`${this.#file}: is no text; the editor takes an assembly file (.S)`);
    return bytes.toString();
  }

  choose(file: string): void {
    if (!this.files.includes(file)) throw new InputError(`${file}: is not among the files of this session`);
    const before = this.#file;
    this.#file = file;
    try {
      this.original();
    } catch (error) {
      this.#file = before;
      throw error;
    }
  }

  type(text: string): void {
    if (text === this.original()) this.#typed.delete(this.#file);
    else this.#typed.set(this.#file, text);
  }

  revert(): void {
    this.#typed.delete(this.#file);
  }

  /** The image of the editor's text; an InputError for whatever is wrong with it. */
  subject(settings: Settings, profile: Profile): Subject {
    const platform = platformNamed(settings.platform);
    const name = this.#file;
    const includePaths = [ASM_DIRECTORY, join(ASM_DIRECTORY, 'include')];
    const defines = definesOf(settings);
    const module = this.assembler.assembleText(this.text, name, { includePaths, defines });
    return buildSubject(
      this.assembler,
      { files: [name], platform, context: settings.context, vendor: profile.vendor, defines },
      new Map([[name, module]]),
    );
  }
}

/** Macros by their names. */
export function definesOf({ defines }: Settings): Record<string, string> {
  const words = defines.split(/\s+/).filter((word) => word !== '');
  return Object.fromEntries(
    words.map((word) => {
      const match = /^(?:-D)?([A-Za-z_]\w*)(?:=(.*))?$/s.exec(word);
      if (!match) throw new InputError(`-D '${word}': expected NAME or NAME=VALUE; separate several by blanks`);
      return [match[1]!, match[2] ?? '1'];
    }),
  );
}

export function profileOf(settings: Settings): Profile {
  return profileNamed(settings.profile);
}

export const FIRST_SETTINGS: Settings = {
  platform: 'linux',
  profile: 'intel',
  context: 'kernel',
  events: 'nmi=2,bp=1',
  at: '',
  properties: '',
  defines: '',
};

export function choicesOf(workspace: Workspace): Choices {
  return {
    files: workspace.files,
    platforms: PLATFORMS.map(({ name }) => name),
    contexts: Object.fromEntries(PLATFORMS.map(({ name }) => [name, contextsOf(name)])),
    profiles: Object.keys(PROFILES),
    events: EVENT_NAMES,
    properties: PROPERTIES.map(({ name, sentence }) => ({ name, sentence })),
  };
}

/** The contexts in asm/contexts for a platform's own handlers; those of the platform first. */
function contextsOf(platform: string): string[] {
  const names = (folder: string): string[] => {
    try {
      return readdirSync(folder)
        .filter((name) => name.endsWith('.S'))
        .map((name) => name.replace(/\.S$/, ''));
    } catch {
      return [];
    }
  };
  const contexts = join(ASM_DIRECTORY, 'contexts');
  return [...new Set([...names(contexts), ...names(join(contexts, platform))])].sort();
}

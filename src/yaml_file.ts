/** A YAML file with one document, as people write it: reading, and errors that name file:line:column. */
import { relative } from 'node:path';
import { type Document, isMap, isNode, isScalar, LineCounter, parseDocument } from 'yaml';
import { z } from 'zod';
import { InputError } from './errors.js';
import { readBytes } from './files.js';
import { didYouMean } from './suggestion.js';

/** Bytes; the files here have a few thousand. */
const MAX_FILE = 1 << 20;

/** A path as a person would name it. */
export function shown(file: string): string {
  const short = relative(process.cwd(), file);
  return short.startsWith('..') ? file : short;
}

/** Text that is not empty. */
export const text = z.string({ error: 'expected text' }).trim().min(1, { error: 'is empty' });

/** A message for what is no mapping; other issues of the object keep their own. */
export function mapping(what: string): (issue: { readonly code?: string }) => string | undefined {
  return (issue) => (issue.code === 'invalid_type' ? `expected a mapping with ${what}` : undefined);
}

/** Where in the document: keys and places in lists. */
export type YamlPath = readonly PropertyKey[];

/** What the names in a mapping may be, for an unknown one. */
export interface Names {
  readonly names: readonly string[];
  /** `field`, `knob`. */
  readonly what: string;
  /** What to do: `entrace profiles lists them`. */
  readonly list: string;
}

export class YamlFile {
  readonly #lines = new LineCounter();
  readonly #yaml: Document.Parsed;

  /** `kind`: what the file holds, as `profile`. An InputError if it cannot be read or is no YAML. */
  constructor(
    readonly file: string,
    readonly kind: string,
  ) {
    this.#yaml = parseDocument(this.#text(), { lineCounter: this.#lines, prettyErrors: false });
    const wrong = this.#yaml.errors[0] ?? this.#yaml.warnings[0];
    if (wrong) {
      const message =
        wrong.code === 'MULTIPLE_DOCS' ? `a second document begins here; a file holds one ${kind}` : wrong.message;
      throw this.#error(wrong.pos[0], `is not the YAML of a ${kind}: ${message.replace(/\s+/g, ' ')}`);
    }
  }

  #text(): string {
    const expected = `a ${this.kind} (.yaml)`;
    const bytes = readBytes(this.file, expected, MAX_FILE, shown(this.file));
    try {
      return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    } catch {
      throw new InputError(`${shown(this.file)}: is no text; name ${expected}`);
    }
  }

  /** The document as `schema` has it; `namesAt` says which names a mapping at a path may have. */
  checked<T>(schema: z.ZodType<T>, namesAt: (path: YamlPath) => Names): T {
    let content: unknown;
    try {
      content = this.#yaml.toJS({ maxAliasCount: 0 });
    } catch {
      throw this.#error(0, 'uses an alias (*NAME); write the value out');
    }
    const parsed = schema.safeParse(content);
    if (parsed.success) return parsed.data;
    const issue = foremost(innermost(parsed.error.issues));
    const { path } = issue;
    if (issue.code !== 'unrecognized_keys') {
      const field = fieldAt(path);
      if (path.length > 0 && !this.has(path)) throw this.at(path.slice(0, -1), `${field}is missing; add it`);
      const value = this.#yaml.getIn(path);
      const found =
        typeof value === 'object' || value === undefined || value === '' ? '' : `, not ${JSON.stringify(value)}`;
      throw this.at(path, `${field}${issue.message}${found}`);
    }
    const key = issue.keys[0]!;
    throw this.at([...path, key], unknownName(key, namesAt(path)), true);
  }

  has(path: YamlPath): boolean {
    return this.#yaml.hasIn(path);
  }

  /** ` #` begins a comment in YAML, and events are called #GP and #DB: a text that is cut off there is refused. */
  refuseCutText(paths: Iterable<YamlPath>): void {
    for (const path of paths) {
      const node = this.#yaml.getIn(path, true);
      if (isScalar(node) && node.type === 'PLAIN' && node.comment) {
        throw this.at(path, `${fieldAt(path)}what follows ' #' would be a comment; put the text in quotes`);
      }
    }
  }

  /** An error at a node, or at the nearest one around it that the file has; `key`: at the name, not at the value. */
  at(path: YamlPath, message: string, key = false): InputError {
    return new InputError(`${this.place(path, key)}: ${message}`);
  }

  /** `file:line:column` of a node, or of the nearest one around it that the file has. */
  place(path: YamlPath, key = false): string {
    if (key) {
      const map = path.length === 1 ? this.#yaml.contents : this.#yaml.getIn(path.slice(0, -1), true);
      const pair = isMap(map)
        ? map.items.find((p) => isScalar(p.key) && String(p.key.value) === path.at(-1))
        : undefined;
      if (pair && isNode(pair.key) && pair.key.range) return this.#place(pair.key.range[0]);
    }
    for (let n = path.length; n >= 0; n--) {
      const node = n === 0 ? this.#yaml.contents : this.#yaml.getIn(path.slice(0, n), true);
      if (isNode(node) && node.range) return this.#place(node.range[0]);
    }
    return this.#place(0);
  }

  #place(offset: number): string {
    const { line, col } = this.#lines.linePos(offset);
    return `${shown(this.file)}:${Math.max(1, line)}:${Math.max(1, col)}`;
  }

  #error(offset: number, message: string): InputError {
    return new InputError(`${this.#place(offset)}: ${message}`);
  }
}

/** The issue to tell: an unknown name often stands where another one is then missing, and is the one to correct. */
export function foremost(issues: readonly z.core.$ZodIssue[]): z.core.$ZodIssue {
  return issues.find((i) => i.code === 'unrecognized_keys') ?? issues[0]!;
}

/** `there is no field 'rases' (did you mean races?); the fields are …`. */
export function unknownName(name: string, { names, what, list }: Names): string {
  return `there is no ${what} '${name}'${didYouMean(name, names)}; ${list}`;
}

/** `expect.fails: `, to begin a message with; nothing for the document itself. */
export function fieldAt(path: YamlPath): string {
  return path.length > 0 ? `${path.map(String).join('.')}: ` : '';
}

/** Of a choice between forms, the issues of the form that came nearest: the one whose issues lie deepest. */
function innermost(issues: readonly z.core.$ZodIssue[]): z.core.$ZodIssue[] {
  return issues.flatMap((issue) => {
    if (issue.code !== 'invalid_union' || issue.errors.length === 0) return [issue];
    const depth = (list: readonly z.core.$ZodIssue[]): number =>
      Math.max(0, ...list.map((i) => i.path.length + (i.code === 'unrecognized_keys' ? 1 : 0)));
    const nearest = issue.errors.reduce((a, b) => (depth(b) > depth(a) ? b : a));
    // Where no form comes near, the choice's own message tells them all.
    if (depth(nearest) === 0) return [issue];
    return innermost(nearest.map((i) => ({ ...i, path: [...issue.path, ...i.path] }) as z.core.$ZodIssue));
  });
}

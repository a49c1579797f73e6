/** A suite: which scenarios run. */
import { readdirSync, statSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { InputError } from '../errors.js';
import { shown } from '../yaml_file.js';
import { type Outcome, outcomeOf, problemOf } from './outcome.js';
import { type Case, casesOf } from './scenario.js';
import { readScenario } from './scenario_file.js';

export interface Selection {
  /** Text that a case's name, title or race must contain, whatever its case. */
  readonly filter?: string;
  /** Leave the long ones out. */
  readonly short?: boolean;
  /** Only each count-th case, from index (from 1). */
  readonly shard?: { readonly index: number; readonly count: number };
}

export interface Suite {
  readonly cases: readonly Case[];
  /** Files that are no scenarios, as outcomes: they count as failed. */
  readonly refused: readonly Outcome[];
}

/** The scenarios in files and folders (folders of folders too), in the order of their names. */
export function suiteOf(paths: readonly string[], selection: Selection): Suite {
  const files = [...new Set(paths.flatMap(scenariosIn))];
  const refused: Outcome[] = [];
  const cases = files.flatMap((file) => {
    try {
      return casesOf(readScenario(file));
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      const name = shown(file).replace(/\.ya?ml$/, '');
      refused.push(outcomeOf({ name, title: name, status: 'bad-input', problems: [problemOf(error)], seconds: 0 }));
      return [];
    }
  });
  const { filter, short, shard } = selection;
  const wanted = cases.filter(
    ({ name, scenario }) =>
      !(short && scenario.long) &&
      (filter === undefined ||
        [name, scenario.title, ...scenario.races].some((t) => t.toLowerCase().includes(filter.toLowerCase()))),
  );
  if (wanted.length + refused.length === 0) {
    const named = paths.map(shown).join(', ');
    throw new InputError(
      cases.length === 0
        ? `${named}: holds no scenario (.yaml); a suite without scenarios is no success`
        : `none of the ${cases.length} cases in ${named} ${filter === undefined ? 'is short; leave --short out' : `goes with --filter '${filter}'`}`,
    );
  }
  const mine = shard ? wanted.filter((_, i) => i % shard.count === shard.index - 1) : wanted;
  if (mine.length + refused.length === 0) {
    throw new InputError(
      `--shard ${shard!.index}/${shard!.count}: there are only ${wanted.length} cases; use at most as many shards`,
    );
  }
  return { cases: mine, refused };
}

function scenariosIn(path: string): string[] {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat) throw new InputError(`${path}: there is no such file or folder; name a scenario (.yaml) or a folder`);
  if (!stat.isDirectory()) return [resolve(path)];
  let names: string[];
  try {
    names = readdirSync(path, { recursive: true, encoding: 'utf8' });
  } catch (error) {
    throw new InputError(`${path}: cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
  return names
    .filter((name) => /\.ya?ml$/.test(name) && !/(^|\/)(node_modules|\.[^/]+)\//.test(name))
    .sort()
    .map((name) => resolve(join(path, name)));
}

/** Reads `I/N`. */
export function parseShard(text: string): { readonly index: number; readonly count: number } {
  const match = /^(\d+)\/(\d+)$/.exec(text.trim());
  const [index, count] = [Number(match?.[1]), Number(match?.[2])];
  if (!match || count < 1) throw new InputError(`--shard '${text}': expected I/N, for example 1/4`);
  if (index < 1 || index > count) {
    throw new InputError(`--shard '${text}': there are shards 1 to ${count}, no shard ${index}`);
  }
  return { index, count };
}

/** A name for files of a case: its name below the working directory, without what no file name should have. */
export function fileNameOf(one: Case): string {
  return relative('.', one.name)
    .replace(/ \[(.*)\]$/, (_, parts: string) => `-${parts.replaceAll(', ', '-')}`)
    .replace(/\.\.\//g, '')
    .replace(/[^\w./+-]/g, '_');
}

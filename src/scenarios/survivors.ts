/** A file of mutants that are known to survive, each with the reason: what it alters makes no difference, or none that can be seen. */
import { resolve } from 'node:path';
import { z } from 'zod';
import { mapping, type Names, text, YamlFile, type YamlPath } from '../yaml_file.js';

const survivorsFile = z.strictObject(
  { survivors: z.record(text, text, { error: mapping('names of mutants and why each survives') }) },
  { error: mapping('survivors:') },
);

export interface KnownSurvivors {
  /** Why each survives, by the mutant's name. */
  readonly reasons: ReadonlyMap<string, string>;
  /** `file:line:column` of a name. */
  readonly placeOf: (name: string) => string;
}

export function readSurvivors(file: string): KnownSurvivors {
  const yaml = new YamlFile(resolve(file), 'list of survivors');
  const { survivors } = yaml.checked(survivorsFile, namesAt);
  yaml.refuseCutText(Object.keys(survivors).map((name) => ['survivors', name]));
  return {
    reasons: new Map(Object.entries(survivors)),
    placeOf: (name) => yaml.place(['survivors', name], true),
  };
}

function namesAt(path: YamlPath): Names {
  const names = path.length === 0 ? Object.keys(survivorsFile.shape) : [];
  return { names, what: 'field', list: `the fields are ${names.join(', ')}` };
}

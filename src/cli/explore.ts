/** entrace explore: the exhaustive search, its report, its files. */
import { join } from 'node:path';
import { Assembler } from '../assembler/index.js';
import { makeDirectory } from '../explore/path_file.js';
import type { SearchResult } from '../explore/result.js';
import { parseFeatures } from '../patching/features.js';
import { machineFor } from '../platforms/boot.js';
import { platformNamed } from '../platforms/index.js';
import { loadSubject } from '../platforms/subject.js';
import { type ChosenProfile, chooseProfiles, parseChanges } from '../profiles/profile.js';
import { isProfileFile } from '../profiles/profile_file.js';
import { type Compared, comparison, differencesToJson } from '../report/comparison.js';
import { toJson } from '../report/json.js';
import { searchReport, verdictReport } from '../report/search_report.js';
import { type Heading, paintFor, savedNote } from '../report/text.js';
import { EXIT } from './exit.js';
import { exploreFeatures } from './explore_features.js';
import { refuseSource, writeFile } from './output.js';
import { codeSettings, sourceSettings } from './search_options.js';
import {
  type ExploreOptions,
  headingOf,
  planOf,
  runSearch,
  saveFailures,
  searchRequest,
  writeJson,
} from './search_run.js';

/** A search that is done. */
interface Searched {
  readonly chosen: ChosenProfile;
  readonly heading: Heading;
  readonly result: SearchResult;
}

export async function explore(files: readonly string[], options: ExploreOptions): Promise<number> {
  if (options.features !== undefined) {
    const request = parseFeatures(options.features);
    if (request.kind === 'all') return exploreFeatures(files, options, request.vary);
  }
  const platform = platformNamed(options.platform);
  const profiles = chooseProfiles(options.profile, parseChanges(options.knob ?? []));
  const plan = planOf(files, options);
  const subject = await loadSubject(await Assembler.create(), {
    files,
    platform,
    context: options.context,
    vendor: profiles[0]!.profile.vendor,
    ...sourceSettings(options),
    ...codeSettings(options),
  });
  const request = searchRequest(plan, subject);
  const several = profiles.length > 1;
  const folders = profiles.map(({ base }) => (several && options.save ? join(options.save, base) : options.save));

  // Before the search and not after it: a result that cannot be written is lost.
  if (options.json !== undefined && options.json !== '-') {
    const profileFiles = profiles.map((p) => p.given).filter(isProfileFile);
    refuseSource(options.json, '--json', [...subject.image.sources.keys(), ...profileFiles]);
    writeFile('--json', options.json, '', 'a');
  }
  for (const folder of folders) if (folder !== undefined) makeDirectory(folder);
  // An image that does not go with one of the profiles is refused before the first is explored.
  if (several) for (const { profile } of profiles) machineFor(subject, profile);

  // With the JSON on standard output the report goes to standard error: each stream stays of one kind.
  const out = options.json === '-' ? process.stderr : process.stdout;
  const paint = paintFor(out);
  const done: Searched[] = [];
  for (const [i, chosen] of profiles.entries()) {
    const { profile } = chosen;
    const { result, interrupted } = await runSearch(request, profile, several);
    const heading = headingOf(plan, request, chosen);
    done.push({ chosen, heading, result });
    out.write(
      several
        ? `${verdictReport(heading, subject, result, paint)}\n`
        : `${searchReport(heading, subject, profile, result, paint)}\n`,
    );
    const folder = folders[i];
    if (folder !== undefined && result.failures.length > 0) {
      const names = saveFailures(folder, plan, subject, chosen, result, codeSettings(options));
      out.write(`\n${savedNote(names)}\n`);
    }
    if (several) out.write('\n');
    if (interrupted) break;
  }
  const left = profiles.slice(done.length).map(({ profile }) => profile.name);
  if (several) {
    const compared: Compared[] = done.map(({ chosen, result }) => ({ name: chosen.base, result }));
    out.write(left.length > 0 ? `interrupted; not explored: ${left.join(', ')}\n` : `${comparison(compared, paint)}\n`);
  }
  if (options.json !== undefined) {
    const objects = done.map(({ heading, result }) => toJson(heading, subject, result));
    writeJson(options.json, several ? comparisonJson(objects, done, left) : objects[0]!);
  }
  if (done.some(({ result }) => result.verdict === 'fails')) return EXIT.FAILS;
  return left.length === 0 && done.every(({ result }) => result.verdict === 'holds') ? EXIT.HOLDS : EXIT.OPEN;
}

function comparisonJson(profiles: readonly object[], done: readonly Searched[], left: readonly string[]): object {
  return {
    profiles,
    differences: differencesToJson(done.map(({ chosen, result }) => ({ name: chosen.base, result }))),
    ...(left.length > 0 ? { notExplored: left } : {}),
  };
}

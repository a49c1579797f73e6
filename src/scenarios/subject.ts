/** What a case is about: its image with what is around it. */
import { Assembler } from '../assembler/index.js';
import { platformNamed } from '../platforms/index.js';
import { loadSubject, type Subject } from '../platforms/subject.js';
import { chooseProfile } from '../profiles/profile.js';
import { shortPath } from '../report/text.js';
import type { Case } from './scenario.js';

/** One for all cases of a process: loading it takes about 30 ms. */
let assembler: Promise<Assembler> | undefined;

/** Rejects with an InputError if the image cannot be built. */
export async function subjectOf({ scenario, context, features, profile }: Case): Promise<Subject> {
  assembler ??= Assembler.create();
  return loadSubject(await assembler, {
    files: scenario.files.map(shortPath),
    platform: platformNamed(scenario.platform),
    context,
    ...scenario.sources,
    ...scenario.code,
    features,
    vendor: chooseProfile(profile, scenario.knobs).profile.vendor,
  });
}

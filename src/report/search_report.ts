/** The whole report of a search: verdict and figures, and for each property its windows and the shortest schedule in full. */
import { type Failure, isShorter, type SearchResult } from '../explore/result.js';
import type { Subject } from '../platforms/subject.js';
import type { Profile } from '../profiles/profile.js';
import { PROPERTIES } from '../properties/index.js';
import { reportPath } from './path.js';
import { type Heading, type Paint, summary, windows } from './text.js';

/** Verdict and figures, and what had to be made up. */
export function verdictReport(heading: Heading, subject: Subject, result: SearchResult, paint: Paint): string {
  const lines = [summary(heading, result, paint)];
  const others = subject.assemblers.filter((name) => name !== 'Keystone');
  if (others.length > 0) lines.push(`  assembled by ${others.join(', ')}`);
  const { features, standIns } = subject;
  if (features !== undefined) {
    const present = features.present.length > 0 ? features.present.join(', ') : 'none';
    lines.push(`  patched for features ${features.words.join(',')}; of what the entry code asks for: ${present}`);
  }
  const rest = standIns.length - MOST_STAND_INS;
  const more = rest > 0 ? ` and ${rest} more` : '';
  if (standIns.length > 0) lines.push(`  stand-ins for: ${standIns.slice(0, MOST_STAND_INS).join(', ')}${more}`);
  return lines.join('\n');
}

/** More stand-ins than these are not named: an object of a kernel calls dozens of functions. */
const MOST_STAND_INS = 8;

export function searchReport(
  heading: Heading,
  subject: Subject,
  profile: Profile,
  result: SearchResult,
  paint: Paint,
): string {
  const parts = [verdictReport(heading, subject, result, paint)];
  for (const property of PROPERTIES) {
    const failures = result.failures.filter((f) => f.property === property.name);
    if (failures.length === 0) continue;
    parts.push(windows(property.name, property.sentence, failures, paint));
    parts.push(reportPath(subject, profile, property.name, shortest(failures).path, paint));
  }
  return parts.join('\n\n');
}

function shortest(failures: readonly Failure[]): Failure {
  return failures.reduce((a, b) => (isShorter(b, a) ? b : a));
}

/** KTAP version 1, the kernel's test format (Documentation/dev-tools/ktap.rst). */
import { stripVTControlCharacters } from 'node:util';
import type { Status } from '../outcome.js';
import { countsOf, passed, type Reporter } from './reporter.js';

/** The directive of a result that says more than ok or not ok. */
const DIRECTIVES: Readonly<Partial<Record<Status, string>>> = {
  open: 'ERROR not closed',
  'bad-input': 'ERROR cannot be run',
  crashed: 'ERROR crashed',
  hung: 'TIMEOUT',
};

export function ktapReporter(): Reporter {
  return {
    begin: (count) => `KTAP version 1\n1..${count}\n`,
    outcome: (ran, number) => {
      const { outcome } = ran;
      const isSkipped = outcome.status === 'skipped';
      const lines = isSkipped
        ? []
        : [...outcome.problems, ...(outcome.report ?? '').split('\n')].filter((line) => line.trim() !== '');
      const unfixable = passed(ran) ? ran.case?.scenario.unfixable : undefined;
      const directive = isSkipped
        ? `SKIP ${plain(outcome.problems.join('; '))}`
        : unfixable === undefined
          ? DIRECTIVES[outcome.status]
          : `XFAIL ${plain(unfixable)}`;
      const isOk = passed(ran) || isSkipped;
      // A # would begin a directive.
      const name = plain(outcome.name).replaceAll('#', '_');
      const result = `${isOk ? 'ok' : 'not ok'} ${number} ${name}${directive ? ` # ${directive}` : ''}\n`;
      return `${lines.map((line) => `# ${plain(line)}\n`).join('')}${result}`;
    },
    end: ({ ran, left }) => {
      const { right, wrong, skipped } = countsOf(ran);
      const not = left > 0 ? `Bail out! interrupted, ${left} not run\n` : '';
      return `# Totals: pass:${right} fail:${wrong}${skipped > 0 ? ` skip:${skipped}` : ''} total:${ran.length}\n${not}`;
    },
  };
}

function plain(line: string): string {
  return stripVTControlCharacters(line).replace(/\s*\n\s*/g, ' ');
}

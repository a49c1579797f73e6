/** JUnit's XML, as CI systems read it: a test suite for each folder, a test case for each case. */
import { dirname } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { XMLBuilder } from 'fast-xml-parser';
import { shortPath } from '../../report/text.js';
import { failed, type Ran, type Reporter, type SuiteEnd } from './reporter.js';

const builder = new XMLBuilder({ ignoreAttributes: false, format: true, suppressEmptyNode: true });

export function junitReporter(): Reporter {
  return { end: (end) => document(end) };
}

function document({ ran, seconds }: SuiteEnd): string {
  const folders = [...new Set(ran.map((r) => dirname(r.outcome.name)))].sort();
  const suites = folders.map((folder) => {
    const own = ran.filter((r) => dirname(r.outcome.name) === folder);
    return {
      '@_name': text(folder),
      ...counts(own),
      '@_time': own.reduce((n, r) => n + r.outcome.seconds, 0).toFixed(3),
      testcase: own.map((r) => testCase(folder, r)),
    };
  });
  const root = { '@_name': 'entrace', ...counts(ran), '@_time': seconds.toFixed(3), testsuite: suites };
  return `<?xml version="1.0" encoding="UTF-8"?>\n${builder.build({ testsuites: root })}`;
}

function counts(ran: readonly Ran[]): Record<string, number> {
  return {
    '@_tests': ran.length,
    '@_failures': ran.filter((r) => r.outcome.status === 'unmet').length,
    '@_errors': ran.filter((r) => failed(r) && r.outcome.status !== 'unmet').length,
    '@_skipped': ran.filter((r) => r.outcome.status === 'skipped').length,
  };
}

function testCase(folder: string, { case: one, outcome }: Ran): object {
  const { status, problems, report } = outcome;
  const wrong = {
    '@_message': text(problems.join('; ')),
    '@_type': status,
    '#text': text(`${outcome.title}\n${problems.join('\n')}\n${report ?? ''}`),
  };
  return {
    '@_name': text(outcome.name.slice(folder.length + 1) || outcome.name),
    '@_classname': text(folder),
    ...(one ? { '@_file': text(shortPath(one.scenario.files[0]!)) } : {}),
    '@_time': outcome.seconds.toFixed(3),
    ...(status === 'met'
      ? {}
      : status === 'skipped'
        ? { skipped: { '@_message': text(problems.join('; ')) } }
        : { [status === 'unmet' ? 'failure' : 'error']: wrong }),
  };
}

/** XML 1.0 has no way to write most control characters. */
function text(value: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those are what is looked for.
  return stripVTControlCharacters(value).replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, '?');
}

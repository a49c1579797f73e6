/** The catalogue of races as Markdown: for each race, where the broken handler fails, what holds, under which rules, how long it took. */
import type { Failure } from '../../explore/result.js';
import { runs } from '../../report/names.js';
import { passed, type Ran, type Reporter, type SuiteEnd } from './reporter.js';

export function catalogueReporter(): Reporter {
  return { end: (end) => page(end) };
}

/** More boundaries than these are counted instead of listed. */
const MOST_LISTED = 8;

function page({ ran }: SuiteEnd): string {
  const ids = [...new Set(ran.flatMap((r) => r.case?.scenario.races ?? []))].sort(byNumber);
  const lines = [
    '# The catalogue of races',
    '',
    'Made by `make catalogue` from a run of all scenarios: each line is a race, with the scenarios that show it. A broken handler fails at',
    'exactly the boundaries that its scenario names (of the last event of a minimal schedule); a mended one holds, the bound closed.',
    '',
    '| race | broken: fails at | mended: holds | profile | seconds |',
    '|---|---|---|---|---:|',
  ];
  for (const id of ids) {
    const own = ran.filter((r) => passed(r) && r.case?.scenario.races.includes(id));
    const broken = own.filter((r) => r.outcome.result!.verdict === 'fails');
    const mended = own.filter((r) => r.outcome.result!.verdict === 'holds');
    const profiles = [...new Set(own.map((r) => r.case!.profile))].sort();
    const seconds = own.reduce((n, r) => n + (r.outcome.result?.seconds ?? 0), 0);
    lines.push(
      `| ${id} | ${listed(broken, failing)} | ${listed(mended, () => '')} | ${profiles.join(', ')} | ${seconds.toFixed(1)} |`,
    );
  }
  return `${lines.join('\n')}\n`;
}

/** A line for each scenario; for each of its cases where they differ. */
function listed(list: readonly Ran[], what: (ran: Ran) => string): string {
  const names = [...new Set(list.map((r) => r.case!.scenario.name))];
  const lines = names.flatMap((scenario) => {
    const cases = list.filter((r) => r.case!.scenario.name === scenario);
    const texts = new Set(cases.map(what));
    return texts.size === 1 ? [name(scenario) + what(cases[0]!)] : cases.map((r) => name(r.outcome.name) + what(r));
  });
  return lines.join('<br>') || '–';
}

function name(text: string): string {
  return cell(text.replace(/^scenarios\//, ''));
}

function failing(ran: Ran): string {
  const { failures } = ran.outcome.result!;
  const properties = [...new Set(failures.map((f) => f.property))];
  const list = properties.map(
    (property) => `**${property}** ${places(failures.filter((f) => f.property === property))}`,
  );
  const unfixable = ran.case!.scenario.unfixable === undefined ? '' : ' (known to be unfixable)';
  return `${unfixable}: ${list.join('; ')}`;
}

function places(failures: readonly Failure[]): string {
  const names = [...new Set(failures.map((f) => f.boundary))];
  return names.length > MOST_LISTED ? `${names.length} boundaries` : cell(runs(names));
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('_', '\\_');
}

/** C2 before C10, and families in the order of their letters. */
function byNumber(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true });
}

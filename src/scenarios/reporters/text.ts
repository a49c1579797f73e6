/** The report of a suite that a person reads: a line for each case, all of what failed, a table at the end. */
import { dirname } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { count, plural } from '../../report/names.js';
import { type Paint, savedNote } from '../../report/text.js';
import type { Outcome, Result, Status } from '../outcome.js';
import { countsOf, failed, passed, type Ran, type Reporter, type SuiteEnd } from './reporter.js';

const WORDS: Readonly<Record<Status, string>> = {
  met: 'ok',
  unmet: 'FAIL',
  open: 'OPEN',
  'bad-input': 'ERROR',
  crashed: 'CRASH',
  hung: 'HUNG',
  skipped: 'SKIP',
};

export function textReporter(paint: Paint): Reporter {
  return {
    outcome: (ran) => `${lines(ran, paint).join('\n')}\n`,
    end: (end) => `\n${table(end)}\n\n${total(end, paint)}\n`,
  };
}

function lines({ case: one, outcome }: Ran, paint: Paint): string[] {
  const { status } = outcome;
  const style = status === 'met' ? 'green' : status === 'open' || status === 'skipped' ? 'yellow' : 'red';
  const what = status === 'met' && outcome.result ? `: ${comesTo(outcome.result, one?.scenario.unfixable)}` : '';
  const figures = outcome.result ? `, ${figuresOf(outcome)}` : '';
  const head = `${paint(style, WORDS[status].padEnd(5))} ${paint('bold', outcome.name)}${what}${figures}`;
  if (status === 'met') return [head];
  if (status === 'skipped') return [`${head}: ${outcome.problems.join('; ')}`];
  const list = [head, ...outcome.problems.map((problem) => `      ${problem}`)];
  if (outcome.title !== outcome.name) list.splice(1, 0, `      ${outcome.title}`);
  if (outcome.report) {
    const report = paint('red', '') === '' ? stripVTControlCharacters(outcome.report) : outcome.report;
    list.push('', ...report.split('\n').map((line) => (line === '' ? '' : `      ${line}`)), '');
  }
  if (outcome.saved.length > 0) {
    list.push(`      ${savedNote(outcome.saved)}`);
  }
  return list;
}

/** `holds`, `fails in context and progress`. */
function comesTo(result: Result, unfixable: string | undefined): string {
  if (result.verdict === 'holds') return 'holds';
  const properties = [...new Set(result.failures.map((f) => f.property))];
  const places = new Set(result.failures.map((f) => f.boundary)).size;
  return `fails as it must in ${properties.join(', ')} (${plural(places, 'boundary')}${unfixable === undefined ? '' : ', known to be unfixable'})`;
}

function figuresOf({ result, seconds, cached }: Outcome): string {
  return `${plural(result!.states, 'state')}, ${cached ? 'from the cache' : `${seconds.toFixed(1)} s`}`;
}

/** A row for each folder. */
function table({ ran }: SuiteEnd): string {
  const folder = ({ outcome }: Ran): string => dirname(outcome.name);
  const groups = [...new Set(ran.map(folder))].sort();
  const row = (name: string, list: readonly Ran[]): string[] => [
    name,
    count(list.length),
    count(list.filter(passed).length),
    count(list.filter(failed).length),
    count(list.reduce((n, r) => n + (r.outcome.result?.states ?? 0), 0)),
    list.reduce((n, r) => n + r.outcome.seconds, 0).toFixed(1),
  ];
  const rows = groups.map((name) =>
    row(
      name,
      ran.filter((r) => folder(r) === name),
    ),
  );
  if (groups.length > 1) rows.push(row('all', ran));
  const all = [['', 'cases', 'passed', 'failed', 'states', 'seconds'], ...rows];
  const widths = all[0]!.map((_, i) => Math.max(...all.map((r) => r[i]!.length)));
  return all
    .map((r) => r.map((text, i) => (i === 0 ? text.padEnd(widths[i]!) : text.padStart(widths[i]!))).join('  '))
    .join('\n');
}

function total(end: SuiteEnd, paint: Paint): string {
  const { ran, left, seconds } = end;
  const { right, wrong, skipped } = countsOf(ran);
  const cached = ran.filter((r) => r.outcome.cached).length;
  const parts = [plural(ran.length, 'case'), `${seconds.toFixed(1)} s`];
  if (cached > 0) parts.push(`${count(cached)} from the cache`);
  const list = [parts.join(', ')];
  if (left > 0) list.push(paint('yellow', `interrupted: ${plural(left, 'case')} not run`));
  for (const { outcome } of ran.filter(failed))
    list.push(`${paint('red', WORDS[outcome.status].padEnd(5))} ${outcome.name}`);
  list.push(`${right} passed, ${wrong} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
  return list.join('\n');
}

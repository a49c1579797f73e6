/** Searches of the same code under several profiles, side by side: where the verdicts differ. */
import type { Failure, SearchResult } from '../explore/result.js';
import { hex } from '../properties/describe.js';
import { PROPERTIES } from '../properties/index.js';
import { plural, runs } from './names.js';
import type { Paint } from './text.js';

/** A search under one profile; `name` is short and its own. */
export interface Compared {
  readonly name: string;
  readonly result: SearchResult;
}

type Verdict = SearchResult['verdict'];

/** A window that not all profiles have. */
interface Difference {
  readonly property: string;
  readonly boundary: string;
  readonly address: bigint;
  readonly event: string;
  /** For each profile, in the order of the searches; `open`: not found, but the search was not closed. */
  readonly verdicts: readonly Verdict[];
}

/** The windows that differ, by property, event and address. */
function differences(searches: readonly Compared[]): Difference[] {
  const windows = new Map<string, Failure>();
  const key = (f: Failure): string => `${f.property} ${f.event} ${f.address}`;
  const found = searches.map(({ result }) => new Set(result.failures.map(key)));
  for (const failure of searches.flatMap(({ result }) => result.failures)) windows.set(key(failure), failure);
  const rows = [...windows].flatMap(([window, { property, boundary, address, event }]) => {
    const verdicts = searches.map(({ result }, i): Verdict => {
      if (found[i]!.has(window)) return 'fails';
      return result.stopped === undefined ? 'holds' : 'open';
    });
    return new Set(verdicts).size > 1 ? [{ property, boundary, address, event, verdicts }] : [];
  });
  const place = (d: Difference): number => PROPERTIES.findIndex((p) => p.name === d.property);
  return rows.sort(
    (a, b) =>
      place(a) - place(b) ||
      a.event.localeCompare(b.event) ||
      (a.address < b.address ? -1 : Number(a.address > b.address)),
  );
}

export function differencesToJson(searches: readonly Compared[]): object[] {
  return differences(searches).map(({ property, boundary, address, event, verdicts }) => ({
    property,
    boundary,
    address: hex(address),
    event,
    verdicts: Object.fromEntries(searches.map(({ name }, i) => [name, verdicts[i]])),
  }));
}

/** One line if nothing differs; otherwise a table: window × profile. */
export function comparison(searches: readonly Compared[], paint: Paint): string {
  const rows = grouped(differences(searches));
  if (rows.length === 0) return sameVerdict(searches);
  const names = searches.map((s) => s.name);
  const table = [
    ['property', 'event', 'boundary', ...names],
    ...rows.map((row, i) => {
      const before = rows[i - 1];
      const sameProperty = before?.property === row.property;
      const sameEvent = sameProperty && before?.event === row.event;
      return [sameProperty ? '' : row.property, sameEvent ? '' : row.event, row.boundary, ...row.verdicts];
    }),
  ];
  const widths = table[0]!.map((_, column) => Math.max(...table.map((line) => line[column]!.length)));
  const lines = table.map((line) =>
    line
      .map((cell, column) => {
        const text = column === line.length - 1 ? cell : cell.padEnd(widths[column]!);
        return column > 2 && line !== table[0] ? painted(text, paint) : text;
      })
      .join('  '),
  );
  return ['where the verdicts differ', ...lines.map((line) => `  ${line}`)].join('\n');
}

function painted(cell: string, paint: Paint): string {
  const verdict = cell.trimEnd();
  return paint(verdict === 'fails' ? 'red' : verdict === 'holds' ? 'green' : 'yellow', cell);
}

/** Neighbours with the same verdicts in one row. */
function grouped(list: readonly Difference[]): Omit<Difference, 'address'>[] {
  const groups: Difference[][] = [];
  const like = (a: Difference, b: Difference): boolean =>
    a.property === b.property && a.event === b.event && a.verdicts.join() === b.verdicts.join();
  for (const difference of list) {
    const last = groups.at(-1);
    if (last && like(last[0]!, difference)) last.push(difference);
    else groups.push([difference]);
  }
  return groups.flatMap((group) => {
    const { property, event, verdicts } = group[0]!;
    return runs(group.map((d) => d.boundary))
      .split(', ')
      .map((boundary) => ({ property, event, boundary, verdicts }));
  });
}

function sameVerdict(searches: readonly Compared[]): string {
  const verdicts = new Set(searches.map(({ result }) => result.verdict));
  const names = searches.map((s) => s.name);
  const under = `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`;
  if (verdicts.size > 1) {
    const each = searches.map(({ name, result }) => `${name}: ${result.verdict}`).join(', ');
    return `no window is known to differ, but not every search was closed (${each})`;
  }
  const { verdict, failures } = searches[0]!.result;
  if (verdict !== 'fails') return `the verdict is the same under ${under}: ${verdict}`;
  const properties = PROPERTIES.map((p) => p.name).filter((name) => failures.some((f) => f.property === name));
  const count = plural(failures.length, 'window');
  return `the verdict is the same under ${under}: fails, in the same ${count} (${properties.join(', ')}); --profile ${names[0]} shows them in full`;
}

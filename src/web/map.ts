/** The map: boundaries of the code down, events across. */
import type { Failure, SearchResult } from '../explore/result.js';
import type { LastEvent, ScheduleGraph } from '../explore/schedule_graph.js';
import type { ScheduleRecord } from '../explore/schedule_recorder.js';
import type { Image } from '../image/image.js';
import type { LineRow } from '../image/module.js';
import type { Subject } from '../platforms/subject.js';
import { hex } from '../properties/describe.js';
import { shortPath } from '../report/text.js';
import type { AxisView, CellState, MapCell, MapRow, MapView } from './protocol.js';

/** A boundary of a module's code. */
interface Boundary {
  readonly address: bigint;
  readonly row: LineRow;
}

export function mapOf(subject: Subject, result: SearchResult, record: ScheduleRecord): MapView {
  const events = record.kinds;
  const cells = cellsOf(result, record);
  const { image } = subject;
  const files = [...image.tested, ...modulesOf(image).filter((name) => !image.tested.includes(name))];
  const sections = files
    .map((file) => ({ file: shortPath(file), rows: rowsOf(subject, file, cells, image.tested.includes(file)) }))
    .filter(({ rows }) => rows.some((row) => row.cells !== undefined));
  const uninterrupted = result.failures.filter((f) => f.event === 'none').map((f) => f.property);
  return { events, sections, uninterrupted };
}

/** Modules with code, in the order of their addresses. */
function modulesOf(image: Image): string[] {
  const code = image.sections.filter((s) => s.lines.length > 0);
  code.sort((a, b) => (a.address < b.address ? -1 : 1));
  return [...new Set(code.map((s) => s.module))];
}

type Cells = (address: bigint) => readonly MapCell[];

/** What is known of each boundary. A search that was stopped tells only what fails. */
function cellsOf(result: SearchResult, record: ScheduleRecord): Cells {
  const isClosed = result.stopped === undefined;
  const number = new Map(record.addresses.map((address, i) => [address, i]));
  const broken = new Map<string, string[]>();
  const keyOf = (address: bigint, event: string): string => `${event} ${address}`;
  for (const { address, event, property } of result.failures) {
    const list = broken.get(keyOf(address, event)) ?? [];
    broken.set(keyOf(address, event), [...list, property]);
  }
  return (address) =>
    record.kinds.map((event, kind) => {
      const properties = broken.get(keyOf(address, event));
      if (properties) return { state: 'fails', properties };
      const at = number.get(address);
      const isFired = at !== undefined && (record.fired[at]! & (1 << kind)) !== 0;
      return { state: stateOf(isFired, at !== undefined, isClosed) };
    });
}

function stateOf(isFired: boolean, isReached: boolean, isClosed: boolean): CellState {
  if (isFired) return isClosed ? 'holds' : 'open';
  if (isClosed) return isReached ? 'idle' : 'never';
  return 'open';
}

/** The lines of a module's file with its boundaries; of a module that is not under test only if something was reached in it. */
function rowsOf({ image }: Subject, module: string, cells: Cells, isTested: boolean): MapRow[] {
  const boundaries = boundariesOf(image, module);
  const isReached = ({ address }: Boundary): boolean =>
    cells(address).some(({ state }) => state !== 'never' && (isTested || state !== 'open'));
  if (!isTested && !boundaries.some(isReached)) return [];
  const byLine = new Map<number, Boundary[]>();
  for (const boundary of boundaries) {
    const line = lineOf(boundary.row, module);
    byLine.set(line, [...(byLine.get(line) ?? []), boundary]);
  }
  const rows: MapRow[] = [];
  const text = image.sources.get(module);
  const lines = text === undefined ? [] : text.replace(/\n$/, '').split('\n');
  const add = (line: number, source: string, at: readonly Boundary[]): void => {
    if (at.length === 0) rows.push({ line, text: source });
    at.forEach(({ address, row }, i) => {
      const shown = at.length === 1 ? source : i === 0 ? source : row.text.trim();
      rows.push({ line, text: shown, boundary: image.name(address), address: hex(address), cells: cells(address) });
    });
  };
  add(0, '', byLine.get(0) ?? []);
  for (const [i, source] of lines.entries()) add(i + 1, source, byLine.get(i + 1) ?? []);
  return text === undefined || byLine.has(0) ? rows.filter((row) => row.cells) : rows;
}

function boundariesOf(image: Image, module: string): Boundary[] {
  return image.sections
    .filter((s) => s.module === module && s.lines.length > 0)
    .flatMap((s) => s.lines.map((row) => ({ address: s.address + BigInt(row.offset), row })))
    .sort((a, b) => (a.address < b.address ? -1 : 1));
}

/** The line of the file itself: of what a macro or an included file made, the line that asked for it; 0 if there is none. */
function lineOf(row: LineRow, file: string): number {
  const places = [...row.expandedFrom, row.position];
  return places.find((place) => place.file === file)?.line ?? 0;
}

/** The second axis of a cell. */
export function axisOf(image: Image, record: ScheduleRecord, graph: ScheduleGraph, last: LastEvent): AxisView {
  const events = record.kinds;
  const found = new Map<bigint, boolean[]>();
  for (const { address, event } of graph.earlier(last)) {
    const cells = found.get(address) ?? events.map(() => false);
    cells[events.indexOf(event)] = true;
    found.set(address, cells);
  }
  const rows = [...found]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([address, cells]) => {
      const row = image.locate(address)?.line;
      return {
        address: hex(address),
        boundary: image.name(address),
        place: row && row.position.line > 0 ? `${shortPath(row.position.file)}:${row.position.line}` : '',
        text: row?.text.trim().replace(/\s+/g, ' ') ?? '',
        cells,
      };
    });
  return { ...axisHead(image, last), missing: null, events, rows };
}

/** What a cell has instead of a second axis. */
export function noAxis(image: Image, record: ScheduleRecord, last: LastEvent, missing: string): AxisView {
  return { ...axisHead(image, last), missing, events: record.kinds, rows: [] };
}

function axisHead(image: Image, { address, event, property }: LastEvent) {
  return { address: hex(address), boundary: image.name(address), event, property: property ?? null };
}

/** The reported failure of a cell. */
export function failureOf(result: SearchResult, last: LastEvent): Failure | undefined {
  return result.failures.find(
    (f) =>
      f.address === last.address &&
      f.event === last.event &&
      (last.property === undefined || f.property === last.property),
  );
}

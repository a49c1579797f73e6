/** The map: boundaries of the code down, events across. */
import type { Failure, SearchResult } from '../explore/result.js';
import type { LastEvent, ScheduleGraph } from '../explore/schedule_graph.js';
import type { ScheduleRecord } from '../explore/schedule_recorder.js';
import type { Image } from '../image/image.js';
import type { LineRow, SourcePosition } from '../image/module.js';
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
  const cells = cellsOf(result, record);
  const { image } = subject;
  const modules = [...image.tested, ...modulesOf(image).filter((name) => !image.tested.includes(name))];
  const reached = new Set(record.addresses);
  const sections = modules.flatMap((module) => sectionsOf(image, module, cells, reached));
  const uninterrupted = result.failures.filter((f) => f.event === 'none').map((f) => f.property);
  return { events: record.kinds, sections, uninterrupted };
}

/** Modules with code, in the order of their addresses. */
function modulesOf(image: Image): string[] {
  const code = image.sections.filter((s) => s.lines.length > 0);
  code.sort((a, b) => (a.address < b.address ? -1 : 1));
  return [...new Set(code.map((s) => s.module))];
}

type Cells = (address: bigint) => readonly MapCell[];

/** What is known of each boundary. A search that is not closed tells only what fails. */
function cellsOf(result: SearchResult, record: ScheduleRecord): Cells {
  // An event that could never be fired opens the verdict, but every placement there is has been explored.
  const isClosed = result.covered === undefined && result.panicked === undefined;
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
      if (properties) {
        const sorted = record.properties.filter((p) => properties.includes(p));
        return { state: 'fails', properties: sorted, otherwise: isClosed ? 'holds' : 'open' };
      }
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

/** The lines of a module's files with its boundaries; of a module that is not under test only those files in which something was reached. */
function sectionsOf(image: Image, module: string, cells: Cells, reached: ReadonlySet<bigint>): MapView['sections'] {
  const byFile = new Map<string, Boundary[]>([[module, []]]);
  for (const boundary of boundariesOf(image, module)) {
    const { file } = placeOf(boundary);
    const known = byFile.get(file);
    if (known) known.push(boundary);
    else byFile.set(file, [boundary]);
  }
  const isTested = image.tested.includes(module);
  const isReached = ({ address }: Boundary): boolean => reached.has(address);
  return [...byFile]
    .filter(([, boundaries]) => boundaries.length > 0 && (isTested || boundaries.some(isReached)))
    .map(([file, boundaries]) => ({ file: shortPath(file), rows: rowsOf(image, file, boundaries, cells) }));
}

function rowsOf(image: Image, file: string, boundaries: readonly Boundary[], cells: Cells): MapRow[] {
  const byLine = new Map<number, Boundary[]>();
  for (const boundary of boundaries) {
    const { line } = placeOf(boundary);
    byLine.set(line, [...(byLine.get(line) ?? []), boundary]);
  }
  const rows: MapRow[] = [];
  const add = (line: number, source: string | undefined): void => {
    const at = byLine.get(line) ?? [];
    if (at.length === 0 && source !== undefined) rows.push({ line, text: source });
    for (const [i, { address, row }] of at.entries()) {
      const text = source !== undefined && i === 0 ? source : `\t  ${row.text.trim()}`;
      rows.push({ line, text, boundary: image.name(address), address: hex(address), cells: cells(address) });
    }
  };
  const source = image.sources.get(file)?.replace(/\n$/, '').split('\n');
  if (source) for (const [i, text] of source.entries()) add(i + 1, text);
  else for (const line of byLine.keys()) add(line, undefined);
  return rows;
}

function boundariesOf(image: Image, module: string): Boundary[] {
  return image.sections
    .filter((s) => s.module === module && s.lines.length > 0)
    .flatMap((s) => s.lines.map((row) => ({ address: s.address + BigInt(row.offset), row })))
    .sort((a, b) => (a.address < b.address ? -1 : 1));
}

/** Where it was written: of what a macro made, the line that asked for it. */
function placeOf({ row }: Boundary): SourcePosition {
  return row.expandedFrom[0] ?? row.position;
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

/** The path in time: marks for events, deliveries and returns, and a lane each for latch, CPL, GS, CR3, stack, body. */
import type { LaneView, MarkView, Segment, TimelineView } from '../../view.js';
import { type Role, type Span, span } from '../frame.js';
import type { PaneContent, PaneInput, Row } from '../pane.js';
import type { Signs } from '../signs.js';

/** Columns of the lanes' names. */
export const NAMES = 8;

/** The letter of a mark; where several fall in a column, the first of these stands there. */
const LETTERS: readonly (readonly [MarkView['kind'], string, string, Role])[] = [
  ['failure', 'X', 'broken', 'bad'],
  ['event', 'E', 'event', 'event'],
  ['edit', 'W', 'edit', 'changed'],
  ['fork', 'Y', 'fork', 'good'],
  ['delivery', 'd', 'delivery', 'frame'],
  ['return', 'r', 'return', 'label'],
];

/** States in a column, and columns of a state, that may be chosen. */
export const COARSEST = 4096;
export const FINEST = 1 / 16;

/** The chosen scale; without one, the widest at which the whole path is to be seen, or one state a column. */
export function scaleOf(chosen: number | undefined, length: number, width: number): number {
  if (chosen !== undefined) return chosen;
  return [FINEST, 1 / 8, 1 / 4, 1 / 2].find((scale) => (length + 1) / scale <= width - NAMES - 1) ?? 1;
}

/** The states to ask for, so that `middle` stands in the middle; or all, if there is room. It may end behind the path's end. */
export function timelineWindow(
  length: number,
  middle: number,
  width: number,
  scale: number,
): { readonly from: number; readonly to: number } {
  const states = Math.max(1, Math.floor((width - NAMES - 1) * scale));
  const from = Math.max(0, Math.min(middle - Math.floor(states / 2), length + 1 - states));
  return { from, to: from + states - 1 };
}

/** The state at a column of the pane. */
export function stateAt(timeline: TimelineView, column: number, scale: number): number | undefined {
  const index = timeline.from + Math.floor((column - NAMES) * scale);
  return column < NAMES || index > timeline.to ? undefined : index;
}

export function timelinePane({ view, state, signs, width, height }: PaneInput): PaneContent {
  const { timeline } = view;
  const scale = scaleOf(state.scale, timeline.length, width);
  const columns = Math.ceil((timeline.to - timeline.from + 1) / scale);
  const column = (index: number): number => Math.floor((index - timeline.from) / scale);
  const selected = state.selection.timeline === undefined ? undefined : Number(state.selection.timeline);
  const rows: Row[] = [{ spans: marks(timeline, columns, column) }];
  const lanes = lanesFor(timeline, Math.max(1, height - 2));
  for (const lane of lanes) {
    rows.push({
      spans: [
        span(lane.name.slice(0, NAMES - 1).padEnd(NAMES), 'label'),
        ...laneSpans(lane.segments, timeline, column, columns, signs),
      ],
    });
  }
  rows.push({ spans: ruler(timeline, columns, column, scale, selected, signs) });
  const mark = timeline.marks
    .filter(({ index }) => index === (selected ?? timeline.cursor))
    .sort((a, b) => rankOf(a) - rankOf(b))
    .map(({ text }) => text);
  const where =
    selected === undefined || selected === timeline.cursor
      ? `state ${timeline.cursor} of ${timeline.length}`
      : `selected ${selected}, enter goes there`;
  const letters = LETTERS.filter(([kind]) => timeline.marks.some((m) => m.kind === kind)).map(
    ([, letter, word]) => `${letter} ${word}`,
  );
  const note = [where, ...(scale > 1 ? [`${scale} in a column`] : []), ...mark.slice(0, 1), letters.join(' ')]
    .filter(Boolean)
    .join('; ');
  return { rows, anchor: 0, note };
}

/** As many lanes as there is room for, in their order: those in which something happens here before those that stay the same. */
function lanesFor({ lanes, from, to }: TimelineView, room: number): readonly LaneView[] {
  const changes = ({ segments }: LaneView): number =>
    segments.filter((segment) => segment.to > from && segment.from <= to).length > 1 ? 0 : 1;
  const kept = new Set([...lanes].sort((a, b) => changes(a) - changes(b)).slice(0, room));
  return lanes.filter((lane) => kept.has(lane));
}

function rankOf({ kind }: Pick<MarkView, 'kind'>): number {
  return LETTERS.findIndex(([name]) => name === kind);
}

function marks(timeline: TimelineView, columns: number, column: (index: number) => number): Span[] {
  const best = new Map<number, number>();
  for (const { index, kind } of timeline.marks) {
    if (index < timeline.from || index > timeline.to) continue;
    const rank = rankOf({ kind });
    const at = column(index);
    best.set(at, Math.min(rank, best.get(at) ?? rank));
  }
  const spans: Span[] = [span(' '.repeat(NAMES))];
  for (let i = 0; i < columns; i++) {
    const rank = best.get(i);
    spans.push(rank === undefined ? span(' ') : span(LETTERS[rank]![1], LETTERS[rank]![3]));
  }
  return spans;
}

/** A bar at the beginning of each segment, then its value as far as it fits, then a line: dotted for the resting value. */
function laneSpans(
  segments: readonly Segment[],
  timeline: TimelineView,
  column: (index: number) => number,
  columns: number,
  signs: Signs,
): Span[] {
  const cells: Span[] = [];
  for (const { from, to, value, set } of segments) {
    const begin = Math.max(0, column(Math.max(from, timeline.from)));
    // A segment that shares its only column with the next one gives way to it.
    const end = Math.min(columns, Math.max(begin, to > timeline.to ? columns : column(to)));
    const room = end - begin;
    if (room <= 0) continue;
    while (cells.length < begin) cells.push(span(' '));
    cells.length = begin;
    const text = (signs.vertical + (value.length < room ? value : value.slice(0, Math.max(0, room - 1)))).slice(
      0,
      room,
    );
    cells.push(
      ...[...text.padEnd(room, set ? signs.set : signs.rest)].map((char) => span(char, set ? 'event' : 'dim')),
    );
  }
  return cells;
}

/** Where the cursor is and, if it is another, the selected state; every twentieth column its number. */
function ruler(
  timeline: TimelineView,
  columns: number,
  column: (index: number) => number,
  scale: number,
  selected: number | undefined,
  signs: Signs,
): Span[] {
  const chars: Span[] = Array.from({ length: columns }, () => span(' '));
  const write = (at: number, text: string, role: Role): void => {
    [...text].forEach((char, i) => {
      if (at + i >= 0 && at + i < columns) chars[at + i] = span(char, role);
    });
  };
  const cursor = column(timeline.cursor);
  for (let i = 0; i < columns; i += 20) {
    const text = String(timeline.from + Math.floor(i * scale));
    if (Math.abs(i - cursor) > 9) write(i, text, 'dim');
  }
  const label = String(timeline.cursor);
  write(cursor, '^', 'current');
  write(cursor + 2 + label.length <= columns ? cursor + 1 : cursor - label.length, label, 'current');
  if (selected !== undefined && selected !== timeline.cursor)
    write(column(selected), signs.unicode ? '▲' : '!', 'changed');
  return [span('state'.padEnd(NAMES), 'label'), ...chars];
}

/** The whole screen from a view, the size and what the user looks at: a pure function. */
import type { View } from '../view.js';
import { Frame, fit, type Role, type Span, span, widthOf } from './frame.js';
import { KEYS, type Key } from './keys.js';
import { BOTTOM, layout, type Place, SMALLEST, TOP } from './layout.js';
import { digitOf, type PaneName, type Row } from './pane.js';
import { CONTENT } from './panes/index.js';
import { NAMES, scaleOf } from './panes/timeline.js';
import type { Signs } from './signs.js';
import type { MenuState, ScreenState } from './state.js';

/** A pane as it was drawn: what a click hits, and what can be selected. */
export interface DrawnPane {
  readonly place: Place;
  /** The row of the pane that stands in its first line. */
  readonly offset: number;
  readonly rows: readonly Row[];
  readonly anchor: number;
}

export interface Drawing {
  readonly frame: Frame;
  readonly panes: readonly DrawnPane[];
}

export interface Size {
  readonly width: number;
  readonly height: number;
}

export function draw(view: View, size: Size, state: ScreenState, signs: Signs): Drawing {
  const frame = new Frame(size.width, size.height, signs.unicode);
  if (size.width < SMALLEST.width || size.height < SMALLEST.height) {
    frame.put(0, 0, `entrace: ${size.width}x${size.height} is too small,`, 'bold');
    frame.put(0, 1, `${SMALLEST.width}x${SMALLEST.height} is needed; q quits`, 'bold');
    return { frame, panes: [] };
  }
  drawTop(frame, view, state, signs);
  const panes = layout(size.width, size.height, state).map((place) => drawPane(frame, view, state, signs, place));
  separators(frame, panes, signs);
  drawBottom(frame, state, signs);
  if (state.help !== undefined) drawHelp(frame, state.help, signs);
  if (state.menu) drawMenu(frame, state.menu, signs);
  return { frame, panes };
}

/** Where the cursor is, and why it stands there. */
function drawTop(frame: Frame, view: View, state: ScreenState, signs: Signs): void {
  const { position } = view;
  const left = [
    span(` ${position.owner} `, 'bar'),
    span(` ${position.boundary}`, 'current'),
    span(position.hit > 1 ? ` (time ${position.hit})` : '', 'dim'),
    span(`  ${position.instruction}`, 'bold'),
  ];
  if (position.ahead !== undefined && position.ahead !== 'step')
    left.push(span(`  next on this path: ${position.ahead}`, 'event'));
  const right = `${position.branchName} ${position.index}/${position.length}  ${view.title} `;
  const end = frame.spans(0, 0, left);
  const room = frame.width - end - 2;
  if (room >= 12)
    frame.put(
      frame.width - Math.min(room, right.length),
      0,
      fit(right, Math.min(room, right.length), signs.more),
      'dim',
    );

  const { message, running } = state;
  if (running !== undefined) frame.put(0, 1, ` ${running} … Ctrl-C interrupts`, 'event');
  else if (message)
    frame.put(0, 1, ` ${message.error ? 'error: ' : ''}${message.text}`, message.error ? 'bad' : 'good');
  else {
    const { stop } = position;
    const bad = stop.reason === 'failure' || stop.reason === 'not-modelled';
    const spans = [span(` ${stop.reason === 'failure' ? 'FAILURE: ' : ''}${stop.text}`, bad ? 'bad' : 'plain')];
    if (position.ended !== undefined && !stop.text.includes(position.ended))
      spans.push(span(`  [path ended: ${position.ended}]`, 'event'));
    frame.spans(0, 1, spans);
  }
}

function drawPane(frame: Frame, view: View, state: ScreenState, signs: Signs, place: Place): DrawnPane {
  const { pane, x, y, width, height } = place;
  const focused = state.focus === pane;
  const inner = { width, height: height - 1 };
  const { rows, anchor, above = 0.5, note } = CONTENT[pane]({ view, state, signs, ...inner });
  drawTitle(frame, place, focused, note, signs);

  const selected = state.selection[pane];
  const at = selected === undefined ? -1 : rows.findIndex(({ item }) => item === selected);
  const offset = scroll(rows.length, at >= 0 ? at : anchor, inner.height, at >= 0 ? 0.5 : above);
  for (let i = 0; i < inner.height && offset + i < rows.length; i++) {
    const row = rows[offset + i]!;
    const end = frame.spans(x, y + 1 + i, row.spans, x + width);
    if (widthOf(row.spans) > width && end > x) frame.put(x + width - 1, y + 1 + i, signs.more, 'dim');
    if (at >= 0 && row.item === selected) frame.select(x, y + 1 + i, width);
  }
  if (pane === 'timeline') {
    const column = Math.floor(
      (view.timeline.cursor - view.timeline.from) / scaleOf(state.scale, view.timeline.length, width),
    );
    if (column >= 0 && NAMES + column < width) {
      for (let i = 0; i < Math.min(rows.length, inner.height); i++) frame.select(x + NAMES + column, y + 1 + i, 1);
    }
  }
  return { place, offset, rows, anchor };
}

/** The first row that is shown, so that row `at` is, with some of what stands before it. */
function scroll(count: number, at: number, height: number, above: number): number {
  return Math.max(0, Math.min(at - Math.floor(height * above), count - height));
}

/** `─ 1 source ── 3 [registers] … ──── note ─`: brackets mark the pane with the focus, capitals the one that is shown. */
function drawTitle(frame: Frame, place: Place, focused: boolean, note: string | undefined, signs: Signs): void {
  const { pane, x, y, width, tabs } = place;
  const border: Role = focused ? 'focus' : 'border';
  frame.put(x, y, signs.horizontal.repeat(width), border, x + width);
  let at = x + 1;
  at = frame.put(
    at,
    y,
    focused ? `[${digitOf(pane)} ${pane}]` : ` ${digitOf(pane)} ${pane} `,
    focused ? 'focus' : 'bold',
    x + width,
  );
  const others = tabs.filter((name) => name !== pane);
  const text = note === undefined ? '' : ` ${note} `;
  const room = x + width - at - 2;
  const lists = [
    others.map((name) => `${digitOf(name)} ${name}`).join(' '),
    others.map((name) => `${digitOf(name)} ${name.slice(0, 4)}`).join(' '),
    others.map(digitOf).join(' '),
  ];
  const list = lists.find((candidate) => candidate.length + text.length + 2 <= room) ?? lists.at(-1)!;
  if (others.length > 0) at = frame.put(at, y, ` ${list} `, 'dim', x + width);
  const left = x + width - at - 1;
  if (text && left >= 6) {
    const shown = text.length <= left ? text : fit(text, left, signs.more);
    frame.put(x + width - 1 - shown.length, y, shown, 'plain', x + width);
  }
}

/** A line between columns. */
function separators(frame: Frame, panes: readonly DrawnPane[], signs: Signs): void {
  for (const { place } of panes) {
    if (place.x === 0) continue;
    for (let i = 0; i < place.height; i++) frame.put(place.x - 1, place.y + i, signs.vertical, 'border');
  }
}

/** The keys, or the command that is being typed. */
function drawBottom(frame: Frame, state: ScreenState, signs: Signs): void {
  const y = frame.height - BOTTOM;
  const { prompt } = state;
  if (!prompt) {
    const brief = KEYS.flatMap(({ keys }) => keys).filter((key) => key.brief !== undefined);
    const last = brief.filter(({ names }) => names.includes('?') || names.includes('q'));
    let room = frame.width - 1 - last.reduce((sum, key) => sum + lengthOf(key), 0);
    let at = 1;
    for (const key of brief) {
      if (!last.includes(key)) {
        room -= lengthOf(key);
        if (room < 0) continue;
      }
      at = frame.put(at, y, key.names.join(''), 'bar');
      at = frame.put(at, y, ` ${key.brief}  `, 'plain');
    }
    return;
  }
  const chars = [...prompt.text];
  const shift = Math.max(0, prompt.at - (frame.width - 3));
  frame.put(0, y, ':', 'current');
  frame.put(1, y, chars.slice(shift).join(''), 'plain');
  frame.cursor = { x: 1 + prompt.at - shift, y };
  if (prompt.candidates.length > 0) {
    const text = fit(` ${prompt.candidates.join('  ')}`, frame.width, signs.more);
    frame.put(0, y - 1, text, 'bar');
  }
}

/** Columns of a key on the bottom line. */
function lengthOf({ names, brief }: Key): number {
  return names.join('').length + brief!.length + 3;
}

function drawHelp(frame: Frame, offset: number, signs: Signs): void {
  const rows: Span[][] = [];
  for (const { title, keys } of KEYS) {
    rows.push([span(title, 'bold')]);
    for (const { shown, help } of keys) rows.push([span(`  ${shown.padEnd(8)}`, 'label'), span(help)]);
    rows.push([]);
  }
  rows.push([
    span('Every meaning has a sign: ', 'bold'),
    span(`${signs.here} here, ${signs.breakpoint} breakpoint, * changed, ! not at rest`),
  ]);
  box(frame, 'keys (arrows scroll, any other key closes)', rows, offset, signs);
}

function drawMenu(frame: Frame, menu: MenuState, signs: Signs): void {
  const rows = menu.rows.map(({ key, text, refused }, i) => {
    const spans = [
      i === menu.selected ? span(`${signs.here} `, 'current') : span('  '),
      span(key === undefined ? '   ' : `${key}  `, 'label'),
      span(text, refused === undefined ? 'plain' : 'dim'),
    ];
    if (refused !== undefined) spans.push(span(`  no: ${refused}`, 'dim'));
    return spans;
  });
  box(frame, menu.title, rows, Math.max(0, menu.selected - (frame.height - TOP - BOTTOM - 3)), signs, menu.selected);
}

/** A box in the middle of the screen. */
function box(
  frame: Frame,
  title: string,
  rows: readonly (readonly Span[])[],
  offset: number,
  signs: Signs,
  selected?: number,
): void {
  const width = Math.min(frame.width, Math.max(title.length + 6, ...rows.map((row) => widthOf(row) + 4)));
  const height = Math.min(frame.height - BOTTOM, rows.length + 2);
  const x = Math.floor((frame.width - width) / 2);
  const y = Math.max(0, Math.floor((frame.height - BOTTOM - height) / 2));
  const first = Math.max(0, Math.min(offset, rows.length - (height - 2)));
  const line = signs.horizontal.repeat(width - 2);
  frame.put(x, y, signs.topLeft + line + signs.topRight, 'focus');
  frame.put(x + 2, y, ` ${title} `, 'focus', x + width - 1);
  for (let i = 0; i < height - 2; i++) {
    frame.put(x, y + 1 + i, `${signs.vertical}${' '.repeat(width - 2)}${signs.vertical}`, 'focus');
    const end = x + width - 1;
    frame.spans(x + 2, y + 1 + i, rows[first + i] ?? [], end);
    if (widthOf(rows[first + i] ?? []) > width - 3) frame.put(end - 1, y + 1 + i, signs.more, 'dim');
    if (first + i === selected) frame.select(x + 1, y + 1 + i, width - 2);
  }
  frame.put(x, y + height - 1, signs.bottomLeft + line + signs.bottomRight, 'focus');
}

/** The pane at a point of the screen, and the row of it that stands there (-1 for its title). */
export function hit(
  drawing: Drawing,
  x: number,
  y: number,
): { readonly pane: DrawnPane; readonly row: number } | undefined {
  for (const pane of drawing.panes) {
    const { place } = pane;
    if (x < place.x || x >= place.x + place.width || y < place.y || y >= place.y + place.height) continue;
    return { pane, row: y === place.y ? -1 : pane.offset + y - place.y - 1 };
  }
  return undefined;
}

/** The panes that are to be had at this size, in the order of their digits. */
export function reachable(drawing: Drawing): PaneName[] {
  return drawing.panes.flatMap(({ place }) => (place.tabs.length > 0 ? place.tabs : [place.pane]));
}

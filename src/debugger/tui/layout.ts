/** Which pane stands where, for a size of the screen. */
import type { PaneName } from './pane.js';
import type { ScreenState } from './state.js';

export interface Place {
  readonly pane: PaneName;
  readonly x: number;
  readonly y: number;
  readonly width: number;
  /** Its title included. */
  readonly height: number;
  /** The panes that share this place. */
  readonly tabs: readonly PaneName[];
}

/** A smaller screen shows no panes. */
export const SMALLEST = { width: 40, height: 12 };

/** Rows above the panes (where, and why it stopped), and below (keys). */
export const TOP = 2;
export const BOTTOM = 1;

/** Title, marks, seven lanes, and the numbers below them. */
const TIMELINE = 10;

export function layout(width: number, height: number, state: ScreenState): Place[] {
  const rows = height - TOP - BOTTOM;
  if (state.zoom) return [{ pane: state.focus, x: 0, y: TOP, width, height: rows, tabs: [] }];
  if (width >= 160 && height >= 45) return rich(width, rows, state);
  if (width >= 96 && height >= 28) return medium(width, rows, state);
  return small(width, rows, state);
}

/** Code above, and one other pane below. */
function small(width: number, rows: number, state: ScreenState): Place[] {
  const other = state.code === 'source' ? 'code' : 'source';
  const upper = Math.max(4, Math.floor(rows * 0.42));
  return [
    { pane: state.code, x: 0, y: TOP, width, height: upper, tabs: [] },
    shared(
      [other, 'registers', 'processor', 'stack', 'timeline', 'branches', 'failures', 'output', 'breakpoints'],
      state,
      { x: 0, y: TOP + upper, width, height: rows - upper },
    ),
  ];
}

/** Code and a shared place on the left, the stack on the right, the timeline below. */
function medium(width: number, rows: number, state: ScreenState): Place[] {
  const timeline = rows >= 34 ? TIMELINE : TIMELINE - 2;
  const upper = rows - timeline;
  const left = Math.floor(width * 0.49);
  const right = { x: left + 1, width: width - left - 1 };
  const source = Math.floor(upper * 0.48);
  const processor = upper >= 24 ? 8 : 0;
  const other = state.code === 'source' ? 'code' : 'source';
  const tabs: PaneName[] = ['registers', other, 'branches', 'failures', 'output', 'breakpoints'];
  if (processor === 0) tabs.splice(1, 0, 'processor');
  const places: Place[] = [
    { pane: state.code, x: 0, y: TOP, width: left, height: source, tabs: [] },
    shared(tabs, state, { x: 0, y: TOP + source, width: left, height: upper - source }),
    { pane: 'stack', ...right, y: TOP, height: upper - processor, tabs: [] },
    { pane: 'timeline', x: 0, y: TOP + upper, width, height: timeline, tabs: [] },
  ];
  if (processor > 0) {
    places.push({ pane: 'processor', ...right, y: TOP + upper - processor, height: processor, tabs: [] });
  }
  return places;
}

/** Three columns; the timeline and a shared place below. */
function rich(width: number, rows: number, state: ScreenState): Place[] {
  const lower = TIMELINE + 3;
  const upper = rows - lower;
  const left = Math.floor(width * 0.32);
  const middle = Math.floor(width * 0.28);
  const right = { x: left + middle + 2, width: width - left - middle - 2 };
  const source = Math.floor(upper * 0.6);
  const processor = Math.max(10, Math.floor(upper * 0.27));
  return [
    { pane: 'source', x: 0, y: TOP, width: left, height: source, tabs: [] },
    { pane: 'code', x: 0, y: TOP + source, width: left, height: upper - source, tabs: [] },
    { pane: 'registers', x: left + 1, y: TOP, width: middle, height: upper - processor, tabs: [] },
    { pane: 'processor', x: left + 1, y: TOP + upper - processor, width: middle, height: processor, tabs: [] },
    { pane: 'stack', ...right, y: TOP, height: upper, tabs: [] },
    { pane: 'timeline', x: 0, y: TOP + upper, width: left + middle + 1, height: lower, tabs: [] },
    shared(['failures', 'branches', 'output', 'breakpoints'], state, { ...right, y: TOP + upper, height: lower }),
  ];
}

function shared(
  tabs: readonly PaneName[],
  state: ScreenState,
  place: Pick<Place, 'x' | 'y' | 'width' | 'height'>,
): Place {
  const pane = [state.focus, state.tab].find((name) => tabs.includes(name)) ?? tabs[0]!;
  return { ...place, pane, tabs };
}

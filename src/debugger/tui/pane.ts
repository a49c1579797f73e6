/** What a pane shows: rows, of which the screen draws those that fit. */
import type { View } from '../view.js';
import type { Span } from './frame.js';
import type { Signs } from './signs.js';
import type { ScreenState } from './state.js';

export const PANES = [
  'source',
  'code',
  'registers',
  'processor',
  'stack',
  'timeline',
  'branches',
  'failures',
  'output',
  'breakpoints',
] as const;
export type PaneName = (typeof PANES)[number];

/** The digit that leads to a pane: 1 to 9, and 0 for the tenth. */
export function digitOf(pane: PaneName): string {
  return String((PANES.indexOf(pane) + 1) % 10);
}

export interface Row {
  readonly spans: readonly Span[];
  /** What is selected with this row; a row without it cannot be selected. */
  readonly item?: string;
}

export interface PaneContent {
  readonly rows: readonly Row[];
  /** The row that is to be seen while nothing is selected. */
  readonly anchor: number;
  /** How much of the pane's height stands above the anchor, where there is so much; a half, by default. */
  readonly above?: number;
  /** Stands in the pane's title. */
  readonly note?: string;
}

/** Everything that a pane is drawn from. */
export interface PaneInput {
  readonly view: View;
  readonly state: ScreenState;
  readonly signs: Signs;
  /** Of the pane, without its title. */
  readonly width: number;
  readonly height: number;
}

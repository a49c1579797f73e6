/** What the screen remembers beside the view: where the user looks, and what is being typed. */
import type { PaneName } from './pane.js';

export interface MenuRow {
  /** The key that chooses it; those without one are chosen with the arrows. */
  readonly key?: string;
  readonly text: string;
  /** Why it cannot be chosen. */
  readonly refused?: string;
}

export interface MenuState {
  readonly title: string;
  readonly rows: readonly MenuRow[];
  readonly selected: number;
}

/** The command line that is being typed. */
export interface PromptState {
  readonly text: string;
  /** Where the next character goes. */
  readonly at: number;
  /** What Tab has found, if it was more than one. */
  readonly candidates: readonly string[];
}

export interface OutputLine {
  readonly text: string;
  readonly kind: 'command' | 'text' | 'error';
}

export interface ScreenState {
  readonly focus: PaneName;
  /** The pane that is shown where several share a place. */
  readonly tab: PaneName;
  /** The pane with the focus has the whole screen. */
  readonly zoom: boolean;
  /** What the place for code shows where there is one only. */
  readonly code: 'source' | 'code';
  /** The selected item of each pane; a pane without one follows the cursor. */
  readonly selection: Readonly<Partial<Record<PaneName, string>>>;
  readonly syntax: 'att' | 'intel';
  /** Whose registers and stacks are shown; without it, the running processor's. */
  readonly processor: number | undefined;
  /** States in a column of the timeline; below 1, each has several columns. Without it, what fits. */
  readonly scale: number | undefined;
  readonly output: readonly OutputLine[];
  readonly prompt: PromptState | undefined;
  readonly menu: MenuState | undefined;
  /** The page of keys is shown, from this row on. */
  readonly help: number | undefined;
  /** Stands on the line of the last stop until the next key. */
  readonly message: { readonly text: string; readonly error: boolean } | undefined;
  /** The verb that is under way. */
  readonly running: string | undefined;
}

export const INITIAL: ScreenState = {
  focus: 'source',
  tab: 'registers',
  zoom: false,
  code: 'source',
  selection: {},
  syntax: 'att',
  processor: undefined,
  scale: undefined,
  output: [],
  prompt: undefined,
  menu: undefined,
  help: undefined,
  message: undefined,
  running: undefined,
};

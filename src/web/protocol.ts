/** What the server sends: plain data, drawn by the page as it is. */
import type { CommandResult, Hex, Stop, View, ViewRequest } from '../debugger/view.js';
import type { Settings } from './messages.js';

export type { Request, Settings } from './messages.js';

/** Why a connection is closed, as a WebSocket's close code. */
export const CLOSE = {
  /** Not the token of the link. */
  TOKEN: 4403,
  /** Another page has the session, and this one did not ask to take it over. */
  OCCUPIED: 4409,
  /** Another page has taken the session over. */
  TAKEN: 4410,
  /** The server ends. */
  ENDED: 4411,
} as const;

export interface Problem {
  readonly message: string;
  readonly notes: readonly string[];
  /** Where in the editor's text, from 1; undefined where it is not a matter of one line. */
  readonly line?: number;
  readonly column?: number;
}

export interface Choices {
  readonly files: readonly string[];
  readonly platforms: readonly string[];
  /** By platform. */
  readonly contexts: Readonly<Record<string, readonly string[]>>;
  readonly profiles: readonly string[];
  readonly events: readonly string[];
  readonly properties: readonly { readonly name: string; readonly sentence: string }[];
}

export interface EditorView {
  readonly file: string;
  readonly text: string;
  /** It is not what the file has on the disk. */
  readonly changed: boolean;
  readonly problem: Problem | null;
  /** Grows with each change of text, file and settings. */
  readonly revision: number;
}

/**
 * `fails`: the event, fired here last, breaks something. `holds`: it breaks nothing. `open`: it has broken nothing so far, but the search was
 * not closed. `idle`: the boundary is reached, but this event is never fired there. `never`: no path comes here.
 */
export type CellState = 'fails' | 'holds' | 'open' | 'idle' | 'never';

export interface MapCell {
  readonly state: CellState;
  /** What it breaks. */
  readonly properties?: readonly string[];
  /** Of one that fails: what it is for a property that it does not break. A search that is not closed cannot say that it holds. */
  readonly otherwise?: 'holds' | 'open';
}

/** A line of source, or one boundary of it. */
export interface MapRow {
  /** 0: of no line. */
  readonly line: number;
  readonly text: string;
  readonly boundary?: string;
  readonly address?: Hex;
  /** One for each event. */
  readonly cells?: readonly MapCell[];
}

export interface MapView {
  readonly events: readonly string[];
  readonly sections: readonly { readonly file: string; readonly rows: readonly MapRow[] }[];
  /** Properties that the context breaks without any event. */
  readonly uninterrupted: readonly string[];
}

/** The second axis: where the earlier events of the schedules lie that end in a cell. */
export interface AxisView {
  readonly address: Hex;
  readonly boundary: string;
  readonly event: string;
  readonly property: string | null;
  /** Why there is none; the shortest schedule can be opened all the same. */
  readonly missing: string | null;
  readonly events: readonly string[];
  readonly rows: readonly {
    readonly address: Hex;
    readonly boundary: string;
    readonly place: string;
    readonly text: string;
    /** One for each event: a schedule has it here. */
    readonly cells: readonly boolean[];
  }[];
}

export interface ProgressView {
  readonly states: number;
  readonly transitions: number;
  readonly failures: number;
  /** 0 to 1; null while it is not known. */
  readonly done: number | null;
  readonly bound: string;
  readonly seconds: number;
}

export interface SearchView {
  readonly state: 'running' | 'done' | 'refused';
  /** The editor's revision that it is for. */
  readonly revision: number;
  readonly file: string;
  readonly progress: ProgressView | null;
  readonly problem: Problem | null;
  readonly verdict: 'holds' | 'fails' | 'open' | null;
  /** What the command prints: verdict, bound, states, what was left open. */
  readonly report: string;
  readonly windows: readonly { readonly property: string; readonly text: string }[];
  readonly map: MapView | null;
}

export interface DebuggerState {
  /** What it was opened on, in words. */
  readonly opened: string;
  readonly busy: boolean;
  readonly request: ViewRequest;
  readonly view: View;
  readonly console: readonly ConsoleEntry[];
}

export interface ConsoleEntry {
  readonly command: string;
  readonly lines: readonly string[];
  readonly error: boolean;
}

/** All of it, for a page that begins. */
export interface SessionView {
  readonly choices: Choices;
  readonly editor: EditorView;
  readonly settings: Settings;
  readonly search: SearchView | null;
  readonly debugger: DebuggerState | null;
}

export type Reply = AxisView | CommandResult | Stop | readonly string[] | Problem | null;

export type ServerMessage =
  | { readonly type: 'session'; readonly session: SessionView }
  | { readonly type: 'editor'; readonly editor: EditorView; readonly settings: Settings }
  | { readonly type: 'search'; readonly search: SearchView }
  | { readonly type: 'progress'; readonly progress: ProgressView }
  | { readonly type: 'debugger'; readonly debugger: DebuggerState | null }
  /** A verb has begun or ended. */
  | { readonly type: 'busy'; readonly busy: boolean }
  | { readonly type: 'reply'; readonly id: number; readonly reply: Reply }
  /** Without an id: of something that was no request. */
  | { readonly type: 'error'; readonly id: number | null; readonly problem: Problem };

/**
 * The session: what the editor has, the last search, the debugger. It lives as long as the server does, so that a page that is closed, killed or
 * reloaded finds everything as it was.
 */
import { AssemblyError } from '../assembler/index.js';
import type { Debugger } from '../debugger/debugger.js';
import type { ViewRequest } from '../debugger/view.js';
import { InputError } from '../errors.js';
import type { ScheduledEvent } from '../explore/result.js';
import type { Subject } from '../platforms/subject.js';
import type { Profile } from '../profiles/profile.js';
import type { CellRequest, Request } from './messages.js';
import type {
  ConsoleEntry,
  DebuggerState,
  EditorView,
  Problem,
  Reply,
  SearchView,
  ServerMessage,
  SessionView,
} from './protocol.js';
import { Search } from './search.js';
import { choicesOf, FIRST_SETTINGS, profileOf, type Workspace } from './workspace.js';

/** Commands that the console keeps. */
const MOST_ENTRIES = 200;
/** Lines around the current one that a page gets unless it asks for others. */
const AROUND = 40;

/** What a debugger is opened on. */
export interface Opening {
  readonly subject: Subject;
  readonly profile: Profile;
  /** Empty: at the start of the context. */
  readonly path: readonly ScheduledEvent[];
  /** Where it is to stand: at the end of `path`, or where this breaks on it. */
  readonly property: string | undefined;
}

export type OpenPath = (opening: Opening) => Debugger | Promise<Debugger>;

export class Session {
  #settings = FIRST_SETTINGS;
  #revision = 0;
  #problem: Problem | null = null;
  #search: Search | undefined;
  /** A search that never began, or was given up. */
  #refused: SearchView | undefined;
  #debugger: Debugger | undefined;
  #opened = '';
  #request: ViewRequest = { around: AROUND };
  #console: ConsoleEntry[] = [];
  #running: AbortController | undefined;
  #tell: (message: ServerMessage) => void = () => undefined;

  constructor(
    readonly workspace: Workspace,
    readonly openPath: OpenPath,
  ) {
    this.#check();
  }

  listen(tell: (message: ServerMessage) => void): void {
    this.#tell = tell;
  }

  close(): void {
    this.#search?.stop();
    this.#running?.abort();
  }

  view(): SessionView {
    return {
      choices: choicesOf(this.workspace),
      editor: this.#editor(),
      settings: this.#settings,
      search: this.#searchView() ?? null,
      debugger: this.#debuggerState() ?? null,
    };
  }

  /** Rejects with an InputError for what cannot be done. */
  async handle(request: Request): Promise<Reply> {
    switch (request.type) {
      case 'edit':
        if (request.file !== this.workspace.file)
          throw new InputError(`${request.file}: is not in the editor any more`);
        this.workspace.type(request.text);
        return this.#changed();
      case 'choose':
        this.workspace.choose(request.file);
        return this.#changed();
      case 'revert':
        this.workspace.revert();
        return this.#changed();
      case 'settings':
        this.#settings = request.settings;
        return this.#changed();
      case 'explore':
        return this.#explore();
      case 'stop':
        this.#search?.stop();
        return null;
      case 'axis': {
        const axis = this.#finished().axis(request);
        if (axis === undefined) throw new InputError('there is no map yet; explore first');
        return axis;
      }
      case 'debug':
        return this.#debugStart();
      case 'open':
        return this.#debugCell(request, request.through);
      case 'open-uninterrupted': {
        const { subject, profile } = this.#finished();
        const opened = `the context without events, ${request.property}`;
        return this.#open({ subject, profile, path: [], property: request.property }, opened);
      }
      case 'interrupt':
        this.#running?.abort();
        return null;
      default:
        return this.#debug(request);
    }
  }

  // The editor ---------------------------------------------------------------------------------------------------------

  #editor(): EditorView {
    const { file, text, changed } = this.workspace;
    return { file, text, changed, problem: this.#problem, revision: this.#revision };
  }

  #changed(): null {
    this.#revision++;
    this.#check();
    this.#tell({ type: 'editor', editor: this.#editor(), settings: this.#settings });
    return null;
  }

  #check(): void {
    try {
      this.workspace.subject(this.#settings, profileOf(this.#settings));
      this.#problem = null;
    } catch (error) {
      this.#problem = problemOf(error, this.workspace.file);
    }
  }

  // The search ---------------------------------------------------------------------------------------------------------

  #searchView(): SearchView | undefined {
    return this.#refused ?? this.#search?.view;
  }

  #finished(): Search {
    if (this.#refused !== undefined || this.#search?.view.state !== 'done') {
      throw new InputError('there is no map; explore first');
    }
    return this.#search;
  }

  #explore(): null {
    if (this.#refused === undefined && this.#search?.view.state === 'running') {
      throw new InputError('a search is under way; stop it first');
    }
    const head = { file: this.workspace.file, revision: this.#revision };
    try {
      const profile = profileOf(this.#settings);
      const subject = this.workspace.subject(this.#settings, profile);
      const search = new Search(subject, profile, this.#settings, head, (progress) =>
        this.#tell({ type: 'progress', progress }),
      );
      this.#search = search;
      this.#refused = undefined;
      search.result.then(
        () => this.#tellSearch(),
        (error) => this.#refuse(head, error),
      );
    } catch (error) {
      this.#refuse(head, error);
      return null;
    }
    this.#tellSearch();
    return null;
  }

  #refuse(head: { readonly file: string; readonly revision: number }, error: unknown): void {
    this.#refused = {
      ...head,
      state: 'refused',
      progress: null,
      problem: problemOf(error, head.file),
      verdict: null,
      report: '',
      windows: [],
      map: null,
    };
    this.#tellSearch();
  }

  #tellSearch(): void {
    this.#tell({ type: 'search', search: this.#searchView()! });
  }

  // The debugger -------------------------------------------------------------------------------------------------------

  #debuggerState(): DebuggerState | undefined {
    const { busy, view } = { busy: this.#running !== undefined, view: this.#debugger?.view(this.#request) };
    if (view === undefined) return undefined;
    return { opened: this.#opened, busy, request: this.#request, view, console: this.#console };
  }

  #debugStart(): Promise<null> {
    const profile = profileOf(this.#settings);
    const subject = this.workspace.subject(this.#settings, profile);
    const opened = `${this.workspace.file}, context ${this.#settings.context}`;
    return this.#open({ subject, profile, path: [], property: undefined }, opened);
  }

  #debugCell(cell: CellRequest, through: { address: string; event: string } | undefined): Promise<null> {
    const search = this.#finished();
    const path = search.schedule(cell, through);
    if (path === undefined) throw new InputError('no schedule with this event there is known');
    const opened = path.map((e) => `${e.event}@${e.boundary}${e.hit > 1 ? `#${e.hit}` : ''}`).join(', ');
    const { subject, profile } = search;
    return this.#open({ subject, profile, path, property: cell.property }, opened);
  }

  async #open(opening: Opening, opened: string): Promise<null> {
    if (this.#running !== undefined) throw new InputError('the debugger is busy; interrupt it first');
    this.#debugger = await this.openPath(opening);
    this.#opened = opened;
    this.#request = { around: AROUND, ...(this.#request.syntax ? { syntax: this.#request.syntax } : {}) };
    this.#console = [];
    this.#tellDebugger();
    return null;
  }

  #tellDebugger(): void {
    this.#tell({ type: 'debugger', debugger: this.#debuggerState()! });
  }

  async #debug(request: DebugRequest): Promise<Reply> {
    const target = this.#debugger;
    if (target === undefined) throw new InputError('the debugger is not open; open a cell of the map, or the start');
    if (request.type === 'complete') return target.complete(request.line);
    if (this.#running !== undefined) throw new InputError('the debugger is busy; interrupt it first');
    if (request.type === 'view') {
      this.#request = { around: AROUND, ...viewRequest(request.request) };
      this.#tellDebugger();
      return null;
    }
    const running = new AbortController();
    this.#running = running;
    this.#tell({ type: 'busy', busy: true });
    try {
      return await this.#perform(target, request, running.signal);
    } finally {
      this.#running = undefined;
      this.#follow();
      this.#tellDebugger();
    }
  }

  /** The source and the timeline that were asked for were those of another place. */
  #follow(): void {
    const { file: _, line: __, timeline: ___, ...kept } = this.#request;
    this.#request = kept;
  }

  async #perform(target: Debugger, request: DebugRequest, signal: AbortSignal): Promise<Reply> {
    switch (request.type) {
      case 'verb':
        return this.#verb(target, request.verb, request.count, signal);
      case 'until':
        return target.until({ kind: request.target }, request.direction, signal);
      case 'fire':
        return target.fire(request.event);
      case 'go':
        return target.go(request.index, request.branch);
      case 'toggle':
        this.#toggle(target, request.address);
        return null;
      case 'breakpoint':
        if (request.action === 'delete') target.deleteBreakpoint(request.number);
        else target.enableBreakpoint(request.number, request.action === 'enable');
        return null;
      case 'command': {
        const { lines, error, changed, quit } = await target.command(request.line, signal);
        this.#console = [...this.#console, { command: request.line, lines, error }].slice(-MOST_ENTRIES);
        return { lines, error, changed, quit };
      }
      default:
        throw new Error(`${request.type} is no request to perform`);
    }
  }

  async #verb(target: Debugger, verb: VerbName, count: number | undefined, signal: AbortSignal): Promise<Reply> {
    switch (verb) {
      case 'step':
      case 'reverseStep':
      case 'next':
      case 'reverseNext':
        return target[verb](count ?? 1, signal);
      case 'skip':
        return target.skip();
      default:
        return target[verb](signal);
    }
  }

  #toggle(target: Debugger, address: string): void {
    const numbers = target
      .view({ ...this.#request, around: 'all' })
      .disassembly.filter((i) => i.address === address)
      .flatMap((i) => i.breakpoints);
    if (numbers.length === 0) target.addBreakpoint(BigInt(address));
    for (const number of numbers) target.deleteBreakpoint(number);
  }
}

type DebugRequest = Exclude<
  Request,
  {
    type:
      | 'edit'
      | 'choose'
      | 'revert'
      | 'settings'
      | 'explore'
      | 'stop'
      | 'axis'
      | 'debug'
      | 'open'
      | 'open-uninterrupted'
      | 'interrupt';
  }
>;
type VerbName = Extract<Request, { type: 'verb' }>['verb'];

function viewRequest({
  syntax,
  around,
  file,
  line,
  timeline,
  processor,
}: Extract<Request, { type: 'view' }>['request']): ViewRequest {
  return {
    ...(syntax === undefined ? {} : { syntax }),
    ...(around === undefined ? {} : { around }),
    ...(file === undefined ? {} : { file }),
    ...(line === undefined ? {} : { line }),
    ...(timeline === undefined ? {} : { timeline }),
    ...(processor === undefined ? {} : { processor }),
  };
}

/** An error as the page shows it; `file` is the one in the editor. */
export function problemOf(error: unknown, file?: string): Problem {
  if (!(error instanceof InputError)) {
    const message = error instanceof Error ? error.message : String(error);
    return { message: `an error in entrace itself: ${message}`, notes: [] };
  }
  const { message, notes } = error;
  const place = file === undefined ? undefined : placeIn(error, file);
  return { message, notes, ...place };
}

/** Where in the file: where the error is, or what included or expanded it. */
function placeIn(error: InputError, file: string): { line: number; column?: number } | undefined {
  if (error instanceof AssemblyError && error.position.file === file) {
    const { line, column } = error.position;
    return column === undefined ? { line } : { line, column };
  }
  for (const text of [error.message, ...error.notes]) {
    const at = text.indexOf(`${file}:`);
    const [, line, column] = at < 0 ? [] : (/^(\d+)(?::(\d+))?/.exec(text.slice(at + file.length + 1)) ?? []);
    if (line === undefined) continue;
    return column === undefined ? { line: Number(line) } : { line: Number(line), column: Number(column) };
  }
  return undefined;
}

/**
 * The session: what the editor has, the last search, the debugger. It lives as long as the server does, so that a page that is closed, killed or
 * reloaded finds everything as it was.
 */
import { AssemblyError } from '../assembler/index.js';
import { InputError } from '../errors.js';
import { Debugging, type DebugRequest } from './debugging.js';
import type { CellRequest, Request } from './messages.js';
import { type Opening, openPath } from './open_path.js';
import type { EditorView, Problem, Reply, SearchView, ServerMessage, SessionView } from './protocol.js';
import { planOf, Search } from './search.js';
import { choicesOf, FIRST_SETTINGS, profileOf, type Workspace } from './workspace.js';

/** What is no business of the debugger. */
const OTHERS: ReadonlySet<Request['type']> = new Set([
  ...(['edit', 'choose', 'revert', 'settings', 'explore', 'stop', 'axis', 'interrupt'] as const),
]);

/** Whether the request waits for the verb that is under way. */
export function isForDebugger({ type }: Request): boolean {
  return !OTHERS.has(type);
}

export class Session {
  #settings = FIRST_SETTINGS;
  #revision = 0;
  #problem: Problem | null = null;
  #search: Search | undefined;
  /** A search that never began, or was given up. */
  #refused: SearchView | undefined;
  #debugging: Debugging | undefined;
  #tell: (message: ServerMessage) => void = () => undefined;

  constructor(readonly workspace: Workspace) {
    this.#check();
  }

  listen(tell: (message: ServerMessage) => void): void {
    this.#tell = tell;
  }

  close(): void {
    this.#search?.stop();
    this.#debugging?.interrupt();
  }

  view(): SessionView {
    return {
      choices: choicesOf(this.workspace),
      editor: this.#editor(),
      settings: this.#settings,
      search: this.#searchView() ?? null,
      debugger: this.#debugging?.state ?? null,
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
        const { subject, profile, settings } = this.#finished();
        const { property } = request;
        return this.#open({ subject, profile, settings, path: [], property }, 'the context without events');
      }
      case 'interrupt':
        this.#debugging?.interrupt();
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
      planOf(this.#settings, this.workspace.subject(this.#settings, profileOf(this.#settings)));
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

  async #debug(request: DebugRequest): Promise<Reply> {
    const debugging = this.#debugging;
    if (debugging === undefined)
      throw new InputError('the debugger is not open; open a cell of the map, or debug from the start');
    const reply = await debugging.handle(request);
    const isOver = request.type === 'command' && reply !== null && 'quit' in reply && reply.quit;
    if (isOver) {
      this.#debugging = undefined;
      this.#tell({ type: 'debugger', debugger: null });
    }
    return reply;
  }

  #debugStart(): Promise<null> {
    const settings = this.#settings;
    const profile = profileOf(settings);
    const subject = this.workspace.subject(settings, profile);
    const opened = `${this.workspace.file}, context ${settings.context}`;
    return this.#open({ subject, profile, settings, path: undefined, property: undefined }, opened);
  }

  #debugCell(cell: CellRequest, through: { address: string; event: string } | undefined): Promise<null> {
    const search = this.#finished();
    const path = search.schedule(cell, through);
    if (path === undefined) throw new InputError('no schedule with this event there is known');
    const opened = path.map((e) => `${e.event} at ${e.boundary}${e.hit > 1 ? ` (time ${e.hit})` : ''}`).join(', ');
    const { subject, profile, settings } = search;
    return this.#open({ subject, profile, settings, path, property: cell.property }, opened);
  }

  async #open(opening: Opening, opened: string): Promise<null> {
    if (this.#debugging?.busy) throw new InputError('the debugger is busy; interrupt it first');
    const debugging: Debugging = new Debugging(
      await openPath(opening),
      opened,
      () => this.#tell({ type: 'busy', busy: true }),
      () => this.#tell({ type: 'debugger', debugger: debugging.state }),
    );
    this.#debugging = debugging;
    this.#tell({ type: 'debugger', debugger: debugging.state });
    return null;
  }
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

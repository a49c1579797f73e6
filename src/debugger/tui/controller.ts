/** What keys and clicks do: each is a verb of the debugger, a command, or a change of what is looked at. */
import { InputError } from '../../errors.js';
import type { Debugger, Direction, Target } from '../debugger.js';
import type { Stop, View, ViewRequest } from '../view.js';
import { type Drawing, type DrawnPane, draw, hit, reachable, type Size } from './draw.js';
import { layout } from './layout.js';
import { digitOf, PANES, type PaneName } from './pane.js';
import { COARSEST, FINEST, scaleOf, stateAt, timelineWindow } from './panes/timeline.js';
import { complete, EMPTY_PROMPT, edit, History } from './prompt.js';
import type { Signs } from './signs.js';
import { INITIAL, type MenuRow, type OutputLine, type ScreenState } from './state.js';

/** Keys that are kept while a verb runs. */
const WAITING = 100;

/** Lines of output that are kept. */
const OUTPUT = 5000;

/** Lines of source and instructions around the cursor that are fetched, so that selecting among them needs no new view. */
const AROUND = 150;

/** How far the keys move a selection, in rows; a page is the pane's height. */
const ARROWS: Readonly<Record<string, (page: number) => number>> = {
  UP: () => -1,
  DOWN: () => 1,
  LEFT: () => -1,
  RIGHT: () => 1,
  PAGE_UP: (page) => -page,
  PAGE_DOWN: (page) => page,
  HOME: () => -Infinity,
  END: () => Infinity,
};

interface MenuEntry extends MenuRow {
  readonly action: () => void;
}

/** Keys of the rows of a menu; q closes it. */
const MENU_KEYS = '123456789abcdefghijklmnoprstuvwxyz';

function keyOf(row: number): { readonly key?: string } {
  const key = MENU_KEYS[row];
  return key === undefined ? {} : { key };
}

export interface MouseEvent {
  readonly kind: 'press' | 'up' | 'down';
  readonly x: number;
  readonly y: number;
}

export class Controller {
  #state: ScreenState = INITIAL;
  #entries: readonly MenuEntry[] = [];
  #history = new History();
  #view: View | undefined;
  #request = '';
  /** Of the branch, as it was drawn last. */
  #length = 0;
  #drawing: Drawing | undefined;
  #size: Size | undefined;
  #abort: AbortController | undefined;
  /** Instructions stand in the place of source that there is not. */
  #sourceless = false;
  /** Keys that were pressed while a verb ran. */
  #waiting: string[] = [];
  /** What was looked at before a failure or an answer took its place. */
  #before: Pick<ScreenState, 'tab' | 'focus'> | undefined;
  readonly #unsubscribe: () => void;

  /**
   * `changed`: the screen is to be drawn anew. `ended`: the user has quit, or something is wrong that is no fault of the
   * input.
   */
  constructor(
    readonly debugger_: Debugger,
    readonly signs: Signs,
    readonly changed: () => void,
    readonly ended: (error?: unknown) => void,
  ) {
    this.#unsubscribe = debugger_.subscribe(() => {
      this.#view = undefined;
      changed();
    });
    if (debugger_.lastStop.reason === 'failure') this.#show('failures');
  }

  get state(): ScreenState {
    return this.#state;
  }

  close(): void {
    this.#unsubscribe();
    this.#abort?.abort();
  }

  draw(size: Size): Drawing {
    this.#size = size;
    const view = this.#viewFor(size);
    this.#drawing = draw(view, size, this.#state, this.signs);
    return this.#drawing;
  }

  key(name: string): void {
    this.#press(name);
    // Of what was typed ahead, a key that starts nothing gives way to the next one at once.
    while (this.#state.running === undefined && this.#waiting.length > 0) this.#press(this.#waiting.shift()!);
    this.changed();
  }

  #press(name: string): void {
    this.#guard(() => {
      // What a key selects or acts on is what is to be seen, even if it has not been written to the terminal yet.
      if (this.#view === undefined && this.#size && this.#state.running === undefined) this.draw(this.#size);
      if (this.#state.running !== undefined) this.#whileRunning(name);
      else if (this.#state.prompt) this.#promptKey(name);
      else if (this.#state.menu) this.#menuKey(name);
      else if (this.#state.help !== undefined) this.#helpKey(name);
      else {
        this.#set({ message: undefined });
        this.#command(name);
      }
    });
  }

  mouse({ kind, x, y }: MouseEvent): void {
    const drawing = this.#drawing;
    if (!drawing || this.#state.running !== undefined || this.#state.prompt || this.#state.menu) return;
    this.#guard(() => {
      const found = hit(drawing, x, y);
      if (!found) return;
      const { pane, row } = found;
      const name = pane.place.pane;
      this.#focus(name);
      if (kind !== 'press') this.#move(name, kind === 'up' ? -3 : 3);
      else if (row >= 0) this.#click(pane, row, x);
    });
    this.changed();
  }

  #set(change: Partial<ScreenState>): void {
    this.#state = { ...this.#state, ...change };
  }

  #say(text: string, error = false): void {
    this.#set({ message: { text, error } });
  }

  #guard(body: () => void): void {
    try {
      body();
    } catch (error) {
      this.#failed(error);
    }
  }

  #failed(error: unknown): void {
    if (error instanceof InputError) this.#say(error.message, true);
    else this.ended(error);
  }

  /** Views are made anew only when something has changed; while a verb runs, the last one stays. */
  #viewFor({ width, height }: Size): View {
    const { state } = this;
    const timeline = layout(width, height, state).find(({ pane }) => pane === 'timeline');
    const base: ViewRequest = {
      syntax: state.syntax,
      around: AROUND,
      ...(state.processor !== undefined && { processor: state.processor }),
    };
    const window = timeline && this.#timelineOf(timeline.width);
    const request: ViewRequest = { ...base, ...this.#elsewhere(), ...(window && { timeline: window }) };
    const key = JSON.stringify(request);
    if (this.#view && (key === this.#request || state.running !== undefined)) return this.#view;
    this.#view = this.debugger_.view(request);
    this.#request = key;
    this.#length = this.#view.position.length;
    this.#followSource(this.#view);
    return this.#view;
  }

  /** Where there is no source, the place for it has the instructions. */
  #followSource({ source }: View): void {
    const { code, focus } = this.#state;
    if (!source && code === 'source') {
      this.#sourceless = true;
      this.#set({ code: 'code', ...(focus === 'source' && { focus: 'code' }) });
    } else if (source && this.#sourceless) {
      this.#sourceless = false;
      this.#set({ code: 'source', ...(focus === 'code' && { focus: 'source' }) });
    }
  }

  #timelineOf(width: number): { from: number; to: number } {
    const { selection } = this.#state;
    const { index } = this.debugger_.position;
    const middle = selection.timeline === undefined ? index : Number(selection.timeline);
    const length = Math.max(this.#length, index);
    return timelineWindow(length, middle, width, scaleOf(this.#state.scale, length, width));
  }

  /** Of the timeline as it was drawn. */
  get #scale(): number {
    return scaleOf(this.#state.scale, this.#shown.timeline.length, this.#drawn('timeline')?.place.width ?? 0);
  }

  /** Another part of the source, if the selected line is not among those around the cursor. */
  #elsewhere(): ViewRequest {
    const line = this.#state.selection.source;
    const source = this.#view?.source;
    if (line === undefined || !source) return {};
    const current = source.lines.find((l) => l.current)?.number;
    if (current !== undefined && Math.abs(Number(line) - current) < AROUND - 60) return {};
    return { file: source.file, line: Number(line) };
  }

  /** The view as it was last drawn. */
  get #shown(): View {
    return this.#view ?? this.debugger_.view({ around: AROUND });
  }

  // Keys

  /** Who types ahead gets what was typed; Ctrl-C forgets it. */
  #whileRunning(name: string): void {
    if (name !== 'CTRL_C') {
      if (this.#waiting.length < WAITING) this.#waiting.push(name);
      return;
    }
    this.#waiting = [];
    this.#abort?.abort();
  }

  readonly #commands: Readonly<Record<string, () => void>> = {
    s: () => this.#verb('step', (signal) => this.debugger_.step(1, signal)),
    S: () => this.#verb('step back', (signal) => this.debugger_.reverseStep(1, signal)),
    n: () => this.#verb('next', (signal) => this.debugger_.next(1, signal)),
    N: () => this.#verb('next, backwards', (signal) => this.debugger_.reverseNext(1, signal)),
    f: () => this.#verb('finish', (signal) => this.debugger_.finish(signal)),
    F: () => this.#verb('back to the entry', (signal) => this.debugger_.reverseFinish(signal)),
    c: () => this.#verb('continue', (signal) => this.debugger_.continue(signal)),
    C: () => this.#verb('continue, backwards', (signal) => this.debugger_.reverseContinue(signal)),
    u: () => this.#untilMenu(1),
    U: () => this.#untilMenu(-1),
    '[': () => this.#until({ kind: 'event' }, -1),
    ']': () => this.#until({ kind: 'event' }, 1),
    g: () => this.#toFailure(),
    e: () => this.#eventMenu(),
    k: () => this.#moved(this.debugger_.skip()),
    t: () => this.#focus('branches'),
    x: () => this.#compareMenu(),
    w: () => this.#who(),
    a: () => this.#toAnswer(),
    b: () => this.#toggleBreakpoint(),
    ':': () => this.#set({ prompt: EMPTY_PROMPT }),
    TAB: () => this.#nextPane(1),
    SHIFT_TAB: () => this.#nextPane(-1),
    ENTER: () => this.#enter(),
    KP_ENTER: () => this.#enter(),
    ESCAPE: () => this.#set({ selection: {}, zoom: false }),
    z: () => this.#set({ zoom: !this.#state.zoom }),
    d: () => this.#otherCode(),
    i: () => this.#set({ syntax: this.#state.syntax === 'att' ? 'intel' : 'att' }),
    p: () => this.#nextProcessor(),
    '+': () => this.#set({ scale: Math.max(FINEST, this.#scale / 2) }),
    '-': () => this.#set({ scale: Math.min(COARSEST, this.#scale * 2) }),
    '?': () => this.#set({ help: 0 }),
    CTRL_C: () => this.#say('nothing is running; q quits'),
    q: () => this.ended(),
  };

  #command(name: string): void {
    const command = Object.hasOwn(this.#commands, name) ? this.#commands[name] : undefined;
    const pane = PANES.find((candidate) => digitOf(candidate) === name);
    if (command) command();
    else if (name in ARROWS) this.#arrow(name);
    else if (pane) this.#focus(pane);
    else if ([...name].length === 1) this.#say(`${name} is no key here; ? shows them all`);
  }

  #otherCode(): void {
    this.#sourceless = false;
    const code = this.#state.code === 'source' ? 'code' : 'source';
    this.#set({ code, ...(this.#state.focus === this.#state.code && { focus: code }) });
  }

  #nextProcessor(): void {
    const { processor, processors } = this.#shown.position;
    const shown = ((this.#state.processor ?? processor) + 1) % processors;
    this.#set({ processor: shown === processor ? undefined : shown });
  }

  // Verbs

  #verb(label: string, verb: (signal: AbortSignal) => Promise<Stop>): void {
    this.#long(label, async (signal) => this.#moved(await verb(signal)));
  }

  #until(target: Target, direction: Direction = 1): void {
    this.#verb('until', (signal) => this.debugger_.until(target, direction, signal));
  }

  #long(label: string, body: (signal: AbortSignal) => Promise<void>): void {
    const abort = new AbortController();
    this.#abort = abort;
    this.#set({ running: label });
    body(abort.signal)
      .catch((error: unknown) => this.#failed(error))
      .finally(() => {
        this.#abort = undefined;
        this.#view = undefined;
        this.#set({ running: undefined });
        this.changed();
        const next = this.#waiting.shift();
        if (next !== undefined) this.key(next);
      });
  }

  /** Selections in what belongs to one state are dropped, and answers to what was asked there: panes follow the cursor again. */
  #moved(stop: Stop): void {
    this.#view = undefined;
    const { registers, stack } = this.#state.selection;
    const selection = { ...(registers !== undefined && { registers }), ...(stack !== undefined && { stack }) };
    this.#set({ selection, ...this.#before });
    this.#before = undefined;
    if (stop.reason === 'failure') this.#show('failures');
  }

  /** Makes a pane visible that shares its place with others, without taking the focus if that is elsewhere. */
  #show(pane: PaneName): void {
    const { tab, focus } = this.#state;
    this.#before ??= { tab, focus };
    const group = this.#drawing?.panes.find(({ place }) => place.tabs.includes(pane));
    this.#set({ tab: pane, ...(group?.place.tabs.includes(focus) && { focus: pane }) });
  }

  #toFailure(): void {
    const { failures, position } = this.#shown;
    const chosen = /^failure (\d+)$/.exec(
      this.#state.focus === 'failures' ? (this.#state.selection.failures ?? '') : '',
    );
    const next =
      (chosen && failures[Number(chosen[1])]) ?? failures.find(({ index }) => index > position.index) ?? failures[0];
    if (next) this.#moved(this.debugger_.go(next.index));
    else this.#until({ kind: 'failure' });
  }

  // Menus

  #open(title: string, entries: readonly MenuEntry[]): void {
    this.#entries = entries;
    const selected = Math.max(
      0,
      entries.findIndex(({ refused }) => refused === undefined),
    );
    const rows = entries.map(({ key, text, refused }) => ({
      text,
      ...(key !== undefined && { key }),
      ...(refused !== undefined && { refused }),
    }));
    this.#set({ menu: { title, rows, selected } });
  }

  #menuKey(name: string): void {
    const { menu } = this.#state;
    if (!menu) return;
    const count = this.#entries.length;
    if (name === 'ESCAPE' || name === 'q' || name === 'CTRL_C') {
      this.#set({ menu: undefined });
      return;
    }
    if (name === 'UP' || name === 'DOWN') {
      const selected = (menu.selected + (name === 'UP' ? count - 1 : 1)) % count;
      this.#set({ menu: { ...menu, selected } });
      return;
    }
    const entry =
      name === 'ENTER' || name === 'KP_ENTER'
        ? this.#entries[menu.selected]
        : this.#entries.find(({ key }) => key === name);
    if (!entry) return;
    this.#set({ menu: undefined });
    if (entry.refused !== undefined) {
      this.#say(`${entry.text}: ${entry.refused}`, true);
      return;
    }
    entry.action();
  }

  #eventMenu(): void {
    const entries = this.#shown.actions.map(({ event, possible, reason }, i): MenuEntry => {
      return {
        ...keyOf(i),
        text: possible && reason !== undefined ? `${event}  (${reason})` : event,
        ...(!possible && { refused: reason ?? 'not possible here' }),
        // Of those with a vector or a pin, one is listed; the number is to be typed.
        action: () => (event.includes(':') ? this.#prompt(`fire ${event}`) : this.#moved(this.debugger_.fire(event))),
      };
    });
    if (entries.length === 0) this.#say('no event can be fired here', true);
    else this.#open(`fire an event at ${this.#shown.position.boundary}`, entries);
  }

  #untilMenu(direction: Direction): void {
    const entry = (key: string, text: string, target: Target): MenuEntry => ({
      key,
      text,
      action: () => this.#until(target, direction),
    });
    const address = this.#selectedAddress();
    this.#open(direction === 1 ? 'run until' : 'run back until', [
      entry('u', 'NMIs are not blocked any more', { kind: 'unmasked' }),
      entry('m', 'NMIs are blocked', { kind: 'masked' }),
      entry('l', 'an NMI is latched', { kind: 'latched' }),
      entry('d', 'a delivery', { kind: 'delivery' }),
      entry('e', 'an event of this path', { kind: 'event' }),
      entry('g', 'a context is given back', { kind: 'given-back' }),
      entry('f', 'a property breaks', { kind: 'failure' }),
      ...(address === undefined
        ? []
        : [entry('b', `the selected line: ${address.boundary}`, { kind: 'boundary', address: address.address })]),
    ]);
  }

  #compareMenu(): void {
    const entries = this.#shown.branches
      .filter(({ current }) => !current)
      .map(({ id, name, forkAction, forkBoundary }, i): MenuEntry => {
        return {
          ...keyOf(i),
          text: `${id} ${name}  ${forkAction} at ${forkBoundary}`,
          action: () => this.#type(`compare ${id}`),
        };
      });
    if (entries.length === 0) this.#say('there is no other branch yet: e or k begins one', true);
    else this.#open('compare this path with', entries);
  }

  // Selection

  #focus(pane: PaneName): void {
    const shares = this.#drawing?.panes.some(({ place }) => place.tabs.includes(pane)) ?? false;
    const code = pane === 'source' || pane === 'code';
    // Where the two share a place with nothing else, the one that is wanted takes it.
    const missing = code && this.#drawing && !reachable(this.#drawing).includes(pane);
    this.#before = undefined;
    this.#set({ focus: pane, ...(shares && { tab: pane }), ...(missing && { code: pane }) });
  }

  #nextPane(by: 1 | -1): void {
    if (!this.#drawing) return;
    const panes = PANES.filter((pane) => this.#state.zoom || reachable(this.#drawing!).includes(pane));
    // On a screen that is too small there are none.
    if (panes.length === 0) return;
    const at = panes.indexOf(this.#state.focus);
    this.#focus(panes[(at + by + panes.length) % panes.length]!);
  }

  #arrow(name: string): void {
    const { focus } = this.#state;
    const page = Math.max(1, (this.#drawn(focus)?.place.height ?? 10) - 2);
    if (focus === 'timeline' || (name !== 'LEFT' && name !== 'RIGHT')) this.#move(focus, ARROWS[name]!(page));
  }

  #drawn(pane: PaneName): DrawnPane | undefined {
    return this.#drawing?.panes.find(({ place }) => place.pane === pane);
  }

  #select(pane: PaneName, item: string): void {
    this.#set({ selection: { ...this.#state.selection, [pane]: item } });
  }

  #move(pane: PaneName, by: number): void {
    if (pane === 'timeline') {
      const { cursor, length } = this.#shown.timeline;
      const from = Number(this.#state.selection.timeline ?? cursor);
      const to = by === -Infinity ? 0 : by === Infinity ? length : from + by * Math.max(1, this.#scale);
      this.#select(pane, String(Math.max(0, Math.min(length, to))));
      return;
    }
    const drawn = this.#drawn(pane);
    if (!drawn) return;
    const items = [...new Set(drawn.rows.flatMap(({ item }) => (item === undefined ? [] : [item])))];
    if (items.length === 0) return;
    const selected =
      this.#state.selection[pane] ?? drawn.rows.slice(drawn.anchor).find(({ item }) => item !== undefined)?.item;
    const at = selected === undefined ? 0 : items.indexOf(selected);
    this.#select(pane, items[Math.max(0, Math.min(items.length - 1, at + by))]!);
  }

  #click(pane: DrawnPane, row: number, x: number): void {
    const name = pane.place.pane;
    if (name === 'timeline') {
      const index = stateAt(this.#shown.timeline, x - pane.place.x, this.#scale);
      if (index !== undefined) this.#moved(this.debugger_.go(index));
      return;
    }
    const item = pane.rows[row]?.item;
    if (item !== undefined) this.#select(name, item);
  }

  /** The boundary of the selected line or instruction. */
  #selectedAddress(): { readonly address: bigint; readonly boundary: string } | undefined {
    const { focus, selection } = this.#state;
    const view = this.#shown;
    if (focus === 'source' && selection.source !== undefined) {
      const line = view.source?.lines.find(({ number }) => String(number) === selection.source);
      const first = line?.boundaries[0];
      return first && { address: BigInt(first.address), boundary: first.boundary };
    }
    const instruction = view.disassembly.find(({ address }) => address === selection.code);
    if (focus !== 'code' || !instruction) return undefined;
    return { address: BigInt(instruction.address), boundary: instruction.boundary };
  }

  #toggleBreakpoint(): void {
    const { focus, selection } = this.#state;
    const view = this.#shown;
    if (focus === 'breakpoints' && selection.breakpoints !== undefined) {
      this.debugger_.deleteBreakpoint(Number(selection.breakpoints));
      return;
    }
    const chosen = this.#selectedAddress();
    if (!chosen && selection[focus] !== undefined && (focus === 'source' || focus === 'code')) {
      this.#say('no instruction comes from the selected line', true);
      return;
    }
    const address = chosen?.address ?? BigInt(view.position.address);
    const here = view.disassembly.find((instruction) => BigInt(instruction.address) === address)?.breakpoints ?? [];
    const line = view.source?.lines.find(({ boundaries }) => boundaries.some((b) => BigInt(b.address) === address));
    const numbers = here.length > 0 ? here : (line?.breakpoints ?? []);
    if (numbers.length > 0) for (const number of numbers) this.debugger_.deleteBreakpoint(number);
    else
      this.#say(`breakpoint ${this.debugger_.addBreakpoint(address)} at ${chosen?.boundary ?? view.position.boundary}`);
  }

  #who(): void {
    const { focus, selection } = this.#state;
    const item = selection[focus];
    if (focus === 'registers' && item !== undefined) this.#type(`who ${item}`);
    else if (focus === 'stack' && item?.startsWith('0x')) this.#type(`who [${item}]`);
    else this.#prompt('who ');
  }

  #prompt(text: string): void {
    this.#set({ prompt: { ...EMPTY_PROMPT, text, at: [...text].length } });
  }

  /** To where the answer to the last question begins, as `goto who` does. */
  #toAnswer(): void {
    const answer = this.debugger_.answer.at(-1);
    if (answer === undefined) this.#say('no question has been answered yet: w asks who wrote something', true);
    else this.#moved(this.debugger_.go(answer));
  }

  #enter(): void {
    const { focus, selection } = this.#state;
    const view = this.#shown;
    const item = selection[focus];
    if (item === undefined && focus === 'output') {
      this.#toAnswer();
      return;
    }
    if (item === undefined) {
      this.#say('nothing is selected here: arrows select');
      return;
    }
    const go = (index: number, branch?: number): void => this.#moved(this.debugger_.go(index, branch));
    switch (focus) {
      case 'source':
      case 'code': {
        const chosen = this.#selectedAddress();
        if (chosen) this.#until({ kind: 'boundary', address: chosen.address });
        else this.#say('no instruction comes from the selected line', true);
        return;
      }
      case 'registers':
        this.#who();
        return;
      case 'stack': {
        const word = view.stacks.flatMap(({ words }) => words).find(({ address }) => address === item);
        const frame = view.stacks.flatMap(({ frames }) => frames).find(({ id }) => item === `frame ${id}`);
        if (frame) go(frame.index);
        else if (word?.writer) go(word.writer.index);
        else this.#say('nothing on this path wrote that word');
        return;
      }
      case 'processor': {
        const frame = view.deliveries.find(({ id }) => String(id) === item);
        if (frame) go(frame.index);
        return;
      }
      case 'timeline':
        go(Number(item));
        return;
      case 'branches': {
        const branch = view.branches.find(({ id }) => String(id) === item);
        if (branch) go(branch.length, branch.id);
        return;
      }
      case 'failures': {
        const [kind, number] = item.split(' ');
        const failure = view.failures[Number(number)];
        if (failure) go(kind === 'cause' ? (failure.cause?.index ?? failure.index) : failure.index);
        return;
      }
      case 'output': {
        // Commands write states as #91.
        const state = /(?:^|\s)#(\d+)\b/.exec(this.#state.output[Number(item)]?.text ?? '');
        if (state) go(Number(state[1]));
        else this.#say('the selected line names no state (#N)');
        return;
      }
      case 'breakpoints': {
        const breakpoint = view.breakpoints.find(({ number }) => String(number) === item);
        if (breakpoint) this.debugger_.enableBreakpoint(breakpoint.number, !breakpoint.enabled);
        return;
      }
    }
  }

  #helpKey(name: string): void {
    const { help } = this.#state;
    const by = { UP: -1, DOWN: 1, PAGE_UP: -10, PAGE_DOWN: 10 }[name];
    this.#set({ help: by === undefined || help === undefined ? undefined : Math.max(0, Math.min(40, help + by)) });
  }

  // The command line

  #promptKey(name: string): void {
    const { prompt } = this.#state;
    if (!prompt) return;
    if (name === 'ESCAPE' || name === 'CTRL_C' || (name === 'BACKSPACE' && prompt.text === '')) {
      this.#set({ prompt: undefined });
      return;
    }
    if (name === 'ENTER' || name === 'KP_ENTER') {
      this.#set({ prompt: undefined });
      const line = prompt.text.trim();
      if (line === '') return;
      this.#history.add(line);
      this.#type(line);
      return;
    }
    if (name === 'UP' || name === 'DOWN') {
      const text = this.#history.move(name === 'UP' ? -1 : 1, prompt.text);
      if (text !== undefined) this.#set({ prompt: { text, at: [...text].length, candidates: [] } });
      return;
    }
    if (name === 'TAB') {
      const left = [...prompt.text].slice(0, prompt.at).join('');
      this.#set({ prompt: complete(prompt, this.debugger_.complete(left)) });
      return;
    }
    const edited = edit(prompt, name);
    if (edited) this.#set({ prompt: edited });
  }

  /** A command of the line mode; what it prints goes to the output pane. */
  #type(line: string): void {
    const before = this.debugger_.position;
    this.#long(line, async (signal) => {
      const { lines, error, changed, quit } = await this.debugger_.command(line, signal);
      if (quit) {
        this.ended();
        return;
      }
      const printed: OutputLine[] = [
        { text: `:${line}`, kind: 'command' },
        ...lines.map((text): OutputLine => ({ text, kind: error ? 'error' : 'text' })),
      ];
      this.#set({ output: [...this.#state.output, ...printed].slice(-OUTPUT) });
      if (changed) this.#moved(this.debugger_.lastStop);
      const { output: _, ...selection } = this.#state.selection;
      this.#set({ selection });
      // What a verb prints is to be seen anyhow.
      const { branch, index } = this.debugger_.position;
      if (branch === before.branch && index === before.index) this.#show('output');
      if (error && lines[0] !== undefined) this.#say(lines[0], true);
    });
  }
}

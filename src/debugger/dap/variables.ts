/** Frames, scopes and variables: the parts of a view as the protocol has them. */

import { Handles } from '@vscode/debugadapter';
import type { DebugProtocol } from '@vscode/debugprotocol';
import { InputError } from '../../errors.js';
import type { Image } from '../../image/image.js';
import type { FrameView, RegisterGroup, StackWordView, View, WriterView } from '../view.js';
import type { Sources } from './sources.js';
import { threadOf } from './stops.js';

/** Registers of one scope. */
interface RegisterScope {
  readonly kind: 'registers';
  readonly groups: readonly RegisterGroup[];
}

/** What a number for variables stands for. */
type Container = { readonly processor: number } & (
  | RegisterScope
  | { readonly kind: 'flags' | 'events' | 'actions' | 'stacks' }
  | { readonly kind: 'stack'; readonly name: string }
  | { readonly kind: 'frame'; readonly id: number }
);

/** What a variable is, for those who write or watch it. */
export type Place =
  | { readonly kind: 'register'; readonly name: string; readonly processor: number }
  /** The 8 bytes at an address. */
  | { readonly kind: 'word'; readonly address: bigint };

interface Shown extends DebugProtocol.Variable {
  readonly place?: Place;
}

const SCOPES: readonly (readonly [
  name: string,
  of: RegisterScope | { kind: 'flags' | 'events' | 'actions' | 'stacks' },
])[] = [
  ['Registers', { kind: 'registers', groups: ['general', 'flags'] }],
  ['Flags', { kind: 'flags' }],
  ['Event state', { kind: 'events' }],
  ['Events that may fire here', { kind: 'actions' }],
  ['Stacks', { kind: 'stacks' }],
  ['Segments, control and debug registers', { kind: 'registers', groups: ['segment', 'control', 'table', 'debug'] }],
  ['MSRs', { kind: 'registers', groups: ['msr'] }],
];

/** Frames of one thread that have numbers of their own. */
const FRAMES = 1000;

function note(text: string | undefined, by = '  '): string {
  return text === undefined || text === '' ? '' : `${by}${text}`;
}

function writer(by: WriterView | undefined): string {
  return by === undefined ? '' : ` — ${by.owner} at ${by.boundary}${by.delivery ? ', by its delivery' : ''}`;
}

/** `viewOf`: what there is to see where the cursor stands, with the registers and stacks of a processor. */
export class Variables {
  /** Valid until the cursor moves. */
  readonly #handles = new Handles<Container>();

  constructor(
    readonly viewOf: (processor?: number) => View,
    readonly sources: Sources,
    readonly lineTo: (line: number) => number,
  ) {}

  get image(): Image {
    return this.sources.image;
  }

  /** The cursor has moved. */
  reset(): void {
    this.#handles.reset();
  }

  /** The running code first, then what each open delivery has interrupted, the outermost last. */
  frames(processor: number): DebugProtocol.StackFrame[] {
    const view = this.viewOf(processor);
    const { position } = view;
    const runs = processor === position.processor;
    const rip = BigInt(view.registers.find(({ name }) => name === 'rip')!.value);
    const running = { address: rip, boundary: this.image.name(rip), owner: runs ? position.owner : 'does not run now' };
    const interrupted = this.#deliveries(processor)
      .reverse()
      .map(({ boundary, interrupted: owner }) => ({ address: this.image.resolve(boundary), boundary, owner }));
    return [running, ...interrupted].map(({ address, boundary, owner }, depth) =>
      this.#frame(processor, depth, address, `${boundary} (${owner})`),
    );
  }

  /** Those that are open on a processor, outermost first. */
  #deliveries(processor: number): FrameView[] {
    return this.viewOf(processor)
      .deliveries.filter((delivery) => delivery.processor === processor)
      .slice(0, FRAMES - 1);
  }

  #frame(processor: number, depth: number, address: bigint | undefined, name: string): DebugProtocol.StackFrame {
    const place = address === undefined ? undefined : this.sources.place(address);
    return {
      id: threadOf(processor) * FRAMES + depth,
      name,
      line: place ? this.lineTo(place.line) : 0,
      column: 0,
      ...(place ? { source: place.source } : { presentationHint: 'subtle' }),
      ...(address === undefined ? {} : { instructionPointerReference: `0x${address.toString(16)}` }),
    };
  }

  /** Of the running code, everything; of interrupted code, what its processor keeps: the frame that gives it back. */
  scopes(frameId: number): DebugProtocol.Scope[] {
    const processor = Math.floor(frameId / FRAMES) - 1;
    const depth = frameId % FRAMES;
    const isProcessor = processor >= 0 && processor < this.viewOf().position.processors;
    const frame = isProcessor ? this.#deliveries(processor).at(-depth) : undefined;
    if (!isProcessor || (depth > 0 && frame === undefined)) {
      throw new InputError(`frame ${frameId}: there is none of this number here`);
    }
    if (depth > 0) {
      const reference = this.#handles.create({ kind: 'frame', id: frame!.id, processor });
      return [{ name: frameTitle(frame!), variablesReference: reference, expensive: false }];
    }
    return SCOPES.map(([name, of]) => ({
      name,
      variablesReference: this.#handles.create({ ...of, processor }),
      expensive: name !== 'Registers' && name !== 'Flags' && name !== 'Event state',
      ...(name === 'Registers' ? { presentationHint: 'registers' } : {}),
    }));
  }

  variables(reference: number): DebugProtocol.Variable[] {
    return this.#shown(reference).map(({ place: _place, ...variable }) => variable);
  }

  /** An InputError if there is no variable of this name, or it cannot be written or watched. */
  place(reference: number, name: string): Place {
    const place = this.#shown(reference).find((v) => v.name === name)?.place;
    if (place === undefined) throw new InputError(`${name}: is shown only, and cannot be changed or watched`);
    return place;
  }

  #shown(reference: number): Shown[] {
    const container = this.#handles.get(reference);
    if (container === undefined) throw new InputError('these variables are of an earlier stop');
    const { processor } = container;
    const view = this.viewOf(processor);
    switch (container.kind) {
      case 'registers':
        return view.registers
          .filter(({ group }) => container.groups.includes(group))
          .map(({ name, value, note: meaning, before }) => ({
            name,
            value: `${value}${note(meaning)}${before === undefined ? '' : `  (was ${before})`}`,
            variablesReference: 0,
            evaluateName: name,
            memoryReference: value,
            place: { kind: 'register', name, processor },
          }));
      case 'flags':
        return view.flags.map(({ name, set, changed }) => ({
          name,
          value: `${set ? 1 : 0}${changed ? '  (changed)' : ''}`,
          variablesReference: 0,
        }));
      case 'events':
        return view.events.map(({ name, value, changed }) => ({
          name,
          value: `${value}${changed ? '  (changed)' : ''}`,
          variablesReference: 0,
        }));
      case 'actions':
        return view.actions.map(({ event, possible, reason }) => ({
          name: event,
          value: `${possible ? 'yes' : 'no'}${note(reason, ': ')}`,
          variablesReference: 0,
        }));
      case 'stacks':
        return view.stacks.map(({ name, words, current, frames }) => ({
          name,
          value: `${current ? 'RSP, ' : ''}${words.length} words, frames: ${frames.map((f) => f.owner).join(', ') || 'none'}`,
          variablesReference: this.#handles.create({ kind: 'stack', name, processor }),
        }));
      case 'stack':
        return view.stacks.filter(({ name }) => name === container.name).flatMap(({ words }) => words.map(word));
      case 'frame':
        return view.stacks.flatMap(({ words }) => words.filter(({ frame }) => frame === container.id).map(word));
    }
  }
}

function frameTitle({ owner, stack, bottom, top }: FrameView): string {
  return `Frame that ${owner} pushed, ${stack} stack ${bottom}..${top}`;
}

/** `top-40 saved RIP`: on a stack, no two have the same name. */
function word(at: StackWordView): Shown {
  const { address, value, below, slot } = at;
  return {
    name: `top-${below}${note(slot, ' ')}${at.word === slot ? '' : note(at.word, ' ')}${at.rsp ? ' <RSP>' : ''}`,
    value: `${value}${note(at.note)}${writer(at.writer)}${at.changed ? '  (changed)' : ''}`,
    variablesReference: 0,
    evaluateName: `[${address}]`,
    memoryReference: address,
    place: { kind: 'word', address: BigInt(address) },
  };
}

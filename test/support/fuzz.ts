/**
 * Damaged files: each either opens or is refused with an InputError. No crash, no hang, no end of memory.
 *
 * Inputs are made from seeds by a generator with a number of its own, so that input n of a seed number is always the same. They
 * are opened in a thread of their own, which is ended when one input takes too long or too much memory.
 */
import { once } from 'node:events';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { InputError } from '../../src/errors.js';
import { TARGETS } from './fuzz_targets.js';
import { generator } from './random.js';

/** A number in a file: what is most worth changing. Bytes; little-endian. */
export interface Field {
  readonly offset: number;
  readonly size: 1 | 2 | 4 | 8;
}

export interface Seed {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly fields: readonly Field[];
}

export interface Target {
  readonly name: string;
  /** Files that open. */
  seeds(): readonly Seed[];
  /** Opens a file as the program does, and looks at all that is read only when it is used. */
  open(bytes: Uint8Array): void | Promise<void>;
}

export interface FuzzFailure {
  readonly input: number;
  readonly seed: string;
  /** What happened instead of an InputError. */
  readonly problem: string;
}

export interface FuzzResult {
  readonly opened: number;
  readonly refused: number;
  /** Messages of refused inputs, with their numbers and names taken out: how often each came. */
  readonly messages: ReadonlyMap<string, number>;
  /** Milliseconds of the input that took longest. */
  readonly slowest: number;
  /** MiB that the process had at most. */
  readonly memory: number;
  readonly failures: readonly FuzzFailure[];
}

/** Longer than this is a hang. Milliseconds. */
const LONGEST = 5000;
/** More than this is not bounded by the inputs, which have at most a few MiB. MiB. */
const MOST_MEMORY = 1536;
const HEAP = 768;

const INTERESTING: readonly bigint[] = [
  ...[0n, 1n, 2n, 3n, 4n, 7n, 8n, 16n, 24n, 63n, 64n, 0x7fn, 0x80n, 0xffn, 0x100n, 0x7fffn, 0x8000n, 0xff00n, 0xfff1n],
  ...[0xfff2n, 0xffffn, 0x10000n, 0x7fffffffn, 0x80000000n, 0xffffffffn, 0x100000000n, 1n << 40n, 1n << 52n],
  ...[(1n << 53n) - 1n, 1n << 53n, (1n << 63n) - 1n, 1n << 63n, (1n << 64n) - 1n, (1n << 64n) - 8n],
];

/** Input `n`: a seed with one to four changes. */
export function mutated(seeds: readonly Seed[], number: number, n: number): { seed: Seed; bytes: Uint8Array } {
  const random = generator(Math.imul(number, 0x9e3779b1) ^ Math.imul(n + 1, 0x85ebca6b));
  const below = (limit: number): number => (limit <= 0 ? 0 : random() % limit);
  const seed = seeds[below(seeds.length)]!;
  let bytes = Buffer.from(seed.bytes);
  const readField = ({ offset, size }: Field): bigint =>
    offset + size <= bytes.length
      ? BigInt(
          `0x${Buffer.from(bytes.subarray(offset, offset + size))
            .reverse()
            .toString('hex')}`,
        )
      : 0n;
  const writeField = ({ offset, size }: Field, value: bigint): void => {
    for (let i = 0; i < size && offset + i < bytes.length; i++) {
      bytes[offset + i] = Number(BigInt.asUintN(8, value >> BigInt(8 * i)));
    }
  };
  const anyField = (): Field => seed.fields[below(seed.fields.length)] ?? { offset: below(bytes.length), size: 4 };
  const changes: (() => void)[] = [
    () => writeField(anyField(), INTERESTING[below(INTERESTING.length)]!),
    () => {
      const field = anyField();
      writeField(field, readField(field) + BigInt([-8, -2, -1, 1, 2, 8][below(6)]!));
    },
    () => writeField(anyField(), BigInt(bytes.length + below(3) - 1)),
    () => writeField(anyField(), readField(anyField())),
    () => writeField(anyField(), BigInt(random())),
    () => {
      const field = anyField();
      writeField(field, readField(field) ^ (1n << BigInt(below(8 * field.size))));
    },
    () => {
      for (let i = 1 + below(4); i > 0; i--) bytes[below(bytes.length)] = below(256);
    },
    () => {
      const [from, to] = [below(bytes.length), below(bytes.length)];
      bytes.copy(bytes, to, from, from + below(256));
    },
    () => {
      const at = below(bytes.length);
      bytes.fill([0, 0xff, 0x80][below(3)]!, at, Math.min(bytes.length, at + below(64)));
    },
    () => {
      bytes = bytes.subarray(0, below(bytes.length + 1));
    },
    () => {
      const at = below(bytes.length);
      bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + below(64))]);
    },
    () => {
      const at = below(bytes.length);
      bytes = Buffer.concat([bytes.subarray(0, at), Buffer.alloc(below(64), below(256)), bytes.subarray(at)]);
    },
  ];
  // The first six are aimed: they come twice as often as the others.
  for (let i = 1 + below(4); i > 0; i--) {
    const which = below(changes.length + 6);
    changes[which < 6 ? which : which - 6]!();
  }
  return { seed, bytes };
}

/** The thread's word: the input that is open, or that the seeds are still being made. */
const CURRENT = 0;
const SEEDS = -1;

interface Order {
  readonly fuzz: true;
  readonly target: string;
  readonly number: number;
  readonly from: number;
  readonly to: number;
  readonly shared: SharedArrayBuffer;
}

interface Part {
  readonly opened: number;
  readonly refused: number;
  readonly messages: ReadonlyMap<string, number>;
  readonly slowest: number;
  readonly failures: readonly FuzzFailure[];
}

const kindOf = (message: string): string =>
  message
    .replace(/^\S+: /, '')
    .replace(/(section|symbol|relocation|segment) \S+( \(\d+\))?/g, '$1 …')
    .replace(/0x[0-9a-f]+|\d+/g, 'N');

/** In the thread: opens inputs, one after the other. */
async function work(order: Order): Promise<Part> {
  const target = TARGETS.find(({ name }) => name === order.target)!;
  const seeds = target.seeds();
  const words = new Int32Array(order.shared);
  const messages = new Map<string, number>();
  const failures: FuzzFailure[] = [];
  let opened = 0;
  let refused = 0;
  let slowest = 0;
  for (let n = order.from; n < order.to; n++) {
    Atomics.store(words, CURRENT, n);
    const { seed, bytes } = mutated(seeds, order.number, n);
    const start = performance.now();
    try {
      await target.open(bytes);
      opened++;
    } catch (error) {
      if (error instanceof InputError && !/\n|undefined|NaN|\[object/.test(error.message)) {
        refused++;
        const kind = kindOf(error.message);
        messages.set(kind, (messages.get(kind) ?? 0) + 1);
      } else {
        failures.push({
          input: n,
          seed: seed.name,
          problem: error instanceof Error ? (error.stack ?? error.message) : String(error),
        });
      }
    }
    slowest = Math.max(slowest, performance.now() - start);
  }
  return { opened, refused, messages, slowest, failures };
}

/** Opens inputs `from` up to `from + count` of a target; `number` chooses what they are. */
export async function fuzz(target: Target, number: number, count: number, from = 0): Promise<FuzzResult> {
  const messages = new Map<string, number>();
  const failures: FuzzFailure[] = [];
  const seeds = target.seeds();
  let [opened, refused, slowest, memory] = [0, 0, 0, 0];
  // What a thread has found is lost when it is ended: then the inputs before the one to blame are opened again.
  const ranges = [{ start: from, end: from + count }];
  for (let range = ranges.pop(); range; range = ranges.pop()) {
    const { start, end } = range;
    const shared = new SharedArrayBuffer(4);
    const words = new Int32Array(shared);
    Atomics.store(words, CURRENT, SEEDS);
    const order: Order = { fuzz: true, target: target.name, number, from: start, to: end, shared };
    const worker = new Worker(new URL(import.meta.url), {
      workerData: order,
      resourceLimits: { maxOldGenerationSizeMb: HEAP },
    });
    let [seen, since] = [SEEDS, performance.now()];
    let problem = '';
    const watch = setInterval(() => {
      const current = Atomics.load(words, CURRENT);
      if (current !== seen) [seen, since] = [current, performance.now()];
      const now = process.memoryUsage.rss() / 2 ** 20;
      memory = Math.max(memory, now);
      if (current !== SEEDS && performance.now() - since > LONGEST) problem = `takes longer than ${LONGEST} ms`;
      else if (now > MOST_MEMORY) problem = `takes more than ${MOST_MEMORY} MiB`;
      if (problem !== '') void worker.terminate();
    }, 100);
    const result = once(worker, 'message').then(([part]) => part as Part);
    const ended = once(worker, 'exit').then(() => undefined);
    const part = await Promise.race([result, ended]).catch((error: unknown) => {
      problem ||= error instanceof Error ? (error.stack ?? error.message) : String(error);
      return undefined;
    });
    clearInterval(watch);
    await worker.terminate();
    if (part) {
      opened += part.opened;
      refused += part.refused;
      slowest = Math.max(slowest, part.slowest);
      for (const [kind, n] of part.messages) messages.set(kind, (messages.get(kind) ?? 0) + n);
      failures.push(...part.failures);
      continue;
    }
    const input = Atomics.load(words, CURRENT);
    if (input === SEEDS) throw new Error(`the seeds of ${target.name} cannot be made: ${problem}`);
    failures.push({ input, seed: mutated(seeds, number, input).seed.name, problem });
    for (const rest of [
      { start: input + 1, end },
      { start, end: input },
    ])
      if (rest.start < rest.end) ranges.push(rest);
  }
  return { opened, refused, messages, slowest, memory, failures };
}

if (!isMainThread && (workerData as Order | null)?.fuzz) parentPort!.postMessage(await work(workerData as Order));

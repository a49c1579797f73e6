/**
 * What a round keeps for whoever wants to see all schedules and not only the shortest: the graph of states (`node`: the number of a
 * state, in the order in which they were found) with the transitions between them, those that fire an event as `forks`.
 */

/** States of a graph that is kept; of a larger search only the places and what was fired there are known. */
const MOST_STATES = 1 << 20;
const MOST_FORKS = 1 << 22;
/** Words of a fork: the state it leaves, its kind, the state it leads to, the properties it is to blame for. */
export const FORK = 4;

/** The graph as data: it goes from a search's thread to who asked for it. */
export interface ScheduleRecord {
  /** The kinds of events; bit k, and the kind of a fork, is the number of one. */
  readonly kinds: readonly string[];
  /** The properties that were checked; bit i of a fork is the number of one. */
  readonly properties: readonly string[];
  /** Each address at which a state stood. */
  readonly addresses: readonly bigint[];
  /** For each of them, bit k: an event of kind k was fired there. */
  readonly fired: Uint32Array;
  /** Undefined where the search was too large to keep it. */
  readonly graph: ScheduleGraphData | undefined;
}

export interface ScheduleGraphData {
  /** For each state the number of its address. */
  readonly place: Int32Array;
  /** For each state the one that the next instruction leads to; -1 at the end of a path. */
  readonly next: Int32Array;
  /** FORK words each. */
  readonly forks: Int32Array;
}

export class ScheduleRecorder {
  /** States so far. */
  nodes = 0;
  /** The state that was found to be known last. */
  known = -1;
  readonly #numbers = new Map<bigint, number>();
  #chain = new Int32Array(1 << 12);
  #place = new Int32Array(1 << 12);
  #next = new Int32Array(1 << 12);
  #fired = new Uint32Array(1 << 8);
  #forks = new Int32Array(FORK << 12);
  #forkCount = 0;
  #isWhole = true;

  /** A new state, of this chain; `first`: it is the one that the chain begins with. */
  enter(chain: number, address: bigint, first: boolean): void {
    const node = this.nodes++;
    this.#chain = room(this.#chain, this.nodes);
    this.#chain[node] = chain;
    const place = this.#numberOf(address);
    if (node >= MOST_STATES) this.#isWhole = false;
    if (!this.#isWhole) return;
    this.#place = room(this.#place, this.nodes);
    this.#next = room(this.#next, this.nodes);
    this.#place[node] = place;
    this.#next[node] = -1;
    if (!first) this.#next[node - 1] = node;
  }

  /** A state that is known already is reached, by the next instruction of the newest one unless it is a chain's first. Returns its chain. */
  reach(node: number, first: boolean): number {
    this.known = node;
    if (!first && this.#isWhole) this.#next[this.nodes - 1] = node;
    return this.#chain[node]!;
  }

  chainOf(node: number): number {
    return this.#chain[node]!;
  }

  /** An event of kind `kind`, fired in the state `from` at `address`, leads to `to`. `broken`: what it is to blame for. */
  fork(from: number, address: bigint, kind: number, to: number, broken: number): void {
    const place = this.#numberOf(address);
    this.#fired[place]! |= 1 << kind;
    if (this.#forkCount >= MOST_FORKS) this.#isWhole = false;
    if (!this.#isWhole) return;
    const at = FORK * this.#forkCount++;
    this.#forks = room(this.#forks, at + FORK);
    this.#forks[at] = from;
    this.#forks[at + 1] = kind;
    this.#forks[at + 2] = to;
    this.#forks[at + 3] = broken;
  }

  record(kinds: readonly string[], properties: readonly string[]): ScheduleRecord {
    const graph = {
      place: this.#place.slice(0, this.nodes),
      next: this.#next.slice(0, this.nodes),
      forks: this.#forks.slice(0, FORK * this.#forkCount),
    };
    return {
      kinds,
      properties,
      addresses: [...this.#numbers.keys()],
      fired: this.#fired.slice(0, this.#numbers.size),
      graph: this.#isWhole ? graph : undefined,
    };
  }

  #numberOf(address: bigint): number {
    let number = this.#numbers.get(address);
    if (number === undefined) {
      number = this.#numbers.size;
      this.#numbers.set(address, number);
      this.#fired = room(this.#fired, number + 1);
    }
    return number;
  }
}

/** The array itself, or a larger copy that has room for `length` elements. */
function room<T extends Int32Array | Uint32Array>(array: T, length: number): T {
  if (length <= array.length) return array;
  const grown = new (array.constructor as new (length: number) => T)(Math.max(length, 2 * array.length));
  grown.set(array);
  return grown;
}

/**
 * All schedules of a search at once: which events they have before the last one, and the shortest one through any of them. States that the
 * search has merged have the same continuations, so each walk through the graph is a path of the machine.
 */
import type { Image } from '../image/image.js';
import type { ScheduledEvent } from './result.js';
import { FORK, type ScheduleGraphData, type ScheduleRecord } from './schedule_recorder.js';

/** Schedules by their last event; `property`: only those that break it, and would not without that event. */
export interface LastEvent {
  readonly address: bigint;
  readonly event: string;
  readonly property?: string | undefined;
}

/** An event before the last one. */
export interface EarlierEvent {
  readonly address: bigint;
  readonly event: string;
}

/** An edge of the graph: a fork by its number, or the next instruction of a state (-1 - state). */
type Edge = number;

const NONE = -1;

export class ScheduleGraph {
  readonly #kinds: readonly string[];
  readonly #properties: readonly string[];
  readonly #addresses: readonly bigint[];
  readonly #numbers: ReadonlyMap<bigint, number>;
  readonly #place: Int32Array;
  readonly #next: Int32Array;
  readonly #forks: Int32Array;
  /** Instructions and events from the start to each state, the shortest way; and the edge by which it comes there. */
  readonly #distance: Int32Array;
  readonly #cameBy: Int32Array;
  /** Events fired on the way to each state: the same on every way. */
  readonly #events: Int32Array;
  readonly #forksFrom: Lists;
  readonly #forksTo: Lists;
  readonly #nextTo: Lists;

  constructor({ kinds, properties, addresses }: ScheduleRecord, graph: ScheduleGraphData) {
    this.#kinds = kinds;
    this.#properties = properties;
    this.#addresses = addresses;
    this.#numbers = new Map(addresses.map((address, number) => [address, number]));
    this.#place = graph.place;
    this.#next = graph.next;
    this.#forks = graph.forks;
    const states = graph.place.length;
    const count = graph.forks.length / FORK;
    this.#forksFrom = new Lists(states, count, (fork) => this.#from(fork));
    this.#forksTo = new Lists(states, count, (fork) => this.#to(fork));
    this.#nextTo = new Lists(states, states, (state) => this.#next[state]!);
    this.#distance = new Int32Array(states).fill(NONE);
    this.#cameBy = new Int32Array(states);
    this.#events = new Int32Array(states);
    this.#goForward();
  }

  /** The events that schedules with this last one have before it, each once. */
  earlier(last: LastEvent): EarlierEvent[] {
    const back = this.#goBack(this.#endings(last));
    const found = new Map<string, EarlierEvent>();
    for (let fork = 0; fork < this.#forks.length / FORK; fork++) {
      if (back.distance[this.#to(fork)]! < 0) continue;
      const address = this.#addressOf(this.#from(fork));
      const event = this.#kinds[this.#kind(fork)]!;
      found.set(`${event} ${address}`, { address, event });
    }
    return [...found.values()];
  }

  /** The shortest schedule with this last event, through the earlier one if one is given; undefined if there is none. */
  shortest(last: LastEvent, earlier: EarlierEvent | undefined, image: Image): ScheduledEvent[] | undefined {
    const endings = this.#endings(last);
    if (earlier === undefined) {
      const best = this.#least(endings, (fork) => [this.#events[this.#from(fork)]!, this.#distance[this.#from(fork)]!]);
      return best === undefined ? undefined : this.#schedule([...this.#wayTo(this.#from(best)), best], image);
    }
    const back = this.#goBack(endings);
    const through = this.#at(earlier).filter((fork) => back.distance[this.#to(fork)]! >= 0);
    const best = this.#least(through, (fork) => {
      const to = this.#to(fork);
      return [back.events[to]!, this.#distance[this.#from(fork)]! + 1 + back.distance[to]!];
    });
    if (best === undefined) return undefined;
    return this.#schedule([...this.#wayTo(this.#from(best)), best, ...back.wayFrom(this.#to(best))], image);
  }

  #from(fork: number): number {
    return this.#forks[FORK * fork]!;
  }

  #kind(fork: number): number {
    return this.#forks[FORK * fork + 1]!;
  }

  #to(fork: number): number {
    return this.#forks[FORK * fork + 2]!;
  }

  #addressOf(state: number): bigint {
    return this.#addresses[this.#place[state]!]!;
  }

  /** The forks that fire this event at this address. */
  #at({ address, event }: EarlierEvent): number[] {
    const place = this.#numbers.get(address);
    const kind = this.#kinds.indexOf(event);
    const found: number[] = [];
    for (let fork = 0; fork < this.#forks.length / FORK; fork++) {
      if (this.#kind(fork) === kind && this.#place[this.#from(fork)] === place) found.push(fork);
    }
    return found;
  }

  #endings(last: LastEvent): number[] {
    const { property } = last;
    const bit = property === undefined ? 0 : 1 << this.#properties.indexOf(property);
    return this.#at(last).filter((fork) => bit === 0 || (this.#forks[FORK * fork + 3]! & bit) !== 0);
  }

  /** The fork with the smallest pair of numbers: events, then instructions. */
  #least(forks: readonly number[], measure: (fork: number) => readonly [number, number]): number | undefined {
    let best: number | undefined;
    let least: readonly [number, number] = [0, 0];
    for (const fork of forks) {
      const [events, length] = measure(fork);
      if (best !== undefined && (events > least[0] || (events === least[0] && length >= least[1]))) continue;
      best = fork;
      least = [events, length];
    }
    return best;
  }

  /** Breadth first from the start. */
  #goForward(): void {
    const queue = new Int32Array(this.#place.length);
    let end = 0;
    const visit = (state: number, from: number, by: Edge, events: number): void => {
      if (this.#distance[state] !== NONE) return;
      this.#distance[state] = from === NONE ? 0 : this.#distance[from]! + 1;
      this.#cameBy[state] = by;
      this.#events[state] = events;
      queue[end++] = state;
    };
    if (this.#place.length > 0) visit(0, NONE, 0, 0);
    for (let at = 0; at < end; at++) {
      const state = queue[at]!;
      const events = this.#events[state]!;
      const next = this.#next[state]!;
      if (next !== NONE) visit(next, state, NONE - state, events);
      this.#forksFrom.each(state, (fork) => visit(this.#to(fork), state, fork, events + 1));
    }
  }

  /** Breadth first, backwards, from the states in which the last event fires; those with fewer events first. */
  #goBack(endings: readonly number[]): Back {
    const states = this.#place.length;
    const distance = new Int32Array(states).fill(NONE);
    const events = new Int32Array(states);
    const by = new Int32Array(states);
    const queue = new Int32Array(states);
    const sorted = [...endings].sort((a, b) => this.#events[this.#from(a)]! - this.#events[this.#from(b)]!);
    let end = 0;
    let at = 0;
    const visit = (state: number, length: number, count: number, edge: Edge): void => {
      if (distance[state] !== NONE) return;
      distance[state] = length;
      events[state] = count;
      by[state] = edge;
      queue[end++] = state;
    };
    for (let i = 0; i < sorted.length; ) {
      const count = this.#events[this.#from(sorted[i]!)]! + 1;
      for (; i < sorted.length && this.#events[this.#from(sorted[i]!)]! + 1 === count; i++) {
        visit(this.#from(sorted[i]!), 0, count, sorted[i]!);
      }
      for (; at < end; at++) {
        const state = queue[at]!;
        const length = distance[state]! + 1;
        this.#nextTo.each(state, (from) => visit(from, length, count, NONE - from));
        this.#forksTo.each(state, (fork) => visit(this.#from(fork), length, count, fork));
      }
    }
    const wayFrom = (state: number): Edge[] => {
      const way: Edge[] = [];
      for (let now = state; ; ) {
        const edge = by[now]!;
        way.push(edge);
        if (distance[now] === 0) return way;
        now = edge < 0 ? this.#next[NONE - edge]! : this.#to(edge);
      }
    };
    return { distance, events, wayFrom };
  }

  /** The edges of the shortest way to a state. */
  #wayTo(state: number): Edge[] {
    const way: Edge[] = [];
    for (let now = state; now !== 0; ) {
      const edge = this.#cameBy[now]!;
      way.push(edge);
      now = edge < 0 ? NONE - edge : this.#from(edge);
    }
    return way.reverse();
  }

  /** A walk from the start as a schedule, with hits counted. */
  #schedule(way: readonly Edge[], image: Image): ScheduledEvent[] {
    const hits = new Map<bigint, number>();
    const schedule: ScheduledEvent[] = [];
    for (const edge of way) {
      const address = this.#addressOf(edge < 0 ? NONE - edge : this.#from(edge));
      const hit = (hits.get(address) ?? 0) + 1;
      hits.set(address, hit);
      if (edge < 0) continue;
      schedule.push({ boundary: image.name(address), address, hit, event: this.#kinds[this.#kind(edge)]! });
    }
    return schedule;
  }
}

/** How far it is from each state to the last event (-1: it does not lead there), how many events those schedules have, and the way. */
interface Back {
  readonly distance: Int32Array;
  readonly events: Int32Array;
  readonly wayFrom: (state: number) => Edge[];
}

/** Items by a number that each of them has; -1: none. */
class Lists {
  readonly #first: Int32Array;
  readonly #items: Int32Array;

  constructor(numbers: number, items: number, numberOf: (item: number) => number) {
    this.#first = new Int32Array(numbers + 1);
    for (let i = 0; i < items; i++) if (numberOf(i) >= 0) this.#first[numberOf(i) + 1]!++;
    for (let n = 0; n < numbers; n++) this.#first[n + 1]! += this.#first[n]!;
    this.#items = new Int32Array(this.#first[numbers]!);
    const at = this.#first.slice(0, numbers);
    for (let i = 0; i < items; i++) if (numberOf(i) >= 0) this.#items[at[numberOf(i)]!++] = i;
  }

  each(number: number, visit: (item: number) => void): void {
    for (let i = this.#first[number]!; i < this.#first[number + 1]!; i++) visit(this.#items[i]!);
  }
}

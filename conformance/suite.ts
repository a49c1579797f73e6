/** Runs random programs here and on the peers, and finds what differs and is on no list. */
import fc from 'fast-check';
import { bochsMissing, runOnBochs } from './bochs.js';
import { type Difference, differences } from './compare.js';
import { DEVIATIONS, imitation, type Peer } from './deviations.js';
import { build, type Plan, plan } from './generate.js';
import { binutilsMissing, buildGuest, type Guest, type Result } from './guest.js';
import { type Change, Here, type Run, type Unfit } from './here.js';
import type { Program } from './program.js';
import { qemuMissing, runOnQemu } from './qemu.js';

export const PEERS: readonly Peer[] = ['qemu', 'bochs'];
const RUN: Readonly<Record<Peer, typeof runOnQemu>> = { qemu: runOnQemu, bochs: runOnBochs };

/** Programs that are generated, and run on a peer, at a time. */
const BATCH = 1000;
/** Milliseconds that a peer may spend on one program: some ten thousand times what it takes. */
const PATIENCE = 5000;
/** Failures that are shrunk; there may be many with one cause. */
const MOST_SHRUNK = 3;
const SHRINK_ROUNDS = 25;
/** Smaller programs that are tried in a round: fast-check gives the much smaller ones first. */
const SHRINK_CANDIDATES = 60;

export interface Options {
  /** How many programs that are fit for comparison. */
  readonly programs: number;
  readonly seed: number;
  readonly peers: readonly Peer[];
  /** Only this one of the programs that the seed gives. */
  readonly only?: number;
  /** Made to every machine here: to see that the suite finds it. */
  readonly change?: Change;
  /** Whether programs that differ are made smaller; they are by default. */
  readonly shrink?: boolean;
  /** Stop after this many failures. */
  readonly mostFailures?: number;
  readonly progress?: (done: number, failures: number) => void;
}

export interface Failure {
  readonly peer: Peer;
  /** Number of the program: with the seed it gives the program again. */
  readonly number: number;
  readonly program: Program;
  readonly run: Run;
  /** Empty when the peer came to a standstill. */
  readonly differences: readonly Difference[];
  readonly shrunk: boolean;
}

export interface FamilyCount {
  programs: number;
  /** Programs with a difference that a deviation explains, and that nothing explains. */
  deviating: number;
  differing: number;
}

export interface PeerReport {
  /** Programs that were compared, and those of them that agreed in everything. */
  compared: number;
  agreed: number;
  /** By deviation: programs that it explains, and programs that were not given to the peer because of it. */
  readonly deviations: Map<string, number>;
  readonly withheld: Map<string, number>;
  readonly families: Map<string, FamilyCount>;
}

export interface Report {
  readonly peers: ReadonlyMap<Peer, PeerReport>;
  readonly failures: readonly Failure[];
  /** Programs that were generated but not compared, by reason. */
  readonly unfit: ReadonlyMap<Unfit, number>;
  readonly programs: number;
}

/** Why a peer cannot run here; undefined if it can. */
export function peerMissing(peer: Peer): string | undefined {
  return binutilsMissing() ?? (peer === 'qemu' ? qemuMissing() : bochsMissing());
}

function count<K>(map: Map<K, number>, key: K): void {
  map.set(key, (map.get(key) ?? 0) + 1);
}

interface Case {
  readonly number: number;
  readonly plan: Plan;
  readonly program: Program;
  readonly run: Run;
}

/** What came of one program on a peer. */
type Verdict =
  | { readonly kind: 'withheld'; readonly by: readonly string[] }
  | { readonly kind: 'agreed'; readonly by: readonly string[] }
  | { readonly kind: 'differs'; readonly run: Run; readonly differences: readonly Difference[] };

class Comparison {
  readonly #like: Here;
  #hits = new Set<string>();

  constructor(
    readonly peer: Peer,
    readonly guest: Guest,
    change: Change | undefined,
  ) {
    const imitate = imitation(peer, (id) => this.#hits.add(id));
    this.#like = new Here((machine) => {
      change?.(machine);
      imitate(machine);
    });
  }

  /** The verdicts on the cases, in their order; with `once`, those after a standstill are not run. */
  async judge(cases: readonly Case[], once = false): Promise<Verdict[]> {
    const verdicts: (Verdict | undefined)[] = cases.map(({ program, run }) => this.#withheld(program, run));
    for (let rest = cases.flatMap((_, i) => (verdicts[i] ? [] : [i])); rest.length > 0; ) {
      const results = await RUN[this.peer](
        this.guest,
        rest.map((i) => cases[i]!.program),
        PATIENCE,
      );
      results.forEach((result, n) => {
        const { program, run } = cases[rest[n]!]!;
        verdicts[rest[n]!] = this.#compare(program, run, result);
      });
      const stopped = rest[results.length];
      if (stopped !== undefined) verdicts[stopped] = this.#standstill(cases[stopped]!);
      rest = rest.slice(results.length + 1);
      if (once) for (const i of rest.splice(0)) verdicts[i] = { kind: 'withheld', by: [] };
    }
    return verdicts as Verdict[];
  }

  /** Programs in which the peer would be lost, by what it does otherwise. */
  #withheld(program: Program, run: Run): Verdict | undefined {
    const lost = (one: Run): string[] =>
      DEVIATIONS.filter((d) => d.peers.includes(this.peer) && d.loses?.(one)).map(({ id }) => id);
    let by = lost(run);
    if (by.length === 0 && this.peer === 'qemu') {
      this.#hits = new Set();
      const like = this.#like.run(program);
      by = typeof like === 'string' ? [...this.#hits] : lost(like);
      if (typeof like !== 'string' && by.length === 0) return undefined;
    }
    return by.length > 0 ? { kind: 'withheld', by } : undefined;
  }

  /** The peer has not ended a program: that agrees only if, with the peer's deviations, it has no end. */
  #standstill({ program, run }: Case): Verdict {
    this.#hits = new Set();
    return typeof this.#like.run(program) === 'string'
      ? { kind: 'withheld', by: [...this.#hits] }
      : { kind: 'differs', run, differences: [] };
  }

  #compare(program: Program, run: Run, result: Result): Verdict {
    if (differences(run, result).length === 0) return { kind: 'agreed', by: [] };
    this.#hits = new Set();
    const nearest = this.#like.run(program);
    // With the peer's deviations the program comes to what cannot be compared.
    if (typeof nearest === 'string') return { kind: 'withheld', by: [...this.#hits] };
    const left = differences(nearest, result).filter((difference) => {
      const by = DEVIATIONS.find((one) => one.peers.includes(this.peer) && one.explains?.(nearest, difference));
      if (by) this.#hits.add(by.id);
      return by === undefined;
    });
    return left.length === 0
      ? { kind: 'agreed', by: [...this.#hits] }
      : { kind: 'differs', run: nearest, differences: left };
  }
}

export async function runSuite(options: Options): Promise<Report> {
  const guest = buildGuest();
  const here = new Here(options.change);
  const comparisons = options.peers.map((peer) => new Comparison(peer, guest, options.change));
  const reports = new Map(options.peers.map((peer) => [peer, emptyReport()]));
  const unfit = new Map<Unfit, number>();
  const failures: Failure[] = [];
  let done = 0;
  for (let batch = 0; done < options.programs; batch++) {
    if (failures.length >= (options.mostFailures ?? Number.POSITIVE_INFINITY)) break;
    if (options.only !== undefined && batch > Math.floor(options.only / BATCH)) break;
    if (options.only !== undefined && batch < Math.floor(options.only / BATCH)) continue;
    const cases: Case[] = [];
    plansOf(options.seed, batch).forEach((one, i) => {
      const number = batch * BATCH + i;
      if (cases.length >= options.programs - done || (options.only !== undefined && number !== options.only)) return;
      const program = build(one, i);
      const run = here.run(program);
      if (typeof run === 'string') count(unfit, run);
      else cases.push({ number, plan: one, program, run });
    });
    for (const comparison of comparisons) {
      const verdicts = await comparison.judge(cases);
      for (const [i, verdict] of verdicts.entries()) {
        const one = cases[i]!;
        record(reports.get(comparison.peer)!, one.program, verdict);
        if (verdict.kind !== 'differs') continue;
        failures.push(
          failures.length < MOST_SHRUNK && options.shrink !== false
            ? await shrink(comparison, here, one, verdict)
            : failureOf(comparison.peer, one, verdict, false),
        );
      }
    }
    done += cases.length;
    options.progress?.(done, failures.length);
  }
  return { peers: reports, failures, unfit, programs: done };
}

/** The programs of a batch; the same for the same seed, however many are run. */
function plansOf(seed: number, batch: number): Plan[] {
  return fc.sample(plan, { seed: (Math.imul(seed, 0x9e3779b1) + batch) | 0, numRuns: BATCH });
}

function emptyReport(): PeerReport {
  return { compared: 0, agreed: 0, deviations: new Map(), withheld: new Map(), families: new Map() };
}

function record(report: PeerReport, program: Program, verdict: Verdict): void {
  if (verdict.kind === 'withheld') {
    for (const id of verdict.by) count(report.withheld, id);
    return;
  }
  report.compared++;
  if (verdict.kind === 'agreed') {
    if (verdict.by.length === 0) report.agreed++;
    for (const id of verdict.by) count(report.deviations, id);
  }
  for (const name of program.families) {
    const family = report.families.get(name) ?? { programs: 0, deviating: 0, differing: 0 };
    family.programs++;
    if (verdict.kind === 'differs') family.differing++;
    else if (verdict.by.length > 0) family.deviating++;
    report.families.set(name, family);
  }
}

type Differing = Extract<Verdict, { kind: 'differs' }>;

function failureOf(peer: Peer, one: Case, verdict: Differing, shrunk: boolean): Failure {
  const { number, program } = one;
  return { peer, number, program, run: verdict.run, differences: verdict.differences, shrunk };
}

/** Looks for a smaller program that differs too: takes the first of fast-check's smaller plans that does, again and again. */
async function shrink(comparison: Comparison, here: Here, first: Case, verdict: Differing): Promise<Failure> {
  // Each program that brings the peer to a standstill costs its patience.
  if (verdict.differences.length === 0) return failureOf(comparison.peer, first, verdict, false);
  let smallest = first;
  let why = verdict;
  let context: unknown;
  for (let round = 0; round < SHRINK_ROUNDS; round++) {
    const smaller: { readonly one: Case; readonly context: unknown }[] = [];
    let slot = 0;
    for (const value of plan.shrink(smallest.plan, context)) {
      if (slot >= SHRINK_CANDIDATES) break;
      const program = build(value.value, slot++);
      const run = here.run(program);
      if (typeof run === 'string') continue;
      smaller.push({ one: { number: first.number, plan: value.value, program, run }, context: value.context });
    }
    const verdicts = await comparison.judge(
      smaller.map(({ one }) => one),
      true,
    );
    const found = verdicts.findIndex((v) => v.kind === 'differs' && v.differences.length > 0);
    if (found < 0) break;
    smallest = smaller[found]!.one;
    context = smaller[found]!.context;
    why = verdicts[found] as Differing;
  }
  return failureOf(comparison.peer, smallest, why, true);
}

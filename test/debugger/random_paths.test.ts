/**
 * 200 random paths: handlers, contexts and events at random places, in trees of branches. Forwards, backwards and by jumps, each state is
 * the one that a fresh run of the same schedule comes to: all registers of all processors, all memory, and the monitor's words.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import test from 'node:test';
import { PAGE_SIZE } from '../../src/cpu/memory.js';
import { actionsOf } from '../../src/debugger/actions.js';
import type { Debugger } from '../../src/debugger/debugger.js';
import { InputError } from '../../src/errors.js';
import { Run } from '../../src/hooks/run.js';
import { opened } from '../support/debugger.js';
import { generator } from '../support/random.js';
import { asm } from '../support/search.js';

/** Paths of each subject, all in one tree. */
const PATHS = 5;
/** Transitions that a path has at most. */
const LONGEST = 250;
/** One of so many transitions is an event, where the machine takes one. */
const RARITY = 12;

type Subject = readonly [file: string, platform: string, context: string, profile: string];

const SUBJECTS: readonly Subject[] = [
  ['linux_nmi.S', 'linux', 'kernel', 'intel'],
  ['linux_nmi.S', 'linux', 'user', 'amd'],
  ['linux_nmi.S', 'linux', 'user-rsp', 'intel'],
  ['linux_nmi.S', 'linux', 'syscall-gap', 'intel'],
  ['linux_nmi_rfc.S', 'linux', 'kernel', 'intel'],
  ['linux_nmi_rfc.S', 'linux', 'syscall', 'amd'],
  ['linux_nmi_plain.S', 'linux', 'kernel', 'intel'],
  ['linux_nmi_3_3.S', 'linux', 'kernel', 'amd'],
  ['linux_nmi_3_7.S', 'linux', 'ldtss', 'intel'],
  ['linux_nmi_atomic.S', 'linux', 'kernel', 'intel'],
  ['linux_nmi_linus.S', 'linux', 'user', 'intel'],
  ['linux_nmi_schedule.S', 'linux', 'kernel', 'intel'],
  ['linux_nmi_fred.S', 'linux', 'kernel', 'fred'],
  ['linux_debug_stack.S', 'linux', 'kernel', 'intel'],
  ['linux_do_nmi.S', 'linux', 'kernel', 'amd'],
  ['linux_mce.S', 'linux', 'user', 'intel'],
  ['linux_vc.S', 'linux', 'kernel', 'amd'],
  ['paranoid.S', 'linux', 'kernel', 'intel'],
  ['user_entries.S', 'linux', 'user', 'intel'],
  ['user_entry_pti.S', 'linux', 'user', 'intel'],
  ['iret_fault_pti.S', 'linux', 'ldtss', 'amd'],
  ['espfix.S', 'linux', 'ldtss', 'intel'],
  ['load_gs_index.S', 'linux', 'kernel', 'intel'],
  ['nmi_dr7.S', 'linux', 'kernel', 'intel'],
  ['idle_wakeup.S', 'linux', 'kernel', 'amd'],
  ['error_exit.S', 'linux', 'user', 'intel'],
  ['fred_events.S', 'linux', 'kernel', 'fred'],
  ['kvm_inject.S', 'linux', 'kvm/two_processors.S', 'intel'],
  ['kvm_inject.S', 'linux', 'kvm/sti_hlt.S', 'intel'],
  ['vmx_nmi_inject.S', 'linux', 'kvm/plain.S', 'intel'],
  ['vmx_emulate.S', 'linux', 'kvm/plain.S', 'amd'],
  ['vmx_debug.S', 'linux', 'kvm/single_step.S', 'intel'],
  ['xen_entry.S', 'xen', 'kernel', 'intel'],
  ['xen_entry.S', 'xen', 'user', 'amd'],
  ['xen_entry.S', 'xen', 'syscall-gap', 'intel'],
  ['xen_interrupt.S', 'xen', 'kernel', 'intel'],
  ['xen_tables.S', 'xen', 'user', 'intel'],
  ['xen_syscall.S', 'xen', 'user', 'intel'],
  ['xen_kexec.S', 'xen', 'kernel', 'amd'],
  ['xen_kexec_fred.S', 'xen', 'kernel', 'fred'],
];

/** Hashes states: memory page by page, each page again only when it differs. It trusts nobody's list of what has changed. */
class StateHash {
  readonly #pages: Buffer[] = [];
  readonly #copy: Uint8Array;

  constructor(readonly run: Run) {
    this.#copy = run.machine.memory.u8.slice();
    for (let at = 0; at < this.#copy.length; at += PAGE_SIZE) this.#pages.push(this.#hashed(at));
  }

  #hashed(at: number): Buffer {
    return createHash('sha1')
      .update(this.#copy.subarray(at, at + PAGE_SIZE))
      .digest();
  }

  /** Of the state in which the machine and the monitor stand. */
  now(): string {
    const { machine, monitor } = this.run;
    const { u8 } = machine.memory;
    for (let at = 0, page = 0; at < u8.length; at += PAGE_SIZE, page++) {
      const bytes = u8.subarray(at, at + PAGE_SIZE);
      if (Buffer.compare(bytes, this.#copy.subarray(at, at + PAGE_SIZE)) === 0) continue;
      this.#copy.set(bytes, at);
      this.#pages[page] = this.#hashed(at);
    }
    const hash = createHash('sha1').update(machine.u32).update(monitor.stateWords());
    for (const page of this.#pages) hash.update(page);
    return hash.digest('base64');
  }
}

/** Another branch than there was: at a random state of a random one an event is fired, or a register changed. */
function fork(debug: Debugger, below: (n: number) => number): void {
  const { branches } = debug.cursor;
  for (const before = branches.length; branches.length === before; ) {
    const from = branches[below(before)]!;
    debug.go(below(from.length), from.id);
    const possible = possibleHere(debug);
    const register = ['rdx', 'r11', 'rbp'][below(3)]!;
    if (below(10) === 0) {
      // The high half only.
      debug.writeRegister(register, debug.readRegister(register) ^ (BigInt(1 + below(1000)) << 32n));
    } else if (possible.length > 0) debug.fire(possible[below(possible.length)]!);
  }
}

function possibleHere({ run }: Debugger): string[] {
  return actionsOf(run)
    .filter(({ possible }) => possible)
    .map(({ event }) => event);
}

/** Goes on behind the end of the branch, with events at random. */
function grow(debug: Debugger, below: (n: number) => number): void {
  const { cursor } = debug;
  debug.go(cursor.branch.length);
  for (let i = 0; i < LONGEST && !cursor.branch.ending; i++) {
    try {
      const possible = below(RARITY) === 0 ? possibleHere(debug) : [];
      if (possible.length > 0) debug.fire(possible[below(possible.length)]!);
      else cursor.do(undefined);
    } catch (error) {
      // What the machine does not model; the path stays as it is.
      if (!(error instanceof InputError)) throw error;
      return;
    }
  }
}

/** What a branch does from the start on; undefined if an edit is among it. */
function scheduleOf({ cursor }: Debugger): (string | undefined)[] | undefined {
  const { branch } = cursor;
  const actions = Array.from({ length: branch.length }, (_, i) => branch.action(i, cursor.eventNames)!);
  if (actions.some((action) => action.startsWith('edit'))) return undefined;
  return actions.map((action) => (action === 'step' ? undefined : action));
}

let paths = 0;
let events = 0;
let states = 0;

for (const [number, [file, platform, context, profile]] of SUBJECTS.entries()) {
  test(`${file} in ${context} (${profile})`, async () => {
    const random = generator(1000 + number);
    const below = (n: number): number => random() % n;
    const debug = await opened(file, { platform, context: context.includes('/') ? asm(context) : context, profile });
    const hash = new StateHash(debug.run);
    const fresh = new Run(debug.subject, debug.profile, debug.options.properties);
    const beginning = fresh.machine.snapshot();
    const known = new Map<number, readonly string[]>();
    for (let path = 0; path < PATHS; path++) {
      if (path > 0) fork(debug, below);
      grow(debug, below);
      const { branch } = debug.position;
      const { length } = debug.cursor.branch;
      const what = `path ${path}, branch ${branch}`;

      debug.go(0);
      const forwards = [hash.now()];
      for (let i = 1; i <= length; i++) {
        await debug.step();
        assert.equal(debug.position.index, i);
        forwards.push(hash.now());
      }
      for (let i = length - 1; i >= 0; i--) {
        await debug.reverseStep();
        assert.equal(hash.now(), forwards[i], `${what}: state ${i}, backwards`);
      }
      known.set(branch, forwards);
      for (let jump = 0; jump < 10; jump++) {
        const [to, hashes] = [...known][below(known.size)]!;
        const index = below(hashes.length);
        debug.go(index, to);
        assert.equal(hash.now(), hashes[index], `${what}: state ${index} of branch ${to}, by a jump`);
      }
      debug.go(0, branch);

      const schedule = scheduleOf(debug);
      if (schedule) {
        fresh.machine.restore(beginning);
        const run = new Run(debug.subject, debug.profile, debug.options.properties, fresh.machine);
        const runHash = new StateHash(run);
        for (let i = 0; i <= length; i++) {
          // A loop is found by whoever follows the path, behind its last transition.
          if (i === length && debug.cursor.branch.ending?.kind === 'loop') run.monitor.failNamed('progress');
          assert.equal(runHash.now(), forwards[i], `${what}: state ${i}, in a fresh run`);
          if (i < length) run.next(schedule[i]);
        }
      }
      assert.equal(debug.cursor.branches.length, path + 1);
      paths++;
      states += length + 1;
      events += (schedule ?? []).filter((action) => action !== undefined).length;
    }
  });
}

test('that was 200 paths, and a good many events', () => {
  assert.equal(paths, 200);
  assert.ok(events > 1000, `${events} events`);
  assert.ok(states > 15_000, `${states} states`);
});

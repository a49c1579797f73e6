/** Watchpoints against the memory itself: on random paths each change of a watched word is a stop, forwards and backwards the same ones. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { InputError } from '../../src/errors.js';
import { opened } from '../support/debugger.js';
import { generator } from '../support/random.js';
import { asm } from '../support/search.js';

/** Transitions of a path, and how many words are watched: those that change most. */
const LENGTH = 150;
const WORDS = 12;

for (const [number, [file, context]] of [
  ['linux_nmi.S', 'kernel'],
  ['linux_nmi_rfc.S', 'user'],
  ['linux_nmi_3_7.S', 'kernel'],
  // Instructions that write without a memory operand: PUSHF above, VMWRITE here.
  ['kvm_inject.S', asm('kvm/two_processors.S')],
].entries()) {
  test(`${file}, path ${number}`, async () => {
    const random = generator(77 + 7 * number);
    const debug = await opened(file!, { context: context! });
    const { cursor } = debug;
    const { memory } = debug.run.machine;
    const states = [memory.u8.slice()];
    while (cursor.branch.length < LENGTH && !cursor.branch.ending) {
      try {
        if (random() % 15 === 0) debug.fire(random() % 3 === 0 ? 'bp' : 'nmi');
      } catch (error) {
        // It cannot be fired here.
        if (!(error instanceof InputError)) throw error;
      }
      if (states.length === cursor.index) states.push(memory.u8.slice());
      if (!cursor.branch.ending) cursor.do(undefined);
      states.push(memory.u8.slice());
    }
    const { length } = cursor.branch;

    const changes = new Map<bigint, number[]>();
    for (let i = 0; i < length; i++) {
      const [before, after] = [new BigUint64Array(states[i]!.buffer), new BigUint64Array(states[i + 1]!.buffer)];
      for (let word = 0; word < before.length; word++) {
        if (before[word] === after[word]) continue;
        const address = memory.addressOf(8 * word);
        if (memory.translateAddress(address) !== 8 * word) continue;
        changes.set(address, [...(changes.get(address) ?? []), i]);
      }
    }
    const most = [...changes].sort(([, a], [, b]) => b.length - a.length).slice(0, WORDS);
    assert.equal(most.length, WORDS);
    for (const [address, changed] of most) {
      const point = debug.addWatchpoint({ kind: 'write', address, length: 8 });
      const forwards = new Set<number>();
      debug.go(0);
      for (;;) {
        const { reason } = await debug.continue();
        const crossed = debug.position.index - 1;
        // A property that breaks stops first.
        if (crossed < length && (reason === 'watchpoint' || (reason === 'failure' && changed.includes(crossed))))
          forwards.add(crossed);
        if (crossed + 1 >= length || (reason !== 'watchpoint' && reason !== 'failure')) break;
      }
      const backwards = new Set<number>();
      debug.go(length);
      while ((await debug.reverseContinue()).reason === 'watchpoint') backwards.add(debug.position.index);
      debug.deleteBreakpoint(point);
      const where = `0x${address.toString(16)}`;
      for (const i of changed) assert.ok(forwards.has(i), `${where}: transition ${i} writes it`);
      assert.deepEqual([...backwards].reverse(), [...forwards], where);
    }
  });
}

/** BT, BTS, BTR and BTC with a register and memory reach any bit of a string that begins at the operand (SDM vol. 2, BT). */
import assert from 'node:assert/strict';
import * as broken from '../support/broken.js';
import { KERNEL_STACK } from '../support/machine.js';
import { rule } from '../support/rule.js';

const TOP = KERNEL_STACK - 0x400n;

for (const { text, rax, word, value } of [
  { text: 'btsq %rax, (%rsp)', rax: 64n + 5n, word: 8n, value: 1n << 5n },
  { text: 'btsq %rax, (%rsp)', rax: BigInt.asUintN(64, -1n), word: -8n, value: 1n << 63n },
  { text: 'btcq %rax, 8(%rsp)', rax: BigInt.asUintN(64, -65n), word: -8n, value: 1n << 63n },
  { text: 'btsl %eax, (%rsp)', rax: 0xffffffffn, word: -8n, value: 1n << 63n },
  { text: 'btsw %ax, (%rsp)', rax: 0x10ffffn, word: -8n, value: 1n << 63n },
]) {
  rule(
    `${text} with RAX = 0x${rax.toString(16)} sets the bit in the word at RSP${word < 0n ? word : `+${word}`}, and the journal knows of it`,
    // The engine does what the instruction says; what is broken is what the harness knows of it.
    broken.ignoringBitNumbers,
    (make) => {
      const rig = make(`start: ${text}\n nop\n`, { regs: { RSP: TOP, RAX: rax } });
      const { memory } = rig.machine;
      rig.step();
      assert.equal(rig.word(TOP + word), value);
      memory.undoTo(0);
      for (const at of [-16n, -8n, 0n, 8n]) assert.equal(rig.word(TOP + at), 0n);
    },
  );
}

rule(
  'a bit of a page that is not mapped: #PF, with the address of its word in CR2',
  broken.ignoringBitNumbers,
  (make) => {
    const rig = make('start: btq %rax, (%rsp)\n nop\n', { regs: { RSP: TOP, RAX: 8n << 40n } });
    // What the harness lets pass, the engine cannot reach.
    assert.doesNotThrow(() => rig.step());
    assert.equal(rig.delivered, 14);
    assert.equal(rig.get('CR2'), BigInt.asUintN(64, TOP + (1n << 40n)));
  },
);

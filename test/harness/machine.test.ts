import assert from 'node:assert/strict';
import * as broken from '../support/broken.js';
import { KERNEL_STACK, USER_STACK } from '../support/machine.js';
import { rule } from '../support/rule.js';

const TEXT = `.data
cell: .quad 0x1111
.text
start:
	pushq %rax
	incq cell(%rip)
	swapgs
	movl $0x2b, %eax
	movl %eax, %ds
	cli
	int3
end:
	nop
v3:
	movq $7, cell(%rip)
	iretq
v2:
	notq cell(%rip)
	iretq
`;

rule(
  'a restored snapshot is the same state: registers, memory, event state',
  [broken.restoringMemoryOnly, broken.restoringRegistersOnly],
  (make) => {
    const rig = make(TEXT).step(2).nmi().nmi();
    const snapshot = rig.machine.snapshot();
    rig.runTo('end');
    rig.machine.restore(snapshot);
    assert.deepEqual(rig.machine.u32, snapshot.registers);
    assert.equal(Buffer.compare(rig.machine.memory.u8, snapshot.memory.bytes), 0);
    assert.equal(rig.rip, rig.label('v2'));
    assert.equal(rig.machine.nmi.blocked, true);
    assert.equal(rig.machine.nmi.pending, true);
  },
);

rule(
  'next is deterministic: the same actions lead from a restored state to the same state',
  broken.withStaleEngine,
  (make) => {
    const rig = make(TEXT).step();
    const start = rig.machine.snapshot();
    const run = () => {
      for (const action of [
        'step',
        'nmi',
        'step',
        'nmi',
        'step',
        'step',
        'step',
        'bp',
        'step',
        'step',
        'step',
        'step',
      ] as const) {
        rig.machine.next(action);
      }
      return rig.machine.snapshot();
    };
    const first = run();
    rig.machine.restore(start);
    const second = run();
    assert.deepEqual(second.registers, first.registers);
    assert.equal(Buffer.compare(second.memory.bytes, first.memory.bytes), 0);
  },
);

rule('a snapshot is a copy: the machine does not change it', broken.snapshotting, (make) => {
  const rig = make(TEXT);
  const snapshot = rig.machine.snapshot();
  rig.step(2);
  assert.equal(BigInt(snapshot.registers[32]!), rig.label('start') & 0xffffffffn);
  rig.machine.restore(snapshot);
  assert.equal(rig.word(rig.label('cell')), 0x1111n);
});

rule(
  'the journal takes back each write, of instructions and of deliveries, down to any length',
  broken.forgettingWrites,
  (make) => {
    const rig = make(TEXT);
    const { memory } = rig.machine;
    const states: { length: number; bytes: Uint8Array }[] = [];
    for (const action of ['step', 'step', 'nmi', 'step', 'bp', 'step', 'step', 'nmi', 'step'] as const) {
      states.push({ length: memory.journalLength, bytes: memory.u8.slice() });
      rig.machine.next(action);
    }
    assert.ok(memory.journalLength > 15);
    for (const { length, bytes } of states.reverse()) {
      memory.undoTo(length);
      assert.equal(memory.journalLength, length);
      assert.equal(Buffer.compare(memory.u8, bytes), 0);
    }
  },
);

rule('the journal grows beyond its first size', broken.forgettingWrites, (make) => {
  const rig = make('start: rep stosq\n', {
    regs: { RCX: 6000n, RDI: 0x20000000n },
    regions: [{ name: 'much', address: 0x20000000n, size: 0x10000, perms: 1 }],
  });
  const before = rig.machine.memory.u8.slice();
  rig.step(6000);
  assert.equal(rig.machine.memory.journalLength, 6000);
  assert.equal(rig.word(0x20000000n + 8n * 5999n), rig.get('RAX'));
  rig.machine.memory.undoTo(0);
  assert.equal(Buffer.compare(rig.machine.memory.u8, before), 0);
});

rule('a delivery that fails leaves no word of its frame behind', broken.keepingFailedPushes, (make) => {
  // The frame of the NMI would cross from the user's page into the one below it, which is not mapped.
  const rig = make('start: nop\n', { regs: { RSP: USER_STACK - 0x2000n + 16n }, gates: { 14: { ist: 1 } } });
  const bottom = USER_STACK - 0x2000n;
  rig.nmi();
  assert.equal(rig.delivered, 14);
  assert.equal(rig.get('CR2'), bottom - 8n);
  assert.deepEqual([rig.word(bottom), rig.word(bottom + 8n)], [0n, 0n]);
});

rule(
  'at every boundary of running code the actions are: step, an NMI, a breakpoint',
  broken.losingBlockedNmis,
  (make) => {
    const rig = make(TEXT);
    assert.deepEqual(rig.actions(), ['step', 'nmi', 'bp']);
    assert.deepEqual(rig.nmi().actions(), ['step', 'nmi', 'bp']);
    assert.deepEqual(rig.nmi().actions(), ['step', 'bp']);
  },
);

rule('no action is without effect', broken.losingBlockedNmis, (make) => {
  const rig = make(`${TEXT}v13: hlt\n`);
  for (let i = 0; i < 20; i++) {
    const start = rig.machine.snapshot();
    for (const action of rig.actions()) {
      rig.machine.next(action);
      const { registers } = rig.machine.snapshot();
      assert.notDeepEqual(registers, start.registers, `${i}: ${action}`);
      rig.machine.restore(start);
    }
    rig.machine.next(i === 3 || i === 4 ? 'nmi' : 'step');
  }
});

rule('peek names the instruction that step executes, and changes nothing', broken.peekingAhead, (make) => {
  const rig = make(TEXT);
  for (let i = 0; i < 4; i++) {
    const before = rig.machine.snapshot().registers;
    const next = rig.machine.peek();
    assert.deepEqual(rig.machine.snapshot().registers, before);
    assert.equal(next?.address, rig.rip);
    rig.step();
    assert.equal(rig.machine.happened.instruction, next);
  }
});

rule('peek is undefined where nothing can be fetched, and step then delivers the fault', broken.withoutCr2, (make) => {
  const rig = make('start: jmp *%rbx\n', { regs: { RBX: 0x1234000n } }).step();
  assert.equal(rig.machine.peek(), undefined);
  assert.equal(rig.step().delivered, 14);
  assert.equal(rig.get('CR2'), 0x1234000n);
});

rule('the registers before a delivery are kept: those that the frame names', broken.withoutRegistersBefore, (make) => {
  const rig = make(TEXT).step().nmi();
  const before = new BigUint64Array(rig.machine.registersBefore.buffer);
  assert.equal(before[16], rig.frame().rip);
  assert.equal(before[4], KERNEL_STACK - 8n);
});

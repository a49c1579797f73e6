import assert from 'node:assert/strict';
import type { Region } from '../../src/cpu/memory.js';
import { Flag, Reg } from '../../src/cpu/registers.js';
import * as broken from '../support/broken.js';
import { KERNEL_STACK } from '../support/machine.js';
import { rule } from '../support/rule.js';

const FROM = KERNEL_STACK - 0x200n;
const TO = KERNEL_STACK - 0x100n;

rule('a repeated string instruction is one iteration a step', broken.repeatingInOneStep, (make) => {
  const rig = make('start: rep movsq\nafter: nop\n', { regs: { RCX: 3n, RSI: FROM, RDI: TO } });
  for (let i = 0n; i < 3n; i++) rig.setWord(FROM + 8n * i, 0x100n + i);
  rig.step();
  assert.deepEqual(rig.all('RIP', 'RCX', 'RSI', 'RDI'), {
    RIP: rig.label('start'),
    RCX: 2n,
    RSI: FROM + 8n,
    RDI: TO + 8n,
  });
  assert.deepEqual([rig.word(TO), rig.word(TO + 8n)], [0x100n, 0n]);
  rig.step();
  assert.deepEqual(rig.all('RIP', 'RCX'), { RIP: rig.label('start'), RCX: 1n });
  rig.step();
  assert.deepEqual(rig.all('RIP', 'RCX', 'RSI', 'RDI'), {
    RIP: rig.label('after'),
    RCX: 0n,
    RSI: FROM + 24n,
    RDI: TO + 24n,
  });
  assert.deepEqual([rig.word(TO), rig.word(TO + 8n), rig.word(TO + 16n)], [0x100n, 0x101n, 0x102n]);
});

rule(
  'with RCX = 0 a repeated string instruction accesses nothing, changes nothing and goes on',
  broken.losing(Reg.RIP),
  (make) => {
    for (const text of ['rep movsq', 'rep stosb', 'repe cmpsb', 'repne scasb', 'rep lodsl']) {
      const rig = make(`start: ${text}\nafter: nop\n`, { regs: { RCX: 0n, RSI: 0x8000000000000000n, RDI: 0x1000n } });
      const before = rig.all('RAX', 'RCX', 'RSI', 'RDI', 'RFLAGS');
      rig.step();
      assert.equal(rig.delivered, undefined, text);
      assert.equal(rig.rip, rig.label('after'), text);
      assert.deepEqual(rig.all('RAX', 'RCX', 'RSI', 'RDI', 'RFLAGS'), before);
      assert.equal(rig.machine.memory.journalLength, 0);
    }
  },
);

rule('with DF set RSI and RDI count down', broken.losing(Reg.RDI), (make) => {
  const rig = make('start: rep movsb\n', { regs: { RCX: 2n, RSI: FROM, RDI: TO, RFLAGS: 0x402n } }).step();
  assert.deepEqual(rig.all('RCX', 'RSI', 'RDI'), { RCX: 1n, RSI: FROM - 1n, RDI: TO - 1n });
});

rule('REP STOS of 2^32 iterations counts RCX in 64 bits', broken.losing(Reg.RCX), (make) => {
  const rig = make('start: rep stosq\n', { regs: { RCX: 0x100000000n, RDI: TO } }).step();
  assert.deepEqual(rig.all('RIP', 'RCX'), { RIP: rig.label('start'), RCX: 0xffffffffn });
});

rule(
  'an event between two iterations saves the address of the instruction, with RF set',
  broken.withoutRfInFrame,
  (make) => {
    const rig = make('start: rep stosq\nafter: nop\nv2: iretq\n', { regs: { RCX: 2n, RDI: TO, RAX: 7n } })
      .step()
      .nmi();
    assert.equal(rig.frame().rip, rig.label('start'));
    assert.equal(rig.frame().rflags, 0x10202n);
    assert.equal(rig.flag(Flag.RF), false);
    rig.step(2);
    assert.deepEqual(rig.all('RIP', 'RCX', 'RFLAGS'), { RIP: rig.label('after'), RCX: 0n, RFLAGS: 0x202n });
    assert.equal(rig.word(TO + 8n), 7n);
  },
);

rule('an event after the last iteration saves the next address, with RF clear', broken.withRfInEveryFrame, (make) => {
  const rig = make('start: rep stosq\nafter: nop\n', { regs: { RCX: 1n, RDI: TO } })
    .step()
    .nmi();
  assert.equal(rig.frame().rip, rig.label('after'));
  assert.equal(rig.frame().rflags, 0x202n);
});

rule('a #PF in an iteration leaves the registers of the iterations before', broken.withoutCr2, (make) => {
  const regions: readonly Region[] = [{ name: 'page', address: 0x20000000n, size: 4096, perms: 1 }];
  const rig = make('start: rep stosq\n', { regions, regs: { RCX: 3n, RDI: 0x20000ff8n } }).step(2);
  assert.equal(rig.delivered, 14);
  assert.equal(rig.get('CR2'), 0x20001000n);
  assert.deepEqual(rig.all('RCX', 'RDI'), { RCX: 2n, RDI: 0x20001000n });
  assert.equal(rig.frame(true).rip, rig.label('start'));
});

rule('REPE CMPS ends at the first difference, with the flags of the comparison', broken.losing(Reg.RFLAGS), (make) => {
  const rig = make('start: repe cmpsb\nafter: nop\n', { regs: { RCX: 8n, RSI: FROM, RDI: TO } });
  rig.setWord(FROM, 0x1122n);
  rig.setWord(TO, 0x3322n);
  rig.step();
  assert.deepEqual(rig.all('RIP', 'RCX'), { RIP: rig.label('start'), RCX: 7n });
  assert.equal(rig.flag(Flag.ZF), true);
  rig.step();
  assert.deepEqual(rig.all('RIP', 'RCX', 'RSI'), { RIP: rig.label('after'), RCX: 6n, RSI: FROM + 2n });
  assert.equal(rig.flag(Flag.ZF), false);
  assert.equal(rig.flag(Flag.CF), true);
});

rule('REPNE SCAS ends where AL is found', broken.losing(Reg.RCX), (make) => {
  const rig = make('start: repne scasb\nafter: nop\n', { regs: { RCX: 8n, RAX: 0x33n, RDI: TO } });
  rig.setWord(TO, 0x3322n);
  rig.step(2);
  assert.deepEqual(rig.all('RIP', 'RCX', 'RDI'), { RIP: rig.label('after'), RCX: 6n, RDI: TO + 2n });
});

rule('REPE SCAS that ends with RCX = 0 and ZF set goes on', broken.losing(Reg.RIP), (make) => {
  const rig = make('start: repe scasb\nafter: nop\n', { regs: { RCX: 1n, RAX: 0n, RDI: TO } }).step();
  assert.deepEqual(rig.all('RIP', 'RCX'), { RIP: rig.label('after'), RCX: 0n });
});

rule('each iteration can be taken back', broken.forgettingWrites, (make) => {
  const rig = make('start: rep stosq\n', { regs: { RCX: 4n, RDI: TO, RAX: 9n } });
  const { memory } = rig.machine;
  for (let i = 0n; i < 4n; i++) rig.setWord(TO + 8n * i, i);
  rig.step(4);
  memory.undoTo(2);
  assert.deepEqual(
    [0n, 8n, 16n, 24n].map((offset) => rig.word(TO + offset)),
    [9n, 9n, 2n, 3n],
  );
  memory.undoTo(0);
  assert.deepEqual(
    [0n, 8n, 16n, 24n].map((offset) => rig.word(TO + offset)),
    [0n, 1n, 2n, 3n],
  );
});

rule('MOVS from GS uses the base for its source alone', broken.losing(Reg.RSI), (make) => {
  const rig = make('start: gs movsq\n', { regs: { GS_BASE: FROM - 0x1000n, RSI: 0x1000n, RDI: TO } });
  rig.setWord(FROM, 0x55n);
  rig.step();
  assert.equal(rig.word(TO), 0x55n);
  assert.deepEqual(rig.all('RSI', 'RDI'), { RSI: 0x1008n, RDI: TO + 8n });
});

import assert from 'node:assert/strict';
import { Mnemonic } from 'iced-x86';
import { NotModelled } from '../../src/cpu/not_modelled.js';
import { Flag, Reg } from '../../src/cpu/registers.js';
import { EventState } from '../../src/harness/event_state.js';
import * as broken from '../support/broken.js';
import * as brokenInstr from '../support/broken_instr.js';
import { KERNEL_STACK, type Options, type Rig, TSS, USER_STACK } from '../support/machine.js';
import { type Make, rule } from '../support/rule.js';

const user = '.section .text.user,"ax"\n';
const MEMORY = KERNEL_STACK - 0x400n;
const IN = { al: '.byte 0xec', ax: '.byte 0x66, 0xed', eax: '.byte 0xed', imm: '.byte 0xe4, 0x42' } as const;
const OUT = { al: '.byte 0xee', eax: '.byte 0xef', imm: '.byte 0xe6, 0x42' } as const;
const INS = { b: '.byte 0x6c', w: '.byte 0x66, 0x6d', d: '.byte 0x6d', repB: '.byte 0xf3, 0x6c' } as const;
const OUTS = { b: '.byte 0x6e', d: '.byte 0x6f', gs: '.byte 0x65, 0x6e' } as const;

const isGp = (rig: Rig): void => {
  assert.equal(rig.delivered, 13);
  assert.equal(rig.errorCode, 0n);
  assert.equal(rig.frame(true).rip, rig.label('start'));
};

rule('IN reads all ones where there is no device, as many as it has bits', broken.losing(Reg.RAX), (make) => {
  const regs = { RAX: 0x1111222233330000n };
  assert.equal(make(`start: ${IN.al}\n`, { regs }).step().get('RAX'), 0x11112222333300ffn);
  assert.equal(make(`start: ${IN.ax}\n`, { regs }).step().get('RAX'), 0x111122223333ffffn);
  assert.equal(make(`start: ${IN.eax}\n`, { regs }).step().get('RAX'), 0xffffffffn);
  assert.equal(make(`start: ${IN.imm}\n`, { regs }).step().get('RAX'), 0x11112222333300ffn);
});

rule('OUT changes nothing but RIP', broken.skippingFaults, (make) => {
  const rig = make(`start: ${OUT.eax}\n ${OUT.imm}\n ud2\n`);
  const before = rig.all('RAX', 'RDX', 'RFLAGS', 'RSP');
  rig.step(2);
  assert.deepEqual(rig.all('RAX', 'RDX', 'RFLAGS', 'RSP'), before);
  assert.equal(rig.step().delivered, 6);
});

rule(
  'INS writes ES:RDI and moves RDI, OUTS reads RSI and moves it, both by DF',
  [broken.losing(Reg.RDI), broken.losing(Reg.RSI)],
  (make) => {
    const regs = { RDI: MEMORY + 2n, RSI: MEMORY };
    const rig = make(`start: ${INS.w}\n std\n ${INS.b}\n ${OUTS.d}\n`, { regs });
    rig.step();
    assert.equal(rig.word(MEMORY), 0xffff0000n);
    assert.equal(rig.get('RDI'), MEMORY + 4n);
    rig.step(2);
    assert.equal(rig.word(MEMORY), 0xff_ffff0000n);
    assert.equal(rig.get('RDI'), MEMORY + 3n);
    assert.equal(rig.step().get('RSI'), MEMORY - 4n);
  },
);

rule('OUTS faults where its memory does, also through a segment override', broken.withoutCr2, (make) => {
  const rig = make(`start: ${OUTS.b}\n`, { regs: { RSI: 0x12345000n } }).step();
  assert.deepEqual([rig.delivered, rig.get('CR2')], [14, 0x12345000n]);
  const overridden = make(`start: ${OUTS.gs}\n`, { regs: { RSI: 0x12345000n, GS_BASE: 0x1000n } }).step();
  assert.equal(overridden.get('CR2'), 0x12346000n);
});

rule(
  'REP INS runs one iteration in a step, with RF set in between',
  [broken.losing(Reg.RCX), broken.keepingRfForever],
  (make) => {
    const rig = make(`start: ${INS.repB}\nafter: nop\n`, { regs: { RDI: MEMORY, RCX: 3n } });
    for (const [left, rf] of [
      [2n, true],
      [1n, true],
      [0n, false],
    ] as const) {
      rig.step();
      assert.deepEqual([rig.get('RCX'), rig.flag(Flag.RF)], [left, rf]);
      assert.equal(rig.rip, rig.label(left > 0n ? 'start' : 'after'));
    }
    assert.equal(rig.word(MEMORY), 0xffffffn);
    const none = make(`start: ${INS.repB}\nafter: nop\n`, { regs: { RDI: 0n, RCX: 0n } }).step();
    assert.equal(none.rip, none.label('after'));
  },
);

/**
 * In ring 3 at port `port`, with a bitmap right behind the TSS: `bitmap` is its byte for port 0x40 and those after it.
 */
function ported(make: Make, text: string, port: bigint, bitmap: bigint, options: Options = {}): Rig {
  const regs = { RDX: port, RDI: USER_STACK - 0x100n, TR_LIMIT: 0x67n + 0x10n, ...options.regs };
  const rig = make(`${user}start: ${text}\n`, { ...options, regs });
  rig.setWord(TSS + 0x60n, 0x68n << 48n);
  rig.setWord(TSS + 0x68n, 0n);
  rig.setWord(TSS + 0x70n, bitmap);
  return rig.step();
}

rule(
  'in ring 3 with IOPL 0 the bitmap of the TSS decides, for every byte of the access',
  [brokenInstr.allowingEveryPort, brokenInstr.allowingNoPort],
  (make) => {
    assert.equal(ported(make, IN.al, 0x41n, 0xfdn).delivered, undefined);
    isGp(ported(make, IN.al, 0x41n, 0x02n));
    assert.equal(ported(make, IN.eax, 0x44n, 0x0fn).delivered, undefined);
    isGp(ported(make, IN.eax, 0x44n, 0x80n));
    // Into the next byte of the bitmap.
    isGp(ported(make, IN.ax, 0x47n, 0x100n));
    isGp(ported(make, INS.b, 0x41n, 0x02n));
    isGp(ported(make, OUT.al, 0x41n, 0x02n));
    isGp(ported(make, OUT.imm, 0n, 0x04n));
  },
);

rule('ports beyond the limit of the TSS are #GP(0)', brokenInstr.allowingEveryPort, (make) => {
  // Two bytes of the bitmap are always read.
  assert.equal(ported(make, IN.al, 0x70n, 0n).delivered, undefined);
  isGp(ported(make, IN.al, 0x78n, 0n));
  isGp(ported(make, IN.al, 0x41n, 0n, { regs: { TR_LIMIT: 0x66n } }));
});

rule('with IOPL 3, ring 3 may use every port', brokenInstr.allowingNoPort, (make) => {
  assert.equal(ported(make, IN.al, 0x41n, 0x02n, { regs: { RFLAGS: 0x3202n } }).delivered, undefined);
});

rule('C-5: an I/O breakpoint is reported after the instruction, with CR4.DE', broken.ignoring(Mnemonic.In), (make) => {
  const armed = { DR0: 0x42n, DR7: 0x20402n, CR4: 0x68n };
  const rig = make(`start: ${IN.imm}\nafter: nop\n`, { regs: armed }).step();
  assert.equal(rig.event(EventState.PENDING_B0), true);
  assert.equal(rig.step().delivered, 1);
  assert.equal(rig.frame().rip, rig.label('after'));
  assert.equal(
    make(`start: ${IN.imm}\n`, { regs: { ...armed, CR4: 0x60n } })
      .step()
      .event(EventState.PENDING_B0),
    false,
  );
});

rule('INS with a 32-bit address is refused', broken.executingAnything, (make) => {
  assert.throws(() => make('start: .byte 0x67, 0x6c\n').step(), NotModelled);
});

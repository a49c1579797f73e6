import assert from 'node:assert/strict';
import { Mnemonic } from 'iced-x86';
import { Reg } from '../../src/cpu/registers.js';
import { dataSegment, SystemType, systemDescriptor } from '../../src/harness/descriptors.js';
import * as broken from '../support/broken.js';
import * as brokenInstr from '../support/broken_instr.js';
import {
  GDT,
  IDT,
  istStack,
  KERNEL_CS,
  KERNEL_STACK,
  type Options,
  type Rig,
  SPARE,
  TASK,
  TSS,
  USER_STACK,
} from '../support/machine.js';
import { type Make, rule } from '../support/rule.js';

const user = '.section .text.user,"ax"\n';
const LDT = GDT + 0x800n;
const MEMORY = KERNEL_STACK - 0x400n;

const BYTES = {
  lgdt: '.byte 0x0f, 0x01, 0x10',
  lidt: '.byte 0x0f, 0x01, 0x18',
  sgdt: '.byte 0x0f, 0x01, 0x00',
  sidt: '.byte 0x0f, 0x01, 0x08',
  lldt: '.byte 0x0f, 0x00, 0xd0',
  ltr: '.byte 0x0f, 0x00, 0xd8',
  sldt: '.byte 0x0f, 0x00, 0xc0',
  str: '.byte 0x0f, 0x00, 0xc8',
  smsw: '.byte 0x0f, 0x01, 0xe0',
  lmsw: '.byte 0x0f, 0x01, 0xf0',
  clts: '.byte 0x0f, 0x06',
} as const;

const isFault = (rig: Rig, vector: number, code: number): void => {
  assert.equal(rig.delivered, vector);
  assert.equal(rig.errorCode, BigInt(code));
  assert.equal(rig.frame(true).rip, rig.label('start'));
};

rule(
  'LGDT and LIDT load a 16-bit limit and a 64-bit base, SGDT and SIDT store them',
  [broken.ignoring(Mnemonic.Lgdt), broken.ignoring(Mnemonic.Lidt), broken.ignoring(Mnemonic.Sgdt)],
  (make) => {
    const rig = make(`start: ${BYTES.lgdt}\n${BYTES.sidt}\n movq %rcx, %rax\n ${BYTES.lidt}\n ${BYTES.sgdt}\n`, {
      regs: { RAX: MEMORY, RCX: MEMORY + 16n },
    });
    rig.setWord(MEMORY, 0x0123456789ab_5678n);
    rig.setWord(MEMORY + 8n, -1n << 16n);
    rig.step();
    assert.deepEqual(rig.all('GDTR_BASE', 'GDTR_LIMIT'), { GDTR_BASE: 0x0000_0123456789abn, GDTR_LIMIT: 0x5678n });
    rig.step();
    assert.equal(rig.word(MEMORY), BigInt.asUintN(64, (IDT << 16n) | 0x1ffn));
    assert.equal(rig.word(MEMORY + 8n), BigInt.asUintN(64, -1n << 16n) | (IDT >> 48n));
    rig.setWord(MEMORY + 16n, 0xffn);
    rig.setWord(MEMORY + 24n, 0n);
    rig.step(2);
    assert.deepEqual(rig.all('IDTR_BASE', 'IDTR_LIMIT'), { IDTR_BASE: 0n, IDTR_LIMIT: 0xffn });
    rig.step();
    assert.equal(rig.word(MEMORY + 16n), 0x0123456789ab_5678n);
  },
);

rule('an IDT that has been loaded is used by the next event', broken.ignoring(Mnemonic.Lidt), (make) => {
  const rig = make(`start: ${BYTES.lidt}\n nop\n`, { regs: { RAX: MEMORY } });
  rig.setWord(MEMORY, 0x0fn);
  rig.setWord(MEMORY + 8n, 0n);
  rig.set({ IDTR_BASE: IDT });
  // Only vector 0 has a gate: the NMI's #GP has none, nor has #DF.
  rig.step().nmi();
  assert.equal(rig.machine.happened.shutdown, true);
});

rule(
  'LGDT and LIDT are #GP(0) in ring 3 and with a base that is not canonical',
  [broken.withoutPrivilege, broken.skippingFaults],
  (make) => {
    for (const text of [BYTES.lgdt, BYTES.lidt]) {
      isFault(make(`${user}start: ${text}\n`, { regs: { RAX: USER_STACK - 16n } }).step(), 13, 0);
      const rig = make(`start: ${text}\n`, { regs: { RAX: MEMORY } });
      rig.setWord(MEMORY + 8n, 0x1234n);
      isFault(rig.step(), 13, 0);
    }
  },
);

rule(
  'SGDT, SIDT, SLDT, STR and SMSW work in ring 3, unless CR4.UMIP is set: then they are #GP(0)',
  [brokenInstr.ignoringUmip, brokenInstr.withUmipAlways],
  (make) => {
    for (const name of ['sgdt', 'sidt', 'sldt', 'str', 'smsw'] as const) {
      const text = `${user}start: ${BYTES[name]}\n`;
      assert.equal(make(text, { regs: { RAX: USER_STACK - 16n } }).step().delivered, undefined, name);
      isFault(make(text, { regs: { RAX: USER_STACK - 16n, CR4: 0x860n } }).step(), 13, 0);
      const kernel = make(`start: ${BYTES[name]}\n`, { regs: { RAX: MEMORY, CR4: 0x860n } }).step();
      assert.equal(kernel.delivered, undefined, name);
    }
  },
);

rule('SLDT and STR zero-extend in a register and write 16 bits to memory', broken.losing(Reg.RAX), (make) => {
  const regs = { LDTR: 0x1238n, RAX: -1n, RCX: MEMORY };
  const rig = make(`start: ${BYTES.sldt}\n .byte 0x48, 0x0f, 0x00, 0xc8\n .byte 0x0f, 0x00, 0x01\n`, { regs });
  rig.setWord(MEMORY, -1n);
  assert.equal(rig.step().get('RAX'), 0x1238n);
  assert.equal(rig.step().get('RAX'), BigInt(TASK));
  rig.step();
  assert.equal(rig.word(MEMORY), 0xffffffff_ffff1238n);
  const narrow = make('start: .byte 0x66, 0x0f, 0x00, 0xc8\n', { regs: { RAX: -1n } }).step();
  assert.equal(narrow.get('RAX'), 0xffffffff_ffff0000n | BigInt(TASK));
});

const ldt = (base = LDT, limit = 0x1f): Readonly<Record<number, bigint>> => {
  const [low, high] = systemDescriptor(base, limit, SystemType.LDT);
  return { [SPARE]: low, [SPARE + 8]: high };
};

rule(
  'LLDT loads the LDT, and selectors with TI name its descriptors',
  [broken.ignoring(Mnemonic.Lldt), brokenInstr.ignoringTi],
  (make) => {
    const rig = make(`start: ${BYTES.lldt}\n movl %ecx, %ds\n movl %edx, %es\n`, {
      regs: { RAX: BigInt(SPARE), RCX: 0xcn, RDX: 0x24n },
      gdt: ldt(),
    });
    rig.setWord(LDT + 8n, dataSegment(0));
    rig.setWord(LDT + 32n, dataSegment(0));
    rig.step();
    assert.deepEqual(rig.all('LDTR', 'LDTR_BASE', 'LDTR_LIMIT'), {
      LDTR: BigInt(SPARE),
      LDTR_BASE: LDT,
      LDTR_LIMIT: 0x1fn,
    });
    assert.equal(rig.step().get('DS'), 0xcn);
    // Beyond the limit.
    assert.equal(rig.step().delivered, 13);
    assert.equal(rig.errorCode, 0x24n);
  },
);

rule('LLDT of a null selector takes the LDT away', broken.ignoring(Mnemonic.Lldt), (make) => {
  const regs = { RAX: 3n, RCX: 4n, LDTR: BigInt(SPARE), LDTR_BASE: LDT, LDTR_LIMIT: 0x1fn };
  const rig = make(`start: ${BYTES.lldt}\n movl %ecx, %ds\n`, { regs });
  rig.setWord(LDT, dataSegment(0));
  assert.equal(rig.step().get('LDTR'), 3n);
  assert.equal(rig.step().delivered, 13);
  assert.equal(rig.errorCode, 4n);
});

const tss = (base: bigint, type: number): Readonly<Record<number, bigint>> => {
  const [low, high] = systemDescriptor(base, 0x67, type);
  return { [SPARE]: low, [SPARE + 8]: high };
};

rule(
  'LTR loads the TSS and marks it busy; the next event uses it',
  [broken.ignoring(Mnemonic.Ltr), brokenInstr.withoutDescriptorWrites],
  (make) => {
    const rig = make(`start: ${BYTES.ltr}\n nop\n`, {
      regs: { RAX: BigInt(SPARE) },
      gdt: tss(TSS + 0x800n, SystemType.AVAILABLE_TSS),
      gates: { 2: { ist: 1 } },
    });
    rig.setWord(TSS + 0x824n, istStack(5));
    rig.step();
    assert.deepEqual(rig.all('TR', 'TR_BASE', 'TR_LIMIT'), {
      TR: BigInt(SPARE),
      TR_BASE: TSS + 0x800n,
      TR_LIMIT: 0x67n,
    });
    assert.equal((rig.word(GDT + BigInt(SPARE)) >> 40n) & 0xfn, BigInt(SystemType.BUSY_TSS));
    assert.equal(rig.nmi().get('RSP'), istStack(5) - 40n);
  },
);

interface Refusal {
  readonly value: number;
  readonly options?: Options;
  readonly vector?: number;
  readonly code: number;
}

const absent = ~(1n << 47n);
function with16(
  descriptors: Readonly<Record<number, bigint>>,
  low: (d: bigint) => bigint,
  high: (d: bigint) => bigint,
): Options {
  return { gdt: { [SPARE]: low(descriptors[SPARE]!), [SPARE + 8]: high(descriptors[SPARE + 8]!) } };
}
const same = (d: bigint): bigint => d;

for (const [name, mnemonic, good, otherType] of [
  ['LLDT', Mnemonic.Lldt, ldt(), tss(TSS, SystemType.AVAILABLE_TSS)],
  ['LTR', Mnemonic.Ltr, tss(TSS, SystemType.AVAILABLE_TSS), tss(TSS, SystemType.BUSY_TSS)],
] as const) {
  const refusals: Readonly<Record<string, Refusal>> = {
    'of a selector with TI is #GP(selector)': { value: SPARE | 4, options: { gdt: good }, code: SPARE | 4 },
    'beyond the limit of the GDT is #GP(selector)': { value: 0x1230, code: 0x1230 },
    'of a descriptor that crosses the limit is #GP(selector)': {
      value: SPARE,
      options: { gdt: good, regs: { GDTR_LIMIT: BigInt(SPARE + 14) } },
      code: SPARE,
    },
    'of a code segment is #GP(selector)': { value: KERNEL_CS, code: KERNEL_CS },
    'of another type is #GP(selector)': { value: SPARE, options: { gdt: otherType }, code: SPARE },
    'of a descriptor with a type in its upper half is #GP(selector)': {
      value: SPARE,
      options: with16(good, same, (d) => d | (1n << 40n)),
      code: SPARE,
    },
    'of a base that is not canonical is #GP(selector)': {
      value: SPARE,
      options: with16(good, same, () => 0x8000n),
      code: SPARE,
    },
    'of what is not present is #NP(selector)': {
      value: SPARE,
      options: with16(good, (d) => d & absent, same),
      vector: 11,
      code: SPARE,
    },
  };
  for (const [what, refusal] of Object.entries(refusals)) {
    rule(`${name} ${what}`, [broken.ignoring(mnemonic), broken.withOtherErrorCodes], (make) => {
      const rig = at(make, mnemonic, BigInt(refusal.value), refusal.options);
      isFault(rig.step(), refusal.vector ?? 13, refusal.code);
    });
  }
  rule(`${name} in ring 3 is #GP(0)`, broken.withoutPrivilege, (make) => {
    const rig = make(`${user}start: ${mnemonic === Mnemonic.Ltr ? BYTES.ltr : BYTES.lldt}\n`, {
      regs: { RAX: BigInt(SPARE) },
      gdt: good,
    });
    isFault(rig.step(), 13, 0);
  });
}

function at(make: Make, mnemonic: Mnemonic, value: bigint, options: Options = {}): Rig {
  const text = mnemonic === Mnemonic.Ltr ? BYTES.ltr : BYTES.lldt;
  return make(`start: ${text}\n`, { ...options, regs: { RAX: value, ...options.regs } });
}

rule('LTR of a null selector is #GP(0)', broken.ignoring(Mnemonic.Ltr), (make) => {
  isFault(at(make, Mnemonic.Ltr, 3n).step(), 13, 0);
});

rule('SMSW gives CR0, 16 bits of it in memory and in a 16-bit register', broken.losing(Reg.RAX), (make) => {
  assert.equal(make(`start: ${BYTES.smsw}\n`).step().get('RAX'), 0x80050033n);
  assert.equal(
    make('start: .byte 0x66, 0x0f, 0x01, 0xe0\n', { regs: { RAX: -1n } })
      .step()
      .get('RAX'),
    0xffffffff_ffff0033n,
  );
  const rig = make('start: .byte 0x0f, 0x01, 0x20\n', { regs: { RAX: MEMORY } });
  rig.setWord(MEMORY, -1n);
  rig.step();
  assert.equal(rig.word(MEMORY), 0xffffffff_ffff0033n);
});

rule('LMSW loads MP, EM and TS, and does not clear PE; CLTS clears TS', broken.ignoring(Mnemonic.Lmsw), (make) => {
  const rig = make(`start: ${BYTES.lmsw}\n ${BYTES.clts}\n`, { regs: { RAX: 0xfffcn } });
  assert.equal(rig.step().get('CR0'), 0x8005003dn);
  assert.equal(rig.step().get('CR0'), 0x80050035n);
});

rule('LMSW and CLTS in ring 3 are #GP(0)', broken.withoutPrivilege, (make) => {
  isFault(make(`${user}start: ${BYTES.lmsw}\n`).step(), 13, 0);
  isFault(make(`${user}start: ${BYTES.clts}\n`).step(), 13, 0);
});

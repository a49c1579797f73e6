import assert from 'node:assert/strict';
import test from 'node:test';
import { Perm, type Region } from '../../src/cpu/memory.js';
import { NotModelled } from '../../src/cpu/not_modelled.js';
import { Flag } from '../../src/cpu/registers.js';
import * as broken from '../support/broken.js';
import * as memory from '../support/broken_memory.js';
import { KERNEL_STACK, type Options, Rig, RSP0_STACK, USER_CS, USER_STACK } from '../support/machine.js';
import { type Make, rule } from '../support/rule.js';

const user = '.section .text.user,"ax"\n';
const READ_ONLY = 0xffff880000000000n;
const USER_READ_ONLY = 0x10000000n;
const USER_CODE = 0x20000000n;
const userCode: Region = { name: 'user code', address: USER_CODE, size: 4096, perms: Perm.EXEC | Perm.USER };
const regions: readonly Region[] = [
  userCode,
  { name: 'read-only', address: READ_ONLY, size: 4096, perms: 0 },
  { name: 'user read-only', address: USER_READ_ONLY, size: 4096, perms: Perm.USER },
];

/** One instruction with RBX as its address; asserts the #PF that it raises. */
function faults(make: Make, text: string, address: bigint, code: bigint, options: Options = {}): Rig {
  const rig = make(`${text}\n`, { regions, ...options, regs: { RBX: address, ...options.regs } });
  const before = rig.all('RAX', 'RBX', 'RCX', 'RDX', 'RSP', 'RSI', 'RDI', 'RFLAGS', 'CS', 'SS');
  rig.step();
  assert.equal(rig.delivered, 14);
  assert.equal(rig.get('CR2'), address);
  assert.equal(rig.errorCode, code);
  assert.equal(rig.frame(true).rip, rig.label('start'));
  assert.equal(rig.frame(true).rsp, before.RSP);
  assert.equal(rig.frame(true).rflags, before.RFLAGS! | BigInt(Flag.RF));
  assert.deepEqual(rig.all('RAX', 'RBX', 'RCX', 'RDX', 'RSI', 'RDI'), {
    RAX: before.RAX,
    RBX: before.RBX,
    RCX: before.RCX,
    RDX: before.RDX,
    RSI: before.RSI,
    RDI: before.RDI,
  });
  return rig;
}

rule(
  'a read where nothing is mapped is #PF(0), CR2 is the address',
  [broken.withoutCr2, broken.withPageInCr2],
  (make) => {
    faults(make, 'start: movq (%rbx), %rax', 0x1234567n, 0n);
  },
);

rule('a write where nothing is mapped is #PF(W)', [broken.withoutCr2, broken.withOtherErrorCodes], (make) => {
  faults(make, 'start: movq %rax, (%rbx)', 0xffff900000000123n, 2n);
});

rule('a read-modify-write where nothing is mapped is #PF(W)', broken.withOtherErrorCodes, (make) => {
  faults(make, 'start: incq (%rbx)', 0x1234568n, 2n);
  faults(make, 'start: xchgq %rax, (%rbx)', 0x1234568n, 2n);
  faults(make, 'start: lock cmpxchgq %rax, (%rbx)', 0x1234568n, 2n);
});

rule('a write to a read-only page is #PF(P, W) in ring 0 with CR0.WP', broken.ignoringReadOnly, (make) => {
  faults(make, 'start: movb %al, (%rbx)', READ_ONLY + 0xfffn, 3n);
});

rule('a write to a read-only page is allowed in ring 0 without CR0.WP', broken.withWriteProtectAlways, (make) => {
  const rig = make('start: movb %al, (%rbx)\n', { regions, regs: { RBX: READ_ONLY, CR0: 0x80040033n } }).step();
  assert.equal(rig.delivered, undefined);
  assert.equal(rig.word(READ_ONLY), 0xa0n);
});

rule('a write to a read-only page is #PF(P, W, U) in ring 3, CR0.WP or not', broken.ignoringReadOnly, (make) => {
  faults(make, `${user}start: movb %al, (%rbx)`, USER_READ_ONLY, 7n);
  faults(make, `${user}start: movb %al, (%rbx)`, USER_READ_ONLY, 7n, { regs: { CR0: 0x80040033n } });
});

rule(
  'a read of a supervisor page in ring 3 is #PF(P, U)',
  [broken.ignoringSupervisorPages, broken.withOtherUserBit],
  (make) => {
    faults(make, `${user}start: movq (%rbx), %rax`, KERNEL_STACK - 8n, 5n);
  },
);

rule('a write to a supervisor page in ring 3 is #PF(P, W, U)', broken.ignoringSupervisorPages, (make) => {
  faults(make, `${user}start: movq %rax, (%rbx)`, KERNEL_STACK - 8n, 7n);
});

rule('a read where nothing is mapped in ring 3 is #PF(U)', broken.withOtherUserBit, (make) => {
  faults(make, `${user}start: movq (%rbx), %rax`, 0x1000n, 4n);
});

rule(
  'a read of a user page in ring 0 is allowed without SMAP',
  [broken.skippingFaults, memory.withSmapAlways],
  (make) => {
    const rig = make('start: movq (%rbx), %rax\n movq (%rcx), %rax\n', { regs: { RBX: USER_STACK - 8n, RCX: 8n } });
    rig.setWord(USER_STACK - 8n, 0x1122334455667788n);
    assert.equal(rig.step().get('RAX'), 0x1122334455667788n);
    assert.equal(rig.step().delivered, 14);
  },
);

const CR4 = 0x60n;
const SMEP = 1n << 20n;
const SMAP = 1n << 21n;
const AC = 0x40000n;

rule('with SMAP, an access to a user page in ring 0 is #PF(P), or #PF(P, W)', memory.withoutSmap, (make) => {
  const regs = { CR4: CR4 | SMAP };
  faults(make, 'start: movq (%rbx), %rax', USER_READ_ONLY, 1n, { regs });
  faults(make, 'start: movq %rax, (%rbx)', USER_STACK - 8n, 3n, { regs });
  faults(make, 'start: incq (%rbx)', USER_STACK - 8n, 3n, { regs });
  // Microcode reads its operands by the same rule.
  faults(make, 'start: mov (%rbx), %ds', USER_STACK - 8n, 1n, { regs });
});

rule('with SMAP, RFLAGS.AC allows accesses to user pages in ring 0', memory.ignoringAc, (make) => {
  const text = 'start: movq (%rbx), %rax\n movq %rax, (%rbx)\n clac\n movq (%rbx), %rax\n';
  const regs = { CR4: CR4 | SMAP, RFLAGS: 0x202n | AC, RBX: USER_STACK - 8n };
  const rig = make(text, { regs }).step(3);
  assert.equal(rig.delivered, undefined);
  assert.equal(rig.step().delivered, 14);
});

rule('with SMAP and RFLAGS.AC, a user page that is read-only is still #PF(P, W)', broken.ignoringReadOnly, (make) => {
  faults(make, 'start: movq %rax, (%rbx)', USER_READ_ONLY, 3n, { regs: { CR4: CR4 | SMAP, RFLAGS: 0x202n | AC } });
});

rule('SMAP does not concern ring 3, nor supervisor pages', broken.skippingFaults, (make) => {
  const regs = { CR4: CR4 | SMAP, RBX: USER_STACK - 8n, RCX: 0n };
  const ring3 = make(`${user}start: movq (%rbx), %rax\n movq (%rcx), %rax\n`, { regs }).step();
  assert.equal(ring3.delivered, undefined);
  assert.equal(ring3.step().delivered, 14);
  const ring0 = make('start: movq (%rsp), %rax\n movq (%rcx), %rax\n', {
    regs: { ...regs, RSP: KERNEL_STACK - 8n },
  }).step();
  assert.equal(ring0.delivered, undefined);
  assert.equal(ring0.step().delivered, 14);
});

rule(
  'with SMAP, IRET reads its frame by the rule for ring 0, and descriptors whatever RFLAGS.AC says',
  [memory.withoutSmap, memory.withAcForImplicitAccesses],
  (make) => {
    const frame = USER_STACK - 40n;
    const options: Options = { regs: { CR4: CR4 | SMAP, RSP: frame } };
    const onUserStack = make('start: iretq\n', { ...options, gates: { 14: { ist: 1 } } }).step();
    assert.equal(onUserStack.delivered, 14);
    assert.equal(onUserStack.errorCode, 1n);
    assert.equal(onUserStack.get('CR2'), frame);
    // The GDT on a user page.
    const gdt: Region = { name: 'GDT', address: 0x1000n, size: 4096, perms: Perm.USER };
    const rig = make('start: movq %rax, %ds\n', {
      regions: [gdt],
      regs: { RAX: 0x28n, GDTR_BASE: 0x1000n, CR4: CR4 | SMAP, RFLAGS: 0x202n | AC },
      gates: { 14: { present: false }, 11: { present: false }, 8: { present: false } },
    }).step();
    assert.equal(rig.machine.happened.shutdown, true);
    assert.equal(rig.get('CR2'), 0x1028n);
  },
);

/** A jump to RBX and the fetch there. */
function jumps(make: Make, text: string, target: bigint, code: bigint, options: Options = {}): void {
  const rig = make(`${text}\n`, { regs: { RBX: target }, regions, ...options }).step();
  assert.equal(rig.delivered, undefined);
  assert.equal(rig.rip, target);
  rig.step();
  assert.equal(rig.delivered, 14);
  assert.equal(rig.get('CR2'), target);
  assert.equal(rig.errorCode, code);
  assert.equal(rig.frame(true).rip, target);
}

rule('a fetch where nothing is mapped is #PF(I) at the target of the branch', broken.withoutCr2, (make) => {
  jumps(make, 'start: jmp *%rbx', 0x1234000n, 0x10n);
  jumps(make, `${user}start: jmp *%rbx`, 0x1234000n, 0x14n);
});

rule('a fetch from a page that is not executable is #PF(P, I)', broken.ignoringExecuteDisable, (make) => {
  jumps(make, 'start: jmp *%rbx', KERNEL_STACK - 0x800n, 0x11n);
  jumps(make, `${user}start: jmp *%rbx`, USER_STACK - 0x10n, 0x15n);
});

rule('a fetch from a supervisor page in ring 3 is #PF(P, U, I)', broken.ignoringSupervisorPages, (make) => {
  jumps(make, `${user}start: jmp *%rbx`, 0xffffffff81000000n, 0x15n);
});

rule('with SMEP, a fetch from a user page in ring 0 is #PF(P, I)', memory.withoutSmep, (make) => {
  jumps(make, 'start: jmp *%rbx', USER_CODE, 0x11n, { regs: { RBX: USER_CODE, CR4: CR4 | SMEP } });
});

rule('without SMEP, ring 0 executes user code; with SMEP, ring 3 does', memory.withSmepAlways, (make) => {
  const ring0 = make('start: jmp *%rbx\n', { regions: [userCode], regs: { RBX: USER_CODE } });
  ring0.machine.memory.load(USER_CODE, Uint8Array.from([0x90, 0x90]));
  assert.equal(ring0.step(2).delivered, undefined);
  const ring3 = make(`${user}start: jmp *%rbx\n`, { regions: [userCode], regs: { RBX: USER_CODE, CR4: CR4 | SMEP } });
  ring3.machine.memory.load(USER_CODE, Uint8Array.from([0x90, 0x90]));
  assert.equal(ring3.step(2).delivered, undefined);
});

rule(
  'with SMEP, an instruction that runs from a kernel page into a user page is #PF(P, I)',
  memory.withoutSmep,
  (make) => {
    const list: readonly Region[] = [
      { name: 'kernel', address: USER_CODE - 0x1000n, size: 4096, perms: Perm.EXEC },
      userCode,
    ];
    const rig = make('start: nop\n', { regions: list, regs: { RIP: USER_CODE - 2n, CR4: CR4 | SMEP } });
    rig.machine.memory.load(USER_CODE - 2n, Uint8Array.from([0x48, 0xc7, 0xc0, 0x01, 0, 0, 0]));
    rig.step();
    assert.equal(rig.delivered, 14);
    assert.equal(rig.get('CR2'), USER_CODE);
    assert.equal(rig.errorCode, 0x11n);
  },
);

rule('the error code tells a fetch from a read with NXE or SMEP only', memory.withWrongPageFaultBit, (make) => {
  const NXE = 0xd01n;
  for (const [efer, cr4, code] of [
    [NXE, CR4, 0x10n],
    [0x501n, CR4 | SMEP, 0x10n],
    [0x501n, CR4, 0n],
  ] as const) {
    jumps(make, 'start: jmp *%rbx', 0x1234000n, code, { regs: { RBX: 0x1234000n, EFER: efer, CR4: cr4 } });
  }
});

test('a fetch from a page for data with EFER.NXE clear is refused', () => {
  const rig = new Rig('start: jmp *%rbx\n', { regs: { RBX: KERNEL_STACK - 0x800n, EFER: 0x501n } }).step();
  assert.throws(() => rig.step(), NotModelled);
});

rule('a CALL to a page that is not mapped has pushed when the fetch faults', broken.savingNextRip, (make) => {
  const rig = make('start: call *%rbx\n', { regs: { RBX: 0x1234000n } }).step(2);
  assert.equal(rig.delivered, 14);
  assert.equal(rig.frame(true).rip, 0x1234000n);
  assert.equal(rig.frame(true).rsp, KERNEL_STACK - 8n);
  assert.equal(rig.word(KERNEL_STACK - 8n), rig.label('start') + 2n);
});

rule('a RET to a page that is not mapped has popped when the fetch faults', broken.withoutCr2, (make) => {
  const rig = make('start: ret\n', { regs: { RSP: KERNEL_STACK - 8n } });
  rig.setWord(KERNEL_STACK - 8n, 0x1234000n);
  rig.step(2);
  assert.equal(rig.get('CR2'), 0x1234000n);
  assert.equal(rig.frame(true).rsp, KERNEL_STACK);
});

const CODE = 0xffffffffa0000000n;

/** Code at the end of the page at CODE, and what the page after it is. */
function atPageEnd(make: Make, bytes: readonly number[], next: number | undefined, options: Options = {}): Rig {
  const perms = Perm.EXEC | Perm.USER;
  const list: Region[] = [{ name: 'code', address: CODE, size: 4096, perms }];
  if (next !== undefined) list.push({ name: 'next', address: CODE + 0x1000n, size: 4096, perms: next });
  const rig = make(`${user}start: nop\n.text\nkernel: nop\n`, { ...options, regions: list });
  const at = CODE + 0x1000n - BigInt(bytes.length);
  rig.machine.memory.load(at, Uint8Array.from(bytes));
  return rig.set({ RIP: at });
}

const LONG_MOVE = [0x48, 0xc7, 0xc0];

rule(
  'an instruction that runs into a page that is not mapped is #PF(I), CR2 is the page',
  broken.withOtherErrorCodes,
  (make) => {
    const rig = atPageEnd(make, LONG_MOVE, undefined);
    const start = rig.machine.snapshot();
    // Twice: what has been decoded once must not be taken for something else.
    for (let i = 0; i < 2; i++) {
      rig.machine.restore(start);
      rig.step();
      assert.equal(rig.delivered, 14);
      assert.equal(rig.get('CR2'), CODE + 0x1000n);
      assert.equal(rig.errorCode, 0x14n);
      assert.equal(rig.frame(true).rip, CODE + 0xffdn);
    }
  },
);

rule('an instruction that runs into a page that is not executable is #PF(P, I)', broken.withOtherErrorCodes, (make) => {
  const rig = atPageEnd(make, LONG_MOVE, Perm.WRITE | Perm.USER).step();
  assert.equal(rig.delivered, 14);
  assert.equal(rig.errorCode, 0x15n);
  assert.equal(rig.get('CR2'), CODE + 0x1000n);
});

rule(
  'an instruction that runs into a supervisor page is #PF(P, U, I) in ring 3',
  broken.ignoringSupervisorPages,
  (make) => {
    const rig = atPageEnd(make, LONG_MOVE, Perm.EXEC).step();
    assert.equal(rig.delivered, 14);
    assert.equal(rig.errorCode, 0x15n);
    assert.equal(rig.get('CR2'), CODE + 0x1000n);
  },
);

rule('an instruction that crosses into an executable page is executed', broken.skippingFaults, (make) => {
  const rig = atPageEnd(make, LONG_MOVE, Perm.EXEC | Perm.USER);
  rig.machine.memory.load(CODE + 0x1000n, Uint8Array.from([0x44, 0x33, 0x22, 0x11, 0xf4]));
  rig.step();
  assert.equal(rig.get('RAX'), 0x11223344n);
  assert.equal(rig.rip, CODE + 0x1004n);
  assert.equal(rig.step().delivered, 13);
});

rule('an invalid encoding in the last bytes of a page is #UD, and no #PF', broken.withOtherVectors, (make) => {
  assert.equal(atPageEnd(make, [0x06], undefined).step().delivered, 6);
});

rule('the last instruction of the last page is executed', broken.losing(0), (make) => {
  const rig = atPageEnd(make, [0x48, 0xff, 0xc0], undefined).step();
  assert.equal(rig.delivered, undefined);
  assert.equal(rig.get('RAX'), 0xa0a0a0a0a0a0a0a1n);
  assert.equal(rig.rip, CODE + 0x1000n);
  assert.equal(rig.step().delivered, 14);
});

rule(
  'an access that crosses into a page that is not mapped faults there: CR2 is the start of that page',
  broken.withoutCr2,
  (make) => {
    for (const offset of [1n, 4n, 7n]) {
      const rig = make('start: movq (%rbx), %rax\n', {
        regs: { RBX: KERNEL_STACK - offset },
        gates: { 14: { ist: 1 } },
      }).step();
      assert.equal(rig.delivered, 14);
      assert.equal(rig.get('CR2'), KERNEL_STACK);
    }
  },
);

rule('a write that crosses into a page that is not mapped changes nothing', broken.skippingFaults, (make) => {
  const rig = make('start: movq %rax, (%rbx)\n', { regs: { RBX: KERNEL_STACK - 4n }, gates: { 14: { ist: 1 } } });
  rig.setWord(KERNEL_STACK - 8n, 0x1122334455667788n);
  rig.step();
  assert.equal(rig.delivered, 14);
  assert.equal(rig.word(KERNEL_STACK - 8n), 0x1122334455667788n);
});

rule(
  'an access that crosses between two mapped pages is one access',
  [broken.losing(0), broken.forgettingWrites],
  (make) => {
    // Two pages of one stack, and two regions side by side.
    const two: readonly Region[] = [
      { name: 'low', address: 0x20000000n, size: 4096, perms: Perm.WRITE },
      { name: 'high', address: 0x20001000n, size: 4096, perms: Perm.WRITE },
    ];
    for (const at of [KERNEL_STACK - 0x1003n, 0x20000ffdn]) {
      const rig = make('start: movq %rcx, (%rbx)\n movq (%rbx), %rax\n', {
        regions: two,
        regs: { RBX: at, RCX: 0x8877665544332211n },
      });
      const memory = rig.machine.memory;
      const before = [rig.word(at & ~7n), rig.word((at & ~7n) + 8n)];
      rig.step(2);
      assert.equal(rig.get('RAX'), 0x8877665544332211n);
      memory.undoTo(0);
      assert.deepEqual([rig.word(at & ~7n), rig.word((at & ~7n) + 8n)], before);
    }
  },
);

rule('a #PF from ring 3 switches to RSP0 and pushes the error code there', broken.ignoringRsp0, (make) => {
  const rig = make(`${user}start: movq (%rbx), %rax\n`, { regs: { RBX: 8n } }).step();
  assert.equal(rig.get('RSP'), RSP0_STACK - 48n);
  assert.equal(rig.frame(true).cs, BigInt(USER_CS));
});

rule('a second #PF loads CR2 again', broken.withoutCr2, (make) => {
  const rig = make('start: movq (%rbx), %rax\nv14: movq (%rcx), %rax\n', { regs: { RBX: 0x1111n, RCX: 0x2222n } }).step(
    2,
  );
  assert.equal(rig.get('CR2'), 0x2222n);
});

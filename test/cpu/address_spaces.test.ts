import assert from 'node:assert/strict';
import test from 'node:test';
import { GuestMemory, Perm, type Region } from '../../src/cpu/memory.js';
import { NotModelled } from '../../src/cpu/not_modelled.js';
import { EventState } from '../../src/harness/event_state.js';
import * as broken from '../support/broken.js';
import * as memory from '../support/broken_memory.js';
import { istStack, KERNEL_STACK, type Options, Rig } from '../support/machine.js';
import { rule } from '../support/rule.js';

const KERNEL_CR3 = 0x2000n;
const USER_CR3 = 0x3000n;
const PCIDE = 0x20060n;
const spaces = [
  { name: 'kernel', cr3: KERNEL_CR3 },
  { name: 'user', cr3: USER_CR3 },
];

const KERNEL_ONLY = 0xffff880000000000n;
const USER_ONLY = 0x10000000n;
const READ_ONLY_IN_USER = 0xffff880000010000n;
const NX_IN_KERNEL = 0x20000000n;
const KERNEL_CODE = 0xffffffffa0000000n;
const regions: readonly Region[] = [
  { name: 'kernel only', address: KERNEL_ONLY, size: 0x2000, perms: Perm.WRITE, spaces: { kernel: Perm.WRITE } },
  { name: 'user only', address: USER_ONLY, size: 0x1000, perms: 0, spaces: { user: Perm.WRITE | Perm.USER } },
  {
    ...{ name: 'two rights', address: READ_ONLY_IN_USER, size: 0x1000, perms: 0 },
    spaces: { kernel: Perm.WRITE, user: 0 },
  },
  {
    ...{ name: 'user code', address: NX_IN_KERNEL, size: 0x1000, perms: 0 },
    spaces: { kernel: Perm.USER, user: Perm.USER | Perm.EXEC },
  },
  { name: 'kernel code', address: KERNEL_CODE, size: 0x2000, perms: 0, spaces: { kernel: Perm.EXEC } },
];

function options(regs: Options['regs'], more: Options = {}): Options {
  return { regions, spaces, ...more, regs: { CR3: KERNEL_CR3, RCX: USER_CR3, ...regs } };
}

rule('CR3 selects what is mapped', memory.ignoringCr3, (make) => {
  const text = 'start: movq (%rbx), %rax\n movq %rcx, %cr3\n movq (%rbx), %rax\n';
  const rig = make(text, options({ RBX: KERNEL_ONLY }));
  rig.setWord(KERNEL_ONLY, 0x1122n);
  assert.equal(rig.step().get('RAX'), 0x1122n);
  rig.step(2);
  assert.equal(rig.delivered, 14);
  assert.equal(rig.get('CR2'), KERNEL_ONLY);
  assert.equal(rig.errorCode, 0n);
  const user = make('start: movq (%rbx), %rax\n', options({ RBX: USER_ONLY, CR3: USER_CR3 })).step();
  assert.equal(user.delivered, undefined);
});

rule('CR3 selects the rights of a page', memory.ignoringCr3, (make) => {
  const text = 'start: movq %rax, (%rbx)\n movq %rcx, %cr3\n movq (%rbx), %rdx\n movq %rax, (%rbx)\n';
  const rig = make(text, options({ RBX: READ_ONLY_IN_USER })).step(3);
  assert.equal(rig.delivered, undefined);
  assert.equal(rig.get('RDX'), rig.get('RAX'));
  rig.step();
  assert.equal(rig.delivered, 14);
  assert.equal(rig.errorCode, 3n);
});

rule('user code that is not executable in the address space is #PF(P, U, I)', memory.ignoringCr3, (make) => {
  const regs = { RIP: NX_IN_KERNEL, CS: 0x33n, SS: 0x2bn };
  for (const [cr3, vector] of [
    [KERNEL_CR3, 14],
    [USER_CR3, undefined],
  ] as const) {
    const rig = make('start: nop\n', options(regs)).set({ CR3: cr3 });
    rig.machine.memory.load(NX_IN_KERNEL, Uint8Array.from([0x90, 0x90]));
    assert.equal(rig.step().delivered, vector);
    if (vector !== undefined) assert.equal(rig.errorCode, 0x15n);
  }
});

rule('the instruction after MOV to CR3 is fetched from the new address space', memory.ignoringCr3, (make) => {
  const rig = make('start: nop\n', options({ RIP: KERNEL_CODE }));
  rig.machine.memory.load(KERNEL_CODE, Uint8Array.from([0x0f, 0x22, 0xd9, 0x90]));
  rig.step();
  assert.equal(rig.get('CR3'), USER_CR3);
  rig.step();
  assert.equal(rig.delivered, 14);
  assert.equal(rig.get('CR2'), KERNEL_CODE + 3n);
  assert.equal(rig.errorCode, 0x10n);
});

// Code at the end of a page that runs on to the next: once with both mapped, then with one.
rule('what has been fetched in one address space is checked again in another', memory.checkingFetchOnce, (make) => {
  const text = 'start: jmp *%rbx\nback: movq %rcx, %cr3\n jmp *%rbx\n';
  const rig = make(text, options({ RBX: KERNEL_CODE + 0xffdn }));
  // nop; nop; nop; jmp *%rdx in the next page
  rig.machine.memory.load(KERNEL_CODE + 0xffdn, Uint8Array.from([0x90, 0x90, 0x90, 0xff, 0xe2]));
  rig.set({ RDX: rig.label('back') });
  assert.equal(rig.runTo('back').delivered, undefined);
  rig.step(3);
  assert.equal(rig.delivered, 14);
  assert.equal(rig.get('CR2'), KERNEL_CODE + 0xffdn);
});

rule('a fetch that goes on to the next page has the rights of that page', memory.checkingFetchOnce, (make) => {
  const rig = make('start: nop\n', {
    regions: [
      { name: 'kernel', address: KERNEL_CODE, size: 0x1000, perms: Perm.EXEC | Perm.USER },
      { name: 'user', address: KERNEL_CODE + 0x1000n, size: 0x1000, perms: Perm.EXEC },
    ],
    regs: { RIP: KERNEL_CODE + 0xffen },
  });
  const code = rig.machine.memory;
  code.load(KERNEL_CODE + 0xffen, Uint8Array.from([0x90, 0x90, 0x90]));
  const start = rig.machine.snapshot();
  assert.equal(rig.step(3).delivered, undefined);
  rig.machine.restore(start);
  rig.set({ CS: 0x33n, SS: 0x2bn });
  assert.equal(rig.step(2).delivered, undefined);
  assert.equal(rig.step().delivered, 14);
  assert.equal(rig.errorCode, 0x15n);
});

rule('the PCID and bit 63 of CR3 select nothing', memory.comparingPcids, (make) => {
  const regs = { CR4: PCIDE, RCX: USER_CR3 | 0x801n | (1n << 63n), RBX: USER_ONLY };
  const rig = make('start: movq %rcx, %cr3\n movq (%rbx), %rax\n', options(regs)).step(2);
  assert.equal(rig.delivered, undefined);
  assert.equal(rig.get('CR3'), USER_CR3 | 0x801n);
});

rule('a state that is restored has its address space', memory.keepingSpaceOnRestore, (make) => {
  const text = 'start: movq (%rbx), %rax\n movq %rcx, %cr3\n';
  const rig = make(text, options({ RBX: KERNEL_ONLY }));
  const start = rig.machine.snapshot();
  rig.step(2);
  rig.machine.restore(start);
  assert.equal(rig.step().delivered, undefined);
});

rule('a delivery reads its tables and pushes its frame in the current address space', memory.ignoringCr3, (make) => {
  // The stack that the gate names is the kernel's alone.
  const gates = { 2: { ist: 1 }, 14: { ist: 2 } };
  const rig = make('start: movq %rcx, %cr3\n nop\n', options({}, { gates }));
  rig.setWord(rig.get('TR_BASE') + 0x24n, KERNEL_ONLY + 0x2000n);
  assert.equal(make('start: nop\n', options({}, { gates })).nmi().delivered, 2);
  rig.step().nmi();
  assert.equal(rig.delivered, 14);
  assert.equal(rig.get('CR2'), KERNEL_ONLY + 0x1ff8n);
  assert.equal(rig.get('RSP'), istStack(2) - 48n);
  assert.equal(rig.get('CR3'), USER_CR3);
});

rule(
  'a delivery into an address space without the handler faults at its first instruction',
  memory.ignoringCr3,
  (make) => {
    const gates = { 2: { target: KERNEL_CODE, ist: 1 } };
    const rig = make('start: nop\n', options({}, { gates })).set({ CR3: USER_CR3 }).nmi();
    assert.equal(rig.delivered, 2);
    assert.equal(rig.rip, KERNEL_CODE);
    rig.step();
    assert.equal(rig.delivered, 14);
    assert.equal(rig.errorCode, 0x10n);
    assert.equal(rig.frame(true).rip, KERNEL_CODE);
    // The latch is not touched by the fault.
    assert.equal(rig.event(EventState.NMI_BLOCKED), true);
  },
);

rule('without address spaces any CR3 will do', broken.skippingFaults, (make) => {
  const rig = make('start: movq %rcx, %cr3\n movq (%rbx), %rax\n movq (%rdx), %rax\n', {
    regs: { RCX: 0x12345000n, RBX: KERNEL_STACK - 8n, RDX: 0n },
  }).step(2);
  assert.equal(rig.delivered, undefined);
  assert.equal(rig.get('CR3'), 0x12345000n);
  assert.equal(rig.step().delivered, 14);
});

test('a CR3 that selects no address space is refused at its instruction', () => {
  const rig = new Rig('start: nop\n movq %rcx, %cr3\n', options({ RCX: 0x7000n })).step();
  assert.throws(
    () => rig.step(),
    (error) =>
      error instanceof NotModelled &&
      error.address === rig.label('start') + 1n &&
      error.what === 'loads CR3 with 0x7000, which selects no address space (kernel: 0x2000, user: 0x3000)',
  );
});

test('a page that is code in one address space cannot be written in another', () => {
  const rig = new Rig(
    'start: movb %al, (%rbx)\n',
    options(
      { RBX: KERNEL_CODE, CR0: 0x80040033n },
      {
        regions: [
          { name: 'code', address: KERNEL_CODE, size: 0x1000, perms: 0, spaces: { kernel: 0, user: Perm.EXEC } },
        ],
      },
    ),
  );
  assert.throws(() => rig.step(), NotModelled);
});

test('who watches sees memory whatever the address space', () => {
  const rig = new Rig('start: nop\n', options({ CR3: USER_CR3 }));
  const guest = rig.machine.memory;
  assert.equal(guest.space, 'user');
  rig.setWord(KERNEL_ONLY, 0x1234n);
  assert.equal(rig.word(KERNEL_ONLY), 0x1234n);
  const [high, low] = [Number(KERNEL_ONLY >> 32n), Number(KERNEL_ONLY & 0xffffffffn)];
  assert.equal(guest.translate(high, low), -1);
  assert.equal(guest.locate(high, low), guest.translateAddress(KERNEL_ONLY));
  assert.equal(guest.locate(0, 0), -1);
});

test('memory without address spaces has one', () => {
  const guest = new GuestMemory([{ name: 'page', address: 0x1000n, size: 0x1000, perms: Perm.WRITE }]);
  assert.deepEqual(
    guest.spaces.map((s) => s.name),
    ['all'],
  );
  assert.equal(guest.translate(0, 0x1008), 8);
  assert.equal(guest.perms & Perm.WRITE, Perm.WRITE);
  assert.equal(guest.locate(0, 0x2000), -1);
});

import assert from 'node:assert/strict';
import { Mnemonic } from 'iced-x86';
import { NotModelled } from '../../src/cpu/not_modelled.js';
import { Reg } from '../../src/cpu/registers.js';
import * as broken from '../support/broken.js';
import { otherwise } from '../support/broken_debug.js';
import { KERNEL_GS, type Options, type Rig, USER_GS } from '../support/machine.js';
import { type Make, rule } from '../support/rule.js';

const user = '.section .text.user,"ax"\n';
const isGp = (rig: Rig): void => {
  assert.equal(rig.delivered, 13);
  assert.equal(rig.errorCode, 0n);
  assert.equal(rig.frame(true).rip, rig.label('start'));
};

const MSRS: Readonly<Record<string, readonly [bigint, Parameters<Rig['get']>[0]]>> = {
  EFER: [0xc0000080n, 'EFER'],
  STAR: [0xc0000081n, 'STAR'],
  LSTAR: [0xc0000082n, 'LSTAR'],
  FMASK: [0xc0000084n, 'FMASK'],
  FS_BASE: [0xc0000100n, 'FS_BASE'],
  GS_BASE: [0xc0000101n, 'GS_BASE'],
  KERNEL_GS_BASE: [0xc0000102n, 'KERNEL_GS_BASE'],
  TSC_AUX: [0xc0000103n, 'TSC_AUX'],
  CSTAR: [0xc0000083n, 'CSTAR'],
  SYSENTER_CS: [0x174n, 'SYSENTER_CS'],
  SYSENTER_ESP: [0x175n, 'SYSENTER_ESP'],
  SYSENTER_EIP: [0x176n, 'SYSENTER_EIP'],
  SPEC_CTRL: [0x48n, 'SPEC_CTRL'],
  PAT: [0x277n, 'PAT'],
  MISC_ENABLE: [0x1a0n, 'MISC_ENABLE'],
};

for (const [name, [number, register]] of Object.entries(MSRS)) {
  rule(`RDMSR reads IA32_${name} into EDX:EAX and clears the upper halves`, broken.ignoring(Mnemonic.Rdmsr), (make) => {
    const rig = make('start: rdmsr\n', {
      regs: { RCX: 0xabcd00000000n | number, [register]: 0x0000123489abcdefn },
    }).step();
    assert.deepEqual(rig.all('RAX', 'RDX'), { RAX: 0x89abcdefn, RDX: 0x1234n });
  });
}

rule('WRMSR loads an MSR from EDX:EAX and ignores the upper halves', broken.ignoring(Mnemonic.Wrmsr), (make) => {
  for (const name of ['LSTAR', 'FS_BASE', 'GS_BASE', 'KERNEL_GS_BASE', 'STAR'] as const) {
    const [number, register] = MSRS[name]!;
    const rig = make('start: wrmsr\n', {
      regs: { RCX: number, RAX: 0xffffffff_76543210n, RDX: 0xffffffff_ffff8123n },
    }).step();
    assert.equal(rig.get(register), 0xffff8123_76543210n, name);
  }
});

rule('WRMSR of GS_BASE takes effect at the next access', broken.ignoring(Mnemonic.Wrmsr), (make) => {
  const rig = make('.data\nvalue: .quad 0x1122334455667788\n.text\nstart: wrmsr\n movq %gs:0, %rbx\n', {
    regs: { RCX: 0xc0000101n },
  });
  rig.set({ RAX: rig.label('value') & 0xffffffffn, RDX: rig.label('value') >> 32n });
  assert.equal(rig.step(2).get('RBX'), 0x1122334455667788n);
});

rule('WRMSR of an address that is not canonical is #GP(0)', broken.ignoring(Mnemonic.Wrmsr), (make) => {
  for (const name of ['LSTAR', 'FS_BASE', 'GS_BASE', 'KERNEL_GS_BASE'] as const) {
    isGp(make('start: wrmsr\n', { regs: { RCX: MSRS[name]![0], RAX: 0n, RDX: 0x8000n } }).step());
  }
});

rule('WRMSR of reserved bits is #GP(0)', broken.ignoring(Mnemonic.Wrmsr), (make) => {
  isGp(make('start: wrmsr\n', { regs: { RCX: MSRS.FMASK![0], RAX: 0n, RDX: 1n } }).step());
  isGp(make('start: wrmsr\n', { regs: { RCX: MSRS.TSC_AUX![0], RAX: 0n, RDX: 1n } }).step());
  isGp(make('start: wrmsr\n', { regs: { RCX: MSRS.EFER![0], RAX: 0xd03n, RDX: 0n } }).step());
});

rule(
  'WRMSR of EFER cannot change LME while paging is on, and does not change LMA',
  broken.ignoring(Mnemonic.Wrmsr),
  (make) => {
    isGp(make('start: wrmsr\n', { regs: { RCX: MSRS.EFER![0], RAX: 0xc01n, RDX: 0n } }).step());
    assert.equal(
      make('start: wrmsr\n', { regs: { RCX: MSRS.EFER![0], RAX: 0x900n, RDX: 0n } })
        .step()
        .get('EFER'),
      0xd00n,
    );
  },
);

rule('RDMSR and WRMSR in ring 3 are #GP(0)', broken.withoutPrivilege, (make) => {
  isGp(make(`${user}start: rdmsr\n`, { regs: { RCX: 0xc0000101n } }).step());
  isGp(make(`${user}start: wrmsr\n`, { regs: { RCX: 0xc0000101n, RAX: 0n, RDX: 0n } }).step());
});

rule('an MSR that the machine does not have is refused', broken.executingAnything, (make) => {
  for (const text of ['rdmsr', 'wrmsr']) {
    assert.throws(() => make(`start: ${text}\n`, { regs: { RCX: 0x10n } }).step(), NotModelled);
  }
});

const FSGSBASE = { CR4: 0x10060n };

rule(
  'RDFSBASE, RDGSBASE, WRFSBASE, WRGSBASE read and write the bases, 64 and 32 bits',
  broken.losing(Reg.RAX),
  (make) => {
    const rig = make('start: rdgsbase %rax\n rdgsbase %ecx\n wrfsbase %rdx\n wrgsbase %ebx\n', {
      regs: { ...FSGSBASE, RDX: 0x0000123456789abcn, RBX: 0xffffffff_89abcdefn },
    }).step(4);
    assert.deepEqual(rig.all('RAX', 'RCX', 'FS_BASE', 'GS_BASE'), {
      RAX: KERNEL_GS,
      RCX: KERNEL_GS & 0xffffffffn,
      FS_BASE: 0x0000123456789abcn,
      GS_BASE: 0x89abcdefn,
    });
  },
);

rule("D-4': WRGSBASE is allowed in ring 3 if CR4.FSGSBASE is set", broken.ignoring(Mnemonic.Wrgsbase), (make) => {
  const rig = make(`${user}start: wrgsbase %rax\n`, { regs: { ...FSGSBASE, RAX: 0xffff888000000000n } }).step();
  assert.equal(rig.get('GS_BASE'), 0xffff888000000000n);
});

rule("D-4': WRGSBASE and RDGSBASE are #UD if CR4.FSGSBASE is clear", broken.withFsgsbaseAlways, (make) => {
  assert.equal(make('start: wrgsbase %rax\n').step().delivered, 6);
  assert.equal(make(`${user}start: rdgsbase %rax\n`).step().delivered, 6);
});

rule('WRFSBASE of an address that is not canonical is #GP(0)', broken.ignoring(Mnemonic.Wrfsbase), (make) => {
  isGp(make('start: wrfsbase %rax\n', { regs: { ...FSGSBASE, RAX: 0x0000800000000000n } }).step());
});

rule('MOV reads and writes CR2 and CR3', broken.ignoring(Mnemonic.Mov), (make) => {
  const rig = make('start: movq %rax, %cr3\n movq %cr3, %rcx\n movq %rdx, %cr2\n movq %cr2, %rbx\n', {
    regs: { RAX: 0x12345000n, RDX: 0xfedcba9876543210n },
  }).step(4);
  assert.deepEqual(rig.all('CR3', 'RCX', 'CR2', 'RBX'), {
    CR3: 0x12345000n,
    RCX: 0x12345000n,
    CR2: 0xfedcba9876543210n,
    RBX: 0xfedcba9876543210n,
  });
});

rule('bit 63 of CR3 is not kept with PCIDs, and #GP(0) without', broken.keepingNoFlush, (make) => {
  const text = 'start: movq %rax, %cr3\n';
  assert.equal(
    make(text, { regs: { CR4: 0x20060n, RAX: 0x8000000000001001n } })
      .step()
      .get('CR3'),
    0x1001n,
  );
  isGp(make(text, { regs: { RAX: 0x8000000000001001n } }).step());
});

const write = (make: Make, control: string, value: bigint, options: Options = {}): Rig =>
  make(`start: movq %rax, %${control}\n`, { ...options, regs: { RAX: value, ...options.regs } }).step();

rule(
  'MOV to CR0 that turns paging or protection off is #GP(0), and NW without CD',
  broken.ignoring(Mnemonic.Mov),
  (make) => {
    for (const value of [0x50033n, 0x80050032n, 0xa0050033n, 0x180050033n]) isGp(write(make, 'cr0', value));
  },
);

rule('MOV to CR0 changes WP and TS; ET stays set', broken.ignoring(Mnemonic.Mov), (make) => {
  assert.equal(write(make, 'cr0', 0x80040023n).get('CR0'), 0x80040033n);
  assert.equal(write(make, 'cr0', 0x8005003bn).get('CR0'), 0x8005003bn);
});

rule('MOV to CR4 that clears PAE or sets reserved bits or LA57 is #GP(0)', broken.ignoring(Mnemonic.Mov), (make) => {
  for (const value of [0x40n, 0x8060n, 0x1060n, 0x100000060n]) isGp(write(make, 'cr4', value));
});

rule('MOV to CR4 that sets PCIDE is #GP(0) if CR3 has a PCID', broken.ignoring(Mnemonic.Mov), (make) => {
  isGp(write(make, 'cr4', 0x20060n, { regs: { CR3: 0x1001n } }));
  assert.equal(write(make, 'cr4', 0x20060n, { regs: { CR3: 0x1000n } }).get('CR4'), 0x20060n);
});

rule('MOV to CR4 changes PGE', broken.ignoring(Mnemonic.Mov), (make) => {
  assert.equal(write(make, 'cr4', 0xe0n).get('CR4'), 0xe0n);
});

rule('what CR4 cannot turn on is refused: PKE, CET, LASS', broken.executingAnything, (make) => {
  for (const bit of [22n, 23n, 27n]) assert.throws(() => write(make, 'cr4', 0x60n | (1n << bit)), NotModelled);
});

rule('MOV of a control register in ring 3 is #GP(0)', broken.withoutPrivilege, (make) => {
  isGp(make(`${user}start: movq %cr3, %rax\n`).step());
  isGp(make(`${user}start: movq %rax, %cr2\n`).step());
});

rule('MOV of a control register that does not exist is #UD', broken.skippingFaults, (make) => {
  assert.equal(make('start: .byte 0x0f, 0x20, 0xc8\n').step().delivered, 6);
  assert.equal(make('start: .byte 0x0f, 0x22, 0xe8\n').step().delivered, 6);
});

rule('INVLPG has no effect in ring 0 and is #GP(0) in ring 3', broken.withoutPrivilege, (make) => {
  const rig = make('start: invlpg (%rax)\n nop\n', { regs: { RAX: 0x1234n } }).step();
  assert.equal(rig.delivered, undefined);
  assert.equal(rig.rip, rig.label('start') + 3n);
  isGp(make(`${user}start: invlpg (%rax)\n`).step());
});

rule('a system register that is written is seen after an event', broken.losing(Reg.KERNEL_GS_BASE), (make) => {
  const rig = make('start: wrmsr\n nop\n', { regs: { RCX: 0xc0000102n, RAX: 0x5000n, RDX: 0n } }).step();
  assert.deepEqual(rig.nmi().all('KERNEL_GS_BASE'), { KERNEL_GS_BASE: 0x5000n });
  assert.notEqual(rig.get('KERNEL_GS_BASE'), USER_GS);
});

const writeMsr = (make: Make, number: bigint, value: bigint, options: Options = {}): Rig =>
  make('start: wrmsr\n', {
    ...options,
    regs: { RCX: number, RAX: value & 0xffffffffn, RDX: value >> 32n, ...options.regs },
  }).step();
const AMD: Options = { profile: { vendor: 'amd', sysenterInLongMode: false } };

rule(
  'WRMSR of IA32_SYSENTER_ESP and EIP: canonical on Intel, the lower half on AMD',
  otherwise('sysenterInLongMode'),
  (make) => {
    for (const [number, register] of [MSRS.SYSENTER_ESP!, MSRS.SYSENTER_EIP!]) {
      isGp(writeMsr(make, number, 0x800000000000n));
      assert.equal(writeMsr(make, number, 0xffff800000001234n).get(register), 0xffff800000001234n);
      assert.equal(writeMsr(make, number, 0x800012345678n, AMD).get(register), 0x12345678n);
    }
  },
);

rule('WRMSR of IA32_PAT takes memory types only', broken.ignoring(Mnemonic.Wrmsr), (make) => {
  assert.equal(writeMsr(make, 0x277n, 0x0001040506070007n).get('PAT'), 0x0001040506070007n);
  for (const type of [2n, 3n, 8n, 0x80n]) isGp(writeMsr(make, 0x277n, type << 56n));
});

rule('WRMSR of IA32_SPEC_CTRL takes the bits that the vendor has', broken.ignoring(Mnemonic.Wrmsr), (make) => {
  assert.equal(writeMsr(make, 0x48n, 0x5ffn).get('SPEC_CTRL'), 0x5ffn);
  isGp(writeMsr(make, 0x48n, 0x200n));
  assert.equal(writeMsr(make, 0x48n, 0x87n, AMD).get('SPEC_CTRL'), 0x87n);
  isGp(writeMsr(make, 0x48n, 0x8n, AMD));
});

rule(
  'IA32_PRED_CMD and IA32_FLUSH_CMD are commands: written without effect, not read',
  broken.skippingFaults,
  (make) => {
    for (const number of [0x49n, 0x10bn]) {
      assert.equal(writeMsr(make, number, 1n).delivered, undefined);
      isGp(writeMsr(make, number, 2n));
      isGp(make('start: rdmsr\n', { regs: { RCX: number } }).step());
    }
  },
);

rule("IA32_ARCH_CAPABILITIES is read-only, and Intel's", broken.skippingFaults, (make) => {
  const rig = make('start: rdmsr\n', { regs: { RCX: 0x10an } }).step();
  assert.deepEqual(rig.all('RAX', 'RDX'), { RAX: 0x2bn, RDX: 0n });
  isGp(writeMsr(make, 0x10an, 0x2bn));
  isGp(make('start: rdmsr\n', { ...AMD, regs: { RCX: 0x10an } }).step());
  isGp(make('start: rdmsr\n', { ...AMD, regs: { RCX: 0x1a0n } }).step());
});

rule(
  'WRMSR of IA32_MISC_ENABLE changes its switches and keeps what is read-only',
  broken.ignoring(Mnemonic.Wrmsr),
  (make) => {
    assert.equal(writeMsr(make, 0x1a0n, 0x51889n, { regs: { MISC_ENABLE: 0x1881n } }).get('MISC_ENABLE'), 0x51889n);
    assert.equal(writeMsr(make, 0x1a0n, 0n, { regs: { MISC_ENABLE: 0x1881n } }).get('MISC_ENABLE'), 0x1880n);
    isGp(writeMsr(make, 0x1a0n, 2n));
  },
);

rule(
  'IA32_MISC_ENABLE does not turn execute-disable off, nor EFER on AMD SVM on: refused',
  broken.executingAnything,
  (make) => {
    assert.throws(() => writeMsr(make, 0x1a0n, 1n << 34n), NotModelled);
    assert.throws(() => writeMsr(make, 0xc0000080n, 0x1d01n, AMD), NotModelled);
  },
);

rule('EFER.SVME is reserved on Intel', broken.ignoring(Mnemonic.Wrmsr), (make) => {
  isGp(writeMsr(make, 0xc0000080n, 0x1d01n));
});

rule('bits 63 to 32 of TSC_AUX are reserved on Intel and missing on AMD', broken.ignoring(Mnemonic.Wrmsr), (make) => {
  isGp(writeMsr(make, 0xc0000103n, 0x100000001n));
  assert.equal(writeMsr(make, 0xc0000103n, 0x100000005n, AMD).get('TSC_AUX'), 5n);
});

rule('an MSR that the machine does not have is #GP(0) in ring 3', broken.skippingFaults, (make) => {
  isGp(make(`${user}start: rdmsr\n`, { regs: { RCX: 0x10n } }).step());
});

rule('MOV to CR4 turns on DE, SMEP, SMAP, UMIP, FSGSBASE, TSD and MCE', broken.ignoring(Mnemonic.Mov), (make) => {
  for (const bit of [2n, 3n, 11n, 16n, 20n, 21n]) {
    const value = 0x60n | (1n << bit);
    assert.equal(write(make, 'cr4', value).get('CR4'), value);
  }
  assert.equal(write(make, 'cr4', 0x20n).get('CR4'), 0x20n);
});

rule('CR4.VMXE is reserved on AMD, and CR4.FRED where there is no FRED', broken.ignoring(Mnemonic.Mov), (make) => {
  assert.equal(write(make, 'cr4', 0x2060n).get('CR4'), 0x2060n);
  isGp(write(make, 'cr4', 0x2060n, AMD));
  isGp(write(make, 'cr4', 0x100000060n));
  assert.equal(write(make, 'cr4', 0x100000060n, { profile: { fred: true } }).get('CR4'), 0x100000060n);
});

rule('CR4.LA57 cannot be changed in either direction', broken.ignoring(Mnemonic.Mov), (make) => {
  isGp(write(make, 'cr4', 0x1060n));
  isGp(write(make, 'cr4', 0x60n, { regs: { CR4: 0x1060n } }));
  assert.equal(write(make, 'cr4', 0x10e0n, { regs: { CR4: 0x1060n } }).get('CR4'), 0x10e0n);
});

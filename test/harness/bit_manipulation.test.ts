import assert from 'node:assert/strict';
import { Mnemonic } from 'iced-x86';
import { Flag } from '../../src/cpu/registers.js';
import * as broken from '../support/broken.js';
import { rule } from '../support/rule.js';

const DEFINED = BigInt(Flag.CF | Flag.ZF | Flag.SF | Flag.OF);

interface Case {
  readonly text: string;
  readonly rbx: bigint;
  readonly rcx?: bigint;
  readonly rax: bigint;
  readonly flags: number;
}

const CASES: Readonly<Record<string, readonly [Mnemonic, readonly Case[]]>> = {
  'BLSI extracts the lowest bit; CF tells that there is one': [
    Mnemonic.Blsi,
    [
      { text: 'blsiq %rbx, %rax', rbx: 0x58n, rax: 8n, flags: Flag.CF },
      { text: 'blsil %ebx, %eax', rbx: 0x1234567880000000n, rax: 0x80000000n, flags: Flag.CF | Flag.SF },
      { text: 'blsiq %rbx, %rax', rbx: 0n, rax: 0n, flags: Flag.ZF },
    ],
  ],
  'BLSR clears the lowest bit; CF tells that there is none': [
    Mnemonic.Blsr,
    [
      { text: 'blsrq %rbx, %rax', rbx: 0x58n, rax: 0x50n, flags: 0 },
      { text: 'blsrq %rbx, %rax', rbx: 4n, rax: 0n, flags: Flag.ZF },
      { text: 'blsrq %rbx, %rax', rbx: 0n, rax: 0n, flags: Flag.ZF | Flag.CF },
    ],
  ],
  'BLSMSK sets the bits up to the lowest one; CF tells that there is none': [
    Mnemonic.Blsmsk,
    [
      { text: 'blsmskq %rbx, %rax', rbx: 0x58n, rax: 0xfn, flags: 0 },
      { text: 'blsmskl %ebx, %eax', rbx: 0n, rax: 0xffffffffn, flags: Flag.SF | Flag.CF },
    ],
  ],
  'BZHI clears the bits from an index on; CF tells that there are none': [
    Mnemonic.Bzhi,
    [
      { text: 'bzhiq %rcx, %rbx, %rax', rbx: 0xffn, rcx: 0x1103n, rax: 7n, flags: 0 },
      { text: 'bzhil %ecx, %ebx, %eax', rbx: 0xf0000000n, rcx: 32n, rax: 0xf0000000n, flags: Flag.SF | Flag.CF },
      { text: 'bzhil %ecx, %ebx, %eax', rbx: 0xf0000000n, rcx: 4n, rax: 0n, flags: Flag.ZF },
    ],
  ],
  'BEXTR extracts a field of a length from a place on': [
    Mnemonic.Bextr,
    [
      { text: 'bextrq %rcx, %rbx, %rax', rbx: 0x123456789abcdef0n, rcx: 0x0804n, rax: 0xefn, flags: 0 },
      { text: 'bextrl %ecx, %ebx, %eax', rbx: 0xfffffffff0000000n, rcx: 0xff1cn, rax: 0xfn, flags: 0 },
      { text: 'bextrl %ecx, %ebx, %eax', rbx: 0xffffffffn, rcx: 0x0820n, rax: 0n, flags: Flag.ZF },
    ],
  ],
};

for (const [what, [mnemonic, cases]] of Object.entries(CASES)) {
  rule(what, broken.ignoring(mnemonic), (make) => {
    for (const { text, rbx, rcx, rax, flags } of cases) {
      const rig = make(`start: ${text}\n`, { regs: { RBX: rbx, RCX: rcx ?? 0n, RFLAGS: 0xcd7n } }).step();
      assert.equal(rig.get('RAX'), rax, text);
      // AF and PF are undefined, BEXTR's SF too.
      const compared = mnemonic === Mnemonic.Bextr ? DEFINED & ~BigInt(Flag.SF) : DEFINED;
      assert.equal(rig.get('RFLAGS') & compared, BigInt(flags), text);
      assert.equal(rig.rip, rig.label('start') + 5n, text);
    }
  });
}

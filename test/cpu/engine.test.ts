import assert from 'node:assert/strict';
import { ENGINE_REGISTERS, Flag, REGISTER_NAMES, Reg } from '../../src/cpu/registers.js';
import { Machine, type Snapshot } from '../../src/harness/machine.js';
import * as broken from '../support/broken.js';
import { KERNEL_GS, KERNEL_STACK, type Rig } from '../support/machine.js';
import { type Make, rule } from '../support/rule.js';

const FLAGS = ['CF', 'PF', 'AF', 'ZF', 'SF', 'IF', 'DF', 'OF', 'NT', 'AC', 'VIF', 'VIP', 'ID'] as const;
for (const name of FLAGS) {
  rule(`${name} survives an instruction that does not change it`, broken.clearingFlagsInEngine, (make) => {
    for (const rflags of [2n | BigInt(Flag[name]), 2n]) {
      const rig = make('start: movq %rax, %rbx\n', { regs: { RFLAGS: rflags } }).step();
      assert.equal(rig.get('RFLAGS'), rflags);
    }
  });
}

rule('IOPL survives an instruction', broken.clearingFlagsInEngine, (make) => {
  assert.equal(
    make('start: addq %rax, %rbx\n', { regs: { RFLAGS: 0x3002n } })
      .step()
      .get('RFLAGS') & 0x3000n,
    0x3000n,
  );
});

rule('RF is cleared by an instruction that completes', broken.keepingRfForever, (make) => {
  for (const text of ['nop', 'addq %rax, %rbx', 'movq %rax, %rbx', 'pushq %rax', 'jmp 1f\n1:']) {
    const rig = make(`start: ${text}\n nop\n`, { regs: { RFLAGS: 0x10002n } }).step();
    assert.equal(rig.flag(Flag.RF), false, text);
  }
});

rule('RF stays in the frame of an instruction that faults', broken.withoutRfInFrame, (make) => {
  const rig = make('start: movq (%rbx), %rax\n', { regs: { RFLAGS: 0x10002n, RBX: 8n } }).step();
  assert.equal(rig.frame(true).rflags, 0x10002n);
});

rule('TF is withheld from the engine: it raises nothing there and is not lost', broken.losingTf, (make) => {
  const rig = make('start: nop\n addq %rax, %rbx\n', { regs: { RFLAGS: 0x102n, RAX: 1n, RBX: 1n } });
  for (let i = 0; i < 2; i++) rig.machine.cpu.execute(rig.machine.cpu.fetch(undefined)!);
  assert.equal(rig.get('RFLAGS'), 0x102n);
  assert.equal(rig.get('RBX'), 2n);
});

rule('each general register gets to the engine and back', broken.losing(Reg.R9), (make) => {
  const names = [
    'RAX',
    'RCX',
    'RDX',
    'RBX',
    'RSP',
    'RBP',
    'RSI',
    'RDI',
    'R8',
    'R9',
    'R10',
    'R11',
    'R12',
    'R13',
    'R14',
    'R15',
  ] as const;
  const text = names.map((name) => ` notq %${name.toLowerCase()}\n`).join('');
  const rig = make(`start:\n${text}`);
  rig.set(Object.fromEntries(names.map((name, i) => [name, BigInt(i) * 0x1111111111111111n])));
  rig.step(names.length);
  names.forEach((name, i) => {
    assert.equal(rig.get(name), BigInt.asUintN(64, ~(BigInt(i) * 0x1111111111111111n)), name);
  });
});

rule(
  'a register that is set between two steps is what the next one computes with',
  broken.withStaleRegisters,
  (make) => {
    const rig = make('start: incq %rax\n incq %rax\n').step();
    rig.machine.cpu.regs.u64[Reg.RAX] = 0x500n;
    rig.machine.replacedGeneral();
    assert.equal(rig.step().get('RAX'), 0x501n);
  },
);

rule('a base of FS or GS that changes is what the next access uses', broken.withStaleBases, (make) => {
  const rig = make('start: movq %fs:0, %rax\n movq %gs:0, %rbx\n movq %gs:0, %rcx\n', {
    regs: { FS_BASE: KERNEL_STACK - 8n, GS_BASE: KERNEL_STACK - 16n },
  });
  rig.setWord(KERNEL_STACK - 8n, 0x11n);
  rig.setWord(KERNEL_STACK - 16n, 0x22n);
  rig.step(2);
  rig.machine.cpu.regs.u64[Reg.GS_BASE] = KERNEL_STACK - 8n;
  rig.machine.changed();
  rig.step();
  assert.deepEqual(rig.all('RAX', 'RBX', 'RCX'), { RAX: 0x11n, RBX: 0x22n, RCX: 0x11n });
  assert.notEqual(rig.get('GS_BASE'), KERNEL_GS);
});

/** Instructions of many kinds; RBX and RSI point at memory, RDI at other memory. */
const MANY = [
  ...[
    'addq %rcx, %rax',
    'adcl %ecx, %eax',
    'subb %cl, %al',
    'sbbw %cx, %ax',
    'cmpq %rax, %rcx',
    'testl %eax, %ecx',
    'negq %rax',
  ],
  ...[
    'incl %eax',
    'decq (%rbx)',
    'notb %ah',
    'imulq %rcx, %rax',
    'imulq $3, %rcx, %rax',
    'imulq %rcx',
    'mulq %rcx',
    'mull %ecx',
  ],
  ...[
    'mulb %cl',
    'divq %r8',
    'idivl %r8d',
    'divb %r8b',
    'cqto',
    'cltd',
    'cwtl',
    'cltq',
    'cbtw',
    'cwtd',
    'shlq %cl, %rax',
  ],
  ...[
    'shrl $5, %eax',
    'sarq %rax',
    'rolb %cl, %al',
    'rorw $3, %ax',
    'rclq %rax',
    'rcrl %cl, %eax',
    'shldq %cl, %rcx, %rax',
  ],
  ...[
    'shrdl $3, %ecx, %eax',
    'btq %rcx, %rax',
    'btsl $3, %eax',
    'btrq $5, (%rbx)',
    'btcq %rcx, %rax',
    'bsfq %rcx, %rax',
  ],
  ...[
    'bsrl %ecx, %eax',
    'bswapq %rax',
    'bswapl %ecx',
    'xchgq %rax, %rcx',
    'xchgl %eax, (%rbx)',
    'xaddq %rax, %rcx',
    'xaddl %eax, (%rbx)',
  ],
  ...[
    'cmpxchgq %rcx, (%rbx)',
    'cmpxchgl %ecx, %eax',
    'cmpxchg8b (%rbx)',
    'cmpxchg16b (%rbx)',
    'cmovzq %rcx, %rax',
    'cmovnzl %ecx, %eax',
  ],
  ...[
    'setc %al',
    'setnz (%rbx)',
    'movb %ah, %cl',
    'movw %cx, %ax',
    'movl %ecx, %eax',
    'movabsq $0x123456789, %rax',
    'movzbl %cl, %eax',
  ],
  ...[
    'movsbq %cl, %rax',
    'movslq %ecx, %rax',
    'movzwl (%rbx), %eax',
    'leaq 8(%rbx,%rcx,4), %rax',
    'leal (%rbx), %eax',
    'pushq %rax',
  ],
  ...[
    'pushq (%rbx)',
    'pushq %rsp',
    'pushw %ax',
    'popq %rax',
    'popq (%rbx)',
    'popq %rsp',
    'popq 8(%rsp)',
    'popw %ax',
    'leave',
  ],
  ...[
    'enter $32, $0',
    'enter $16, $1',
    'call 1f\n1:',
    'call *%r9',
    'jmp *%r9',
    'jmp *(%r10)',
    'ret',
    'ret $16',
    'jz 1f\n1:',
    'jnc 1f\n nop\n1:',
  ],
  ...[
    'jrcxz 1f\n1:',
    'loop 1f\n nop\n1:',
    'loopne 1f\n1:',
    'clc',
    'stc',
    'cmc',
    'cld',
    'std',
    'lahf',
    'sahf',
    'movsq',
    'movsb',
    'stosl',
    'lodsb',
  ],
  ...[
    'lodsl',
    'lodsq',
    'scasq',
    'cmpsl',
    'rep movsb',
    'rep stosq',
    'rep lodsl',
    'repne scasb',
    'repe cmpsq',
    'lfence',
    'pause',
    'nopl 8(%rax)',
  ],
  ...[
    'lock addq %rax, (%rbx)',
    'lock decl (%rbx)',
    'movntiq %rax, (%rbx)',
    'clflush (%rbx)',
    'prefetcht0 (%rbx)',
    'endbr64',
  ],
  ...[
    '.byte 0xf3, 0x48, 0x0f, 0xbd, 0xc1',
    '.byte 0xf3, 0x48, 0x0f, 0xbc, 0xc1',
    '.byte 0x66, 0x48, 0x0f, 0x38, 0xf6, 0xc1',
  ],
  ...[
    '.byte 0xf3, 0x48, 0x0f, 0x38, 0xf6, 0xc1',
    '.byte 0xf2, 0x48, 0x0f, 0x38, 0xf1, 0xc1',
    '.byte 0xc4, 0xe2, 0xf8, 0xf2, 0xc1',
  ],
  ...['.byte 0xc4, 0xe2, 0xfb, 0xf6, 0xd1', '.byte 0xc4, 0xe2, 0xf1, 0xf7, 0xc1', '.byte 0xf3, 0x48, 0x0f, 0x1e, 0xc8'],
];

const PROGRAM = `start: nop\n${MANY.map((text, i) => `i${i}: ${text}\n nop\n`).join('')}`;

/** A machine that can execute each of them, and its state before that. */
function prepared(make: Make): { rig: Rig; before: (text: string) => Snapshot } {
  const rig = make(PROGRAM);
  for (let at = KERNEL_STACK - 0x300n; at < KERNEL_STACK; at += 8n) rig.setWord(at, rig.label('start'));
  rig.set({
    ...{
      RCX: 5n,
      RBX: KERNEL_STACK - 0x100n,
      RSI: KERNEL_STACK - 0x180n,
      RBP: KERNEL_STACK - 0x80n,
      RSP: KERNEL_STACK - 0x90n,
    },
    ...{ RDI: KERNEL_STACK - 0x200n, R8: 0x7fn, R9: rig.label('start'), R10: KERNEL_STACK - 0x300n, RFLAGS: 0x203n },
  });
  const before = (text: string): Snapshot => {
    const divides = /^i?div/.test(text);
    rig.set({
      RIP: rig.label(`i${MANY.indexOf(text)}`),
      RAX: divides ? 0x10n : 0x8123456789abcdefn,
      RDX: divides ? 0n : 1n,
    });
    return rig.machine.snapshot();
  };
  return { rig, before };
}

rule('every register that an instruction changes is as the engine has it', broken.readingRipAlone, (make) => {
  const { rig, before } = prepared(make);
  for (const text of MANY) {
    const start = before(text);
    rig.step();
    assert.equal(rig.delivered, undefined, text);
    const end = rig.machine.snapshot();
    rig.machine.restore(start);
    // The same instruction, with all registers read back.
    Object.assign(rig.machine.peek()!, { asked: (1 << ENGINE_REGISTERS) - 1, stackStep: 0, batch: undefined });
    Machine.prototype.step.call(rig.machine);
    assert.deepEqual(end.registers, rig.machine.snapshot().registers, text);
    rig.machine.restore(start);
  }
});

rule('every register that an instruction changes is named as changed, RF too', broken.namingRipAlone, (make) => {
  const { rig, before } = prepared(make);
  const { machine } = rig;
  for (const text of MANY) {
    for (const rf of [0, Flag.RF]) {
      before(text);
      machine.u32[2 * Reg.RFLAGS]! |= rf;
      machine.replaced();
      const start = machine.snapshot();
      rig.step();
      for (let r = 0; r < ENGINE_REGISTERS; r++) {
        const same =
          machine.u32[2 * r] === start.registers[2 * r] && machine.u32[2 * r + 1] === start.registers[2 * r + 1];
        assert.ok(same || machine.changedRegisters & (1 << r), `${text}: ${REGISTER_NAMES[r]}`);
      }
      assert.deepEqual(machine.u32.slice(2 * ENGINE_REGISTERS), start.registers.slice(2 * ENGINE_REGISTERS), text);
      machine.restore(start);
    }
  }
});

rule('every word that an instruction changes is in the journal', broken.forgettingWrites, (make) => {
  const { rig, before } = prepared(make);
  for (const text of MANY) {
    const start = before(text);
    rig.step();
    rig.machine.memory.undoTo(0);
    assert.equal(Buffer.compare(rig.machine.memory.u8, start.memory.bytes), 0, text);
    rig.machine.restore(start);
  }
});

rule('every word that an instruction depends on is noted', broken.forgettingReads, (make) => {
  const { rig, before } = prepared(make);
  const { cpu, memory } = rig.machine;
  for (const text of MANY) {
    const start = before(text);
    cpu.readCount = 0;
    rig.step();
    const end = rig.machine.snapshot();
    const noted = new Set(cpu.reads.slice(0, cpu.readCount));
    rig.machine.restore(start);
    // Other contents of the words that were not noted make no difference.
    const stack = memory.translateAddress(KERNEL_STACK - 0x1000n) >>> 3;
    for (let word = stack; word < stack + 512; word++) if (!noted.has(word)) memory.u32[2 * word]! ^= 0x10;
    rig.step();
    assert.deepEqual(rig.machine.u32, end.registers, text);
    rig.machine.restore(start);
  }
});

/** The platform `xen`: what is its own about it. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { Reg } from '../../src/cpu/registers.js';
import { startSearch } from '../../src/explore/threads.js';
import { machineFor } from '../../src/platforms/boot.js';
import { LINUX } from '../../src/platforms/linux.js';
import { processorOf } from '../../src/platforms/platform.js';
import { XEN } from '../../src/platforms/xen.js';
import { profileNamed } from '../../src/profiles/profile.js';
import { PROPERTIES } from '../../src/properties/index.js';
import { source, subjectOf, verdict } from '../support/search.js';

const HOLDS = { verdict: 'holds' };
const PLATFORM = { platform: 'xen' };

/** An NMI handler that leaves at once. */
const NMI = source(
  '#include "include/xen.h"\n\t.text\n\t.globl nmi\nnmi:\n\tcall do_nmi_quietly\n\tiretq\ndo_nmi_quietly:\n\tret\n',
);

/** A context of two processors, each of which runs `text`. */
function both(text: string): string {
  const one = (suffix: string): string =>
    `\t.globl context_start${suffix}, context_end${suffix}\ncontext_start${suffix}:\n${text}\ncontext_end${suffix}:\n\tjmp context_end${suffix}\n`;
  return source(`#include "include/xen.h"\n\t.text\n${one('')}${one('_1')}`, 'context.S');
}

/** The registers of the two processors after each has run its part. */
function registersOf(context: string): BigUint64Array[] {
  const machine = machineFor(subjectOf(NMI, { ...PLATFORM, context }), profileNamed('intel'));
  const { processors } = machine;
  for (let n = 0; n < 40; n++) {
    if (processors.allIdle) break;
    if (processors.atEnd) machine.next('switch');
    else machine.step();
  }
  return [0, 1].map((n) =>
    machine.cpu.regs.u64.slice(processors.place(n, 0) / 2, processors.place(n, 0) / 2 + Reg.EVENTS),
  );
}

test('each context of a single processor', () => {
  for (const context of ['kernel', 'user', 'user-rsp', 'syscall-gap', 'syscall', 'ldtss']) {
    const property = 'context,shutdown,progress,stack-bounds,untrusted-stack,nmi-latch';
    assert.deepEqual(verdict(NMI, { ...PLATFORM, context, events: 'nmi=1', property }), HOLDS, context);
  }
});

test('each processor has an IDT of its own, which ring 0 can write', () => {
  const context = both(
    '\tsubq $16, %rsp\n\tsidt (%rsp)\n\tmovq 2(%rsp), %rax\n\tmovq (%rax), %rbx\n\tmovq %rbx, (%rax)',
  );
  const [first, second] = registersOf(context);
  assert.equal(first![Reg.RAX], XEN.idtBase);
  assert.equal(second![Reg.RAX], XEN.idtBase + 0x1000n);
  assert.equal(first![Reg.RBX], second![Reg.RBX]);
});

test('each processor finds its number and its per-CPU area from RSP', () => {
  const context = both(
    '\tGET_STACK_END(%rax)\n\tmovl STACK_CPUINFO_FIELD(CPUINFO_processor_id)(%rax), %ebx\n\tmovq STACK_CPUINFO_FIELD(CPUINFO_per_cpu_offset)(%rax), %rcx',
  );
  const [first, second] = registersOf(context);
  assert.deepEqual([first![Reg.RBX], second![Reg.RBX]], [0n, 1n]);
  assert.equal(first![Reg.RCX], XEN.layout.percpu);
  assert.equal(second![Reg.RCX], XEN.layout.percpu + XEN.processorStride.percpu);
});

test('an entry from the guest pushes its frame where cpu_info has the guest registers', () => {
  const image = source(
    '#include "include/xen.h"\n\t.text\n\t.globl int3\nint3:\n\tGET_STACK_END(%rax)\n\tmovq STACK_CPUINFO_FIELD(UREGS_rip)(%rax), %rbx\nstop:\n\tjmp stop\n',
  );
  const machine = machineFor(subjectOf(image, { ...PLATFORM, context: 'user' }), profileNamed('intel'));
  const at = machine.cpu.regs.u64[Reg.RIP];
  machine.next('bp');
  for (let n = 0; n < 3; n++) machine.step();
  assert.equal(machine.cpu.regs.u64[Reg.RBX], at);
});

test('a search in a thread has the platform of its subject', async () => {
  const subject = subjectOf(NMI, PLATFORM);
  const { result } = startSearch({
    ...{ subject, profile: profileNamed('intel'), bound: { nmi: 1 }, places: {} },
    properties: PROPERTIES.filter((p) => p.name === 'context').map((p) => p.name),
  });
  assert.equal((await result).verdict, 'holds');
});

test('the second processor has a user stack of its own, at addresses of user mode', () => {
  const own = [0, 1].map((n) => processorOf(XEN, n).stacks.find((s) => s.user)!);
  assert.ok(own[1]!.top <= own[0]!.base);
  for (const platform of [XEN, LINUX]) {
    for (const n of [0, 1, 7]) {
      for (const s of processorOf(platform, n).stacks.filter((one) => one.user)) {
        assert.ok(s.base > 0n && s.top < 0x800000000000n, `${platform.name} ${n}`);
      }
    }
  }
});

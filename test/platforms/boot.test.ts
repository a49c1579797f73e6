/** What an image can ask of the platform: a local descriptor table, and other IST slots. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { Reg } from '../../src/cpu/registers.js';
import { InputError } from '../../src/errors.js';
import { machineFor } from '../../src/platforms/boot.js';
import { profileNamed } from '../../src/profiles/profile.js';
import { explore, plainHandler, source, subjectOf } from '../support/search.js';

const machine = (file: string, context = 'kernel') => machineFor(subjectOf(file, { context }), profileNamed('intel'));

test('an image that defines ldt has it in LDTR from the start; another one has none', () => {
  const subject = subjectOf(plainHandler(), { context: 'ldtss' });
  const { u64 } = machineFor(subject, profileNamed('intel')).cpu.regs;
  assert.equal(u64[Reg.LDTR_BASE], subject.image.globals.get('ldt')!.address);
  assert.equal(u64[Reg.LDTR_LIMIT], 7n);
  assert.notEqual(u64[Reg.LDTR]! & 0xfffcn, 0n);
  assert.equal(machine(plainHandler()).cpu.regs.u64[Reg.LDTR], 0n);
});

test('an IRET to the context ldtss loads SS from the LDT, and faults once the entry is gone', () => {
  const exchange = (value: string): string => plainHandler({ before: 'cld\n\tswapgs', after: `${value}\n\tswapgs` });
  const broken = explore(exchange('movq $0, ldt'), { context: 'ldtss', events: 'nmi=1', property: 'progress' });
  // From the boundary after MOV SS to the MOV SS that leaves it; before, the process itself comes to the lost entry.
  assert.ok(broken.windows.progress!.nmi!.length > 0);
  const sound = explore(exchange('nop'), { context: 'ldtss', events: 'nmi=1' });
  assert.equal(sound.result.verdict, 'holds');
});

test('ldt without a size is refused', () => {
  const context = source(
    `	.text
	.globl	context_start, context_end
context_start:
	nop
context_end:
	jmp	context_end
	.data
	.globl	ldt
ldt:
	.quad	0
`,
    'context.S',
  );
  assert.throws(
    () => machine(plainHandler(), context),
    (error: unknown) =>
      error instanceof InputError && /ldt has no size; put \.size ldt, \.-ldt after it$/.test(error.message),
  );
});

test('ist_N gives the gate of vector N another IST slot, or none', () => {
  const gate = (more: string, vector: number): bigint => {
    const m = machine(plainHandler({ more }));
    return (
      (m.memory.view.getBigUint64(
        m.memory.translateAddress(m.cpu.regs.u64[Reg.IDTR_BASE]! + BigInt(16 * vector)),
        true,
      ) >>
        32n) &
      7n
    );
  };
  assert.equal(gate('', 3), 0n);
  assert.equal(gate('.globl ist_3\n\t.set ist_3, 3', 3), 3n);
  assert.equal(gate('', 1), 3n);
  assert.equal(gate('.globl ist_1\n\t.set ist_1, 0', 1), 0n);
  assert.throws(() => gate('.globl ist_3\n\t.set ist_3, 8', 3), /ist_3 must be an absolute symbol from 0 to 7/);
});

/** A guest on one of several processors: what wakes it while another one runs. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { Assembler } from '../../src/assembler/index.js';
import { Reg } from '../../src/cpu/registers.js';
import { EventState } from '../../src/harness/event_state.js';
import type { Machine } from '../../src/harness/machine.js';
import { machineFor } from '../../src/platforms/boot.js';
import { LINUX } from '../../src/platforms/linux.js';
import { buildSubject } from '../../src/platforms/subject.js';
import { profileNamed } from '../../src/profiles/profile.js';
import { asm } from '../support/search.js';

const assembler = await Assembler.create();

/** The machine at the boundary behind the guest's HLT, after an interrupt that came while it had interrupts off. */
function halted(defines: Readonly<Record<string, string>>): Machine {
  const context = asm('kvm/two_processors.S');
  const subject = buildSubject(assembler, { files: [asm('kvm_inject.S')], platform: LINUX, context, defines });
  const machine = machineFor(subject, profileNamed('intel'));
  const to = (name: string): void => {
    const address = subject.image.find(name)!.address;
    for (let i = 0; i < 2000 && machine.cpu.regs.u64[Reg.RIP] !== address; i++) machine.step();
    assert.equal(machine.cpu.regs.u64[Reg.RIP], address, name);
  };
  to('masked');
  machine.next('intr:0x20');
  to('woken');
  assert.notEqual(machine.u32[2 * Reg.EVENTS]! & EventState.HALTED, 0);
  return machine;
}

test('25.2: an open interrupt window wakes a halted guest on a processor that is not the running one', () => {
  const machine = halted({});
  machine.next('switch');
  assert.deepEqual([machine.processors.running, machine.processors.next()], [1, 0]);
});

test('without the window it sleeps on', () => {
  const machine = halted({ NO_WINDOW: '1' });
  machine.next('switch');
  assert.deepEqual([machine.processors.running, machine.processors.next()], [1, -1]);
});

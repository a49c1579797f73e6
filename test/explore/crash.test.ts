/** Xen's way into a crash kernel: what its scenarios cannot say. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import test from 'node:test';
import { Reg } from '../../src/cpu/registers.js';
import { machineFor } from '../../src/platforms/boot.js';
import { ASM_DIRECTORY } from '../../src/platforms/subject.js';
import { profileNamed } from '../../src/profiles/profile.js';
import { agreesWithOracle } from '../support/oracle.js';
import { subjectOf } from '../support/search.js';

const context = (name: string): string => join(ASM_DIRECTORY, '../scenarios/xen-kexec', `${name}.S`);
const XEN = { platform: 'xen' };

/** How often the first processor is at the start of `symbol` when it crashes in an NMI and a second one comes at `boundary`. */
function visits(symbol: string, second: string, defines: Readonly<Record<string, string>>): number {
  const setting = { ...XEN, context: context('watchdog'), defines: { CRASH_IN_NMI: '1', ...defines } };
  const subject = subjectOf('xen_kexec.S', setting);
  const machine = machineFor(subject, profileNamed('intel'));
  const { u64 } = machine.cpu.regs;
  const address = (name: string): bigint => subject.image.globals.get(name)!.address;
  let count = 0;
  let fired = false;
  machine.next('nmi');
  for (let n = 0; n < 1000 && !machine.processors.allIdle; n++) {
    if (!fired && u64[Reg.RIP] === address(second)) {
      machine.next('nmi');
      fired = true;
    }
    if (u64[Reg.PROCESSOR] === 0n && u64[Reg.RIP] === address(symbol)) count++;
    machine.step();
  }
  assert.ok(fired);
  return count;
}

test('the NMI that is pending when NMIs are enabled runs trap_nop, once, and no other handler', () => {
  for (const boundary of ['do_nmi', 'kexec_crash', 'machine_kexec', 'enable_nmis']) {
    assert.equal(visits('trap_nop', boundary, {}), 1, boundary);
    assert.equal(visits('nmi', boundary, {}), 1, boundary);
  }
  assert.equal(visits('trap_nop', 'do_nmi', { CRASH_LATCHED: '1' }), 0);
  assert.equal(visits('nmi', 'do_nmi', { CRASH_KEEPS_HANDLER: '1' }), 2);
});

test('a crash: the search finds just what every schedule by itself finds', () => {
  for (const [name, events, defines] of [
    ['panic', 'nmi=1', {}],
    ['panic', 'switch=1', {}],
    ['panic', 'nmi=1', { GATE_CLEARED: '1' }],
  ] as const) {
    agreesWithOracle('xen_kexec.S', { ...XEN, context: context(name), events, defines });
  }
});

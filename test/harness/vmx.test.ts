/** Scratch. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { Rig } from '../support/machine.js';
import { makeVmx, launch, guestRuns, exitReason, field, failedCheck } from '../support/vmx.js';
test('x', () => {
  const rig = makeVmx((t, o) => new Rig(t, o), ' nop\n nop\n vmcall\n');
  launch(rig);
  console.log(failedCheck(rig), guestRuns(rig), rig.rip.toString(16), rig.label('guest').toString(16));
  rig.step(2);
  rig.step();
  console.log(exitReason(rig), rig.rip === rig.label('exit'), field(rig, 'GUEST_RIP').toString(16));
  assert.ok(true);
});

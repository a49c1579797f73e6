/** The lists of MSRs of VM entries and exits. */
import assert from 'node:assert/strict';
import { Flag } from '../../src/cpu/registers.js';
import { ENTRY_FAILURE, ExitReason } from '../../src/harness/vmx.js';
import * as broken from '../support/broken_vmx.js';
import type { Rig } from '../support/machine.js';
import { type Make, rule } from '../support/rule.js';
import { BITMAPS, exitReason, type Fields, failedCheck, field, guestRuns, launch, makeVmx } from '../support/vmx.js';

const SPEC_CTRL = 0x48n;
const LSTAR = 0xc0000082n;
const FS_BASE = 0xc0000100n;
/** Three lists in the page of the MSR bitmaps: what exits store, what they load, what entries load. */
const STORE = BITMAPS;
const LOAD = BITMAPS + 0x100n;
const ENTER = BITMAPS + 0x200n;
const MAPPED = 0xffff888010000000n - 0x10000000n;
const none = () => 0n;
const withoutEntryList = broken.repairing('ENTRY_MSR_LOAD_COUNT', none);

function list(rig: Rig, at: bigint, entries: readonly (readonly [msr: bigint, value: bigint])[]): void {
  entries.forEach(([msr, value], i) => {
    rig.setWord(MAPPED + at + 16n * BigInt(i), msr);
    rig.setWord(MAPPED + at + 16n * BigInt(i) + 8n, value);
  });
}

function withLists(make: Make, enter: readonly (readonly [bigint, bigint])[], fields: Fields = {}): Rig {
  const rig = makeVmx(make, ' nop\n vmcall\n', {
    ...{
      EXIT_MSR_STORE_ADDRESS: STORE,
      EXIT_MSR_STORE_COUNT: 2n,
      EXIT_MSR_LOAD_ADDRESS: LOAD,
      EXIT_MSR_LOAD_COUNT: 1n,
    },
    ...{ ENTRY_MSR_LOAD_ADDRESS: ENTER, ENTRY_MSR_LOAD_COUNT: BigInt(enter.length), ...fields },
  });
  list(rig, STORE, [
    [SPEC_CTRL, 0n],
    [LSTAR, 0n],
  ]);
  list(rig, LOAD, [[SPEC_CTRL, 1n]]);
  list(rig, ENTER, enter);
  return rig;
}

rule('26.4, X-21: a VM entry loads the MSRs of its list', withoutEntryList, (make) => {
  const rig = launch(
    withLists(make, [
      [SPEC_CTRL, 4n],
      [LSTAR, 0xffff800000001000n],
    ]),
  );
  assert.equal(guestRuns(rig), true);
  assert.deepEqual(rig.all('SPEC_CTRL', 'LSTAR'), { SPEC_CTRL: 4n, LSTAR: 0xffff800000001000n });
});

rule(
  "27.4, 27.6, X-21: a VM exit stores the guest's MSRs and loads the host's",
  [broken.repairing('EXIT_MSR_STORE_COUNT', none), broken.repairing('EXIT_MSR_LOAD_COUNT', none)],
  (make) => {
    const rig = launch(withLists(make, [[SPEC_CTRL, 4n]])).step(2);
    assert.equal(exitReason(rig), ExitReason.VMCALL);
    assert.equal(rig.word(MAPPED + STORE + 8n), 4n);
    assert.equal(rig.word(MAPPED + STORE + 24n), rig.get('LSTAR'));
    assert.equal(rig.get('SPEC_CTRL'), 1n);
  },
);

for (const [what, entry] of [
  ['that WRMSR would reject', [SPEC_CTRL, 1n << 20n]],
  ['that is FS_BASE', [FS_BASE, 0n]],
  ["that is the x2APIC's", [0x80bn, 0n]],
  ['with reserved bits', [SPEC_CTRL | (1n << 32n), 0n]],
] as const) {
  rule(`26.4: a VM entry fails because of an entry of its list ${what}, and says which`, withoutEntryList, (make) => {
    const rig = launch(withLists(make, [[SPEC_CTRL, 4n], entry]));
    assert.match(failedCheck(rig) ?? '', /entry 2 of the list/);
    assert.deepEqual([guestRuns(rig), rig.rip], [false, rig.label('exit')]);
    assert.equal(field(rig, 'EXIT_REASON'), BigInt(ENTRY_FAILURE + ExitReason.MSR_LOADING));
    assert.equal(field(rig, 'EXIT_QUALIFICATION'), 2n);
  });
}

rule('26.2.1: the address of a list is a multiple of 16', broken.neverFailing, (make) => {
  const rig = launch(withLists(make, [[SPEC_CTRL, 4n]], { EXIT_MSR_STORE_ADDRESS: STORE + 8n }));
  assert.match(failedCheck(rig) ?? '', /EXIT_MSR_STORE_ADDRESS is not a multiple of 16/);
  assert.deepEqual([rig.rip, rig.flag(Flag.ZF)], [rig.label('failed'), true]);
});

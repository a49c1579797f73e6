/** guest-ledger and vm-entry: what a host owes its guest, and whether it gets in. The scenarios of scenarios/kvm have the rest. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { pack, vectorsOf } from '../../src/properties/guest_ledger_words.js';
import { agreesWithOracle } from '../support/oracle.js';
import { asm, explore, runOf, type Setting, verdict } from '../support/search.js';

const HOST = 'kvm_inject.S';
const GUEST: Setting = {
  context: asm('kvm/cli_sti.S'),
  events: 'intr:0x20=1',
  at: ['intr:0x20=guest..guest_over'],
};

function withDefines(defines: Readonly<Record<string, string>>, setting: Setting = GUEST): Setting {
  return { ...setting, defines };
}

test('a word holds up to four vectors in ascending order', () => {
  assert.deepEqual(vectorsOf(pack([0xfe, 2, 0x20, 0x21])), [2, 0x20, 0x21, 0xfe]);
  assert.deepEqual(vectorsOf(pack([])), []);
  assert.equal(pack([0x21, 0x20]), pack([0x20, 0x21]));
});

test('an interrupt that the host takes and never injects is named', () => {
  const explored = explore(HOST, withDefines({ DROP_ALL: '1' }));
  const failure = explored.result.failures[0]!;
  assert.equal(failure.property, 'guest-ledger');
  assert.deepEqual(
    runOf(explored, failure).broken.map((b) => b.explanation),
    ['vector 0x20 is never injected'],
  );
});

test('an interrupt that is injected once more than it was taken is named', () => {
  const setting = { ...GUEST, context: asm('kvm/cli_sti_unmapped.S') };
  const explored = explore(HOST, withDefines({ REINJECT_AND_KEEP: '1' }, setting));
  const failure = explored.result.failures[0]!;
  assert.match(runOf(explored, failure).broken[0]!.explanation, /has not taken, or has injected already/);
});

test('a VM entry that fails ends the path with the check that it has failed', () => {
  const explored = explore(HOST, withDefines({ INJECT_UNCHECKED: '1' }));
  assert.deepEqual(explored.windows, { 'vm-entry': { 'intr:0x20': 'masked+0..+1' } });
  const failure = explored.result.failures[0]!;
  assert.match(runOf(explored, failure).broken[0]!.explanation, /guest RFLAGS\.IF is 0 \(SDM 26\.3\.1\.4\)/);
});

test("a host that does not say which vectors are its guest's is asked for interrupted deliveries only", () => {
  const host = 'vmx_nmi_inject.S';
  const setting: Setting = { context: asm('kvm/absent_segments.S'), events: 'nmi=1', at: ['nmi=guest..guest_over'] };
  const asked = (defines: Readonly<Record<string, string>>) => verdict(host, withDefines(defines, setting));
  assert.deepEqual(asked({ GUEST_ASKS: '1' }), { verdict: 'holds' });
  assert.deepEqual(asked({ GUEST_ASKS: '1', DROP_VECTORING: '1' }), {
    verdict: 'fails',
    'guest-ledger': { nmi: 'guest+0..+2, guest_end+0' },
  });
});

test('the ledger is part of the state: the search finds just what every schedule by itself finds', () => {
  for (const define of ['DROP_MASKED', 'NO_WINDOW', 'INJECT_UNCHECKED'])
    agreesWithOracle(asm(HOST), withDefines({ [define]: '1' }));
});

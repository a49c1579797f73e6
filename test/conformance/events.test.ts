/** The short version of the comparison with QEMU at event level: a few handlers, and machines that must be found out. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { type CompareOptions, compareHandler, type EventRow, runEvents } from '../../conformance/events.js';
import { HANDLERS } from '../../conformance/events_handlers.js';
import { peerMissing } from '../../conformance/events_peer.js';
import * as broken from '../support/broken.js';

const missing = peerMissing();

function compare(name: string, options?: CompareOptions): Promise<EventRow> {
  const handler = HANDLERS.find((h) => h.name === name);
  assert.ok(handler, `there is no handler ${name}`);
  return compareHandler(handler, options);
}

if (missing !== undefined) test('comparison with QEMU, event level', { skip: missing }, () => undefined);
else compareWithQemu();

function compareWithQemu(): void {
  /** Handlers with all their pairs of events. */
  const PAIRS = [
    'plain handler, ring 3',
    'page fault in the handler',
    'SYSCALL and SYSRET',
    'STI',
    'HLT',
    'machine check',
  ];

  for (const name of PAIRS) {
    test(`QEMU does the same: ${name}`, async () => {
      const row = await compare(name);
      assert.deepEqual(row.differences, []);
      assert.ok(row.boundaries > row.schedules);
    });
  }

  for (const name of [
    'linux_nmi, kernel',
    'linux_nmi, user',
    'linux_nmi_rfc, kernel',
    'linux_nmi_plain, kernel, body_int3',
  ]) {
    test(`QEMU does the same, one event: ${name}`, async () => {
      const row = await compare(name, { pairs: false });
      assert.deepEqual(row.differences, []);
      assert.ok(row.boundaries > 800);
    });
  }

  test('QEMU departs from the manual where the list says so, and nowhere else', async () => {
    const expected = {
      'MOV SS': { 'NMI in the shadow of MOV SS': 45 },
      'faulting IRET': { 'RF in the frame of a fault': 30, 'NMIs after an IRET that faults': 30 },
    };
    for (const [name, departures] of Object.entries(expected)) {
      const row = await compare(name);
      assert.deepEqual(row.differences, []);
      assert.deepEqual(Object.fromEntries(row.departures), departures);
    }
  });

  const BROKEN: readonly (readonly [string, broken.Broken])[] = [
    ['software NMI', broken.withoutNmiBlocking],
    ['unaligned stack', broken.neverUnblocking],
    ['unaligned stack', broken.losingBlockedNmis],
    ['SYSRET out of the handler', broken.unblockingOnAnyReturn],
    ['software NMI', broken.blockingOnInt2],
    ['STI', broken.otherStiShadowRule],
    ['gate that is not present', broken.otherFaultingDeliveryRule],
    ['handler on an IST stack', broken.ignoringIst],
    ['unaligned stack', broken.withoutAlignment],
    ['plain handler, ring 3', broken.keepingSs],
  ];

  for (const [name, patch] of BROKEN) {
    test(`QEMU finds out a machine that is broken: ${patch.name}`, async () => {
      const row = await compare(name, { broken: patch, mostDifferences: 1 });
      assert.equal(row.differences.length, 1);
    });
  }

  test('the report has a row for each handler that was asked for', async () => {
    const lines: string[] = [];
    const report = await runEvents({ handlers: ['unaligned stack'], onProgress: (text) => lines.push(text) });
    assert.deepEqual(
      report.rows.map((row) => row.handler),
      ['unaligned stack'],
    );
    assert.equal(lines[0], 'unaligned stack');
  });
}

/** The comparison of `make conformance`, short: a few programs on each peer, and machines broken on purpose, which it must find. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { Code, Instruction, Mnemonic } from 'iced-x86';
import { Block } from '../../conformance/block.js';
import type { Peer } from '../../conformance/deviations.js';
import { failureLines } from '../../conformance/report.js';
import { peerMissing, runSuite } from '../../conformance/suite.js';
import { UNDEFINED } from '../../conformance/undefined.js';
import * as broken from '../support/broken.js';

const SEED = 1;
const PROGRAMS: Readonly<Record<Peer, number>> = { qemu: 1500, bochs: 200 };

for (const peer of ['qemu', 'bochs'] as const) {
  const skip = peerMissing(peer) ?? false;
  test(`${PROGRAMS[peer]} random programs end here as they do on ${peer}`, { skip }, async () => {
    const report = await runSuite({ programs: PROGRAMS[peer], seed: SEED, peers: [peer] });
    assert.equal(report.programs, PROGRAMS[peer]);
    assert.deepEqual(
      report.failures.flatMap((failure) => failureLines(failure, SEED)),
      [],
    );
  });
}

const BROKEN: readonly broken.Broken[] = [
  broken.keepingRspInSameRing,
  broken.withoutAlignment,
  broken.keepingIf,
  broken.ignoringGatePresence,
  broken.withoutCr2,
  broken.withoutFmask,
  broken.ignoringIopl,
  broken.withoutErrorCodes,
];

for (const change of BROKEN) {
  const skip = peerMissing('bochs') ?? false;
  test(`the comparison finds a machine that is broken: ${change.name}`, { skip }, async () => {
    const report = await runSuite({
      programs: 600,
      seed: SEED,
      peers: ['bochs'],
      change,
      mostFailures: 1,
      shrink: false,
    });
    assert.notEqual(report.failures.length, 0);
  });
}

test('a program that differs is made smaller', { skip: peerMissing('bochs') ?? false }, async () => {
  const report = await runSuite({
    programs: 50,
    seed: SEED,
    peers: ['bochs'],
    change: broken.withoutAlignment,
    mostFailures: 1,
  });
  const failure = report.failures[0];
  assert.ok(failure?.shrunk);
  // What is left is little more than the instruction that is interrupted, mostly the INT3 at the end.
  assert.ok(failure.run.trace.length <= 3, failureLines(failure, SEED).join('\n'));
});

test('what is undefined after an instruction is undefined for the decoder too', () => {
  // RflagsBits of the decoder, in the order of its numbering: OF, SF, ZF, AF, CF, PF.
  const flags = [0x800, 0x80, 0x40, 0x10, 0x1, 0x4];
  const checked = new Set<Mnemonic>();
  for (const code of Object.values(Code)) {
    if (typeof code !== 'number') continue;
    const instruction = new Instruction();
    instruction.code = code;
    const rule = UNDEFINED.find(({ mnemonics }) => mnemonics.includes(instruction.mnemonic));
    if (rule && typeof rule.flags === 'number' && instruction.mnemonic !== Mnemonic.Bswap) {
      const theirs = flags.reduce((mask, flag, i) => mask | (instruction.rflagsUndefined & (1 << i) ? flag : 0), 0);
      assert.equal(rule.flags, theirs, Mnemonic[instruction.mnemonic]);
      checked.add(instruction.mnemonic);
    }
    instruction.free();
  }
  assert.ok(checked.size > 15, `${checked.size}`);
});

test('a jump over the next item lands after it', () => {
  const block = new Block(0x1000n, 0);
  const start = block.bytes.length;
  block.skipNext(0xeb);
  block.land(start);
  const next = block.bytes.length;
  block.raw(0x90, 0x90);
  block.land(next);
  block.end();
  assert.deepEqual(block.bytes, [0xeb, 2, 0x90, 0x90]);
});

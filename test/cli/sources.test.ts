/** -I, -D, -include and --assembler: the same for every command that takes assembly files. */
import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { gnuMissing } from '../assembler/gnu.js';
import { asm, directory, entrace, file } from './entrace.js';

mkdirSync(join(directory, 'hidden'));
copyFileSync(asm('linux_nmi_rfc.S'), join(directory, 'hidden/rfc.inc'));
const FORCED = file('forced.h', '#define CHOSEN GIVEN\n');
const WRAPPED = file('wrapped.S', '#if CHOSEN == 2\n#include <rfc.inc>\n#endif\n');
const SOURCES = ['-I', 'hidden', '-DGIVEN=2', '-include', FORCED];
const SEARCH = ['--property', 'context', '--events', 'nmi=1,bp=1', '--context', 'user-rsp'];

test('asm: -I, -D, -include', async () => {
  const { status, stdout, stderr } = await entrace(['asm', WRAPPED, ...SOURCES]);
  assert.equal(status, 0, stderr);
  assert.match(stdout, /^wrapped\.S: \.text \d+ bytes/);
  const without = await entrace(['asm', WRAPPED, '-I', 'hidden']);
  assert.equal(without.stdout, 'wrapped.S: no bytes; 0 symbols\n');
  const long = ['--include-dir', 'hidden', '--define', 'GIVEN=2', '--include', FORCED];
  assert.equal((await entrace(['asm', WRAPPED, ...long])).stdout, stdout);
});

test('explore and replay: a saved path knows how its sources were read', async () => {
  const { status, stderr } = await entrace(['explore', WRAPPED, ...SOURCES, ...SEARCH, '--save', 'kept/here']);
  assert.equal(status, 1, stderr);
  const name = join('kept/here', readdirSync(join(directory, 'kept/here'))[0]!);
  const saved = JSON.parse(readFileSync(join(directory, name), 'utf8')) as Record<string, unknown>;
  assert.deepEqual(
    [saved.files, saved.include, saved.includeFile, saved.assembler],
    [['../../wrapped.S'], ['../../hidden'], ['../../forced.h'], undefined],
  );
  const again = await entrace(['replay', name]);
  assert.equal(again.status, 1, again.stderr);
});

test('diff: the options hold for both versions', async () => {
  const { status, stdout, stderr } = await entrace(['diff', WRAPPED, WRAPPED, ...SOURCES, ...SEARCH]);
  assert.equal(status, 0, stderr);
  assert.match(stdout, /0 fixed, 0 broken, \d+ unchanged/);
});

test('--assembler gnu: the same windows, and it says so', { skip: gnuMissing ?? false }, async () => {
  const failures = async (
    ...args: string[]
  ): Promise<{ assembler: unknown; places: unknown; replayed: number | null }> => {
    const { status, stdout, stderr } = await entrace([
      ...['explore', WRAPPED, ...SOURCES, ...SEARCH, '--json', '-', '--save', `paths-${args.length}`],
      ...args,
    ]);
    assert.equal(status, 1, stderr);
    assert.equal(/assembled by GNU assembler/.test(stderr), args.length > 0);
    const result = JSON.parse(stdout) as { assembler: string; failures: { property: string; boundary: string }[] };
    const folder = join(directory, `paths-${args.length}`);
    const replayed = await entrace(['replay', join(folder, readdirSync(folder)[0]!)]);
    const places = result.failures.map((f) => `${f.property} ${f.boundary}`);
    return { assembler: result.assembler, places, replayed: replayed.status };
  };
  const own = await failures();
  const gnu = await failures('--assembler', 'gnu');
  assert.equal(own.assembler, 'Keystone');
  assert.match(String(gnu.assembler), /^GNU assembler .*\d\.\d/);
  assert.deepEqual([gnu.places, gnu.replayed, own.replayed], [own.places, 1, 1]);
});

test('asm --assembler gnu: listing and object', { skip: gnuMissing ?? false }, async () => {
  const { status, stdout, stderr } = await entrace(['asm', asm('linux_nmi.S'), '--assembler', 'gnu', '--list']);
  assert.equal(status, 0, stderr);
  assert.match(stdout, /^assembled by GNU assembler .*\nsection \.text: /);
  // Source lines come from the object's own line table.
  assert.match(stdout, /\n +0: 52 +pushq +%rdx .*linux_nmi\.S:[1-9]/);
});

test("--assembler gnu: gcc's own words where it refuses, and where there is none", {
  skip: gnuMissing ?? false,
}, async () => {
  const bad = file('bad.S', 'nop\n\tfoo %rax\n#include "none.h"\n');
  const refused = await entrace(['asm', bad, '--assembler', 'gnu']);
  assert.equal(refused.status, 2);
  assert.match(refused.stderr, /^entrace: bad\.S:3:10: none\.h: No such file or directory\n {2}said by gcc\n$/);
  const none = await entrace(['asm', bad, '--assembler', 'gnu'], { env: { PATH: directory } });
  assert.equal(none.status, 2);
  assert.match(none.stderr, /^entrace: --assembler gnu: there is no gcc on the PATH; install gcc and binutils/);
  const missing = await entrace(['asm', 'nothing.S', '--assembler', 'gnu']);
  assert.deepEqual([missing.status, missing.stderr], [2, 'entrace: nothing.S: no such file\n']);
  assert.equal((await entrace(['asm', bad, '--assembler', 'nasm'])).status, 2);
});

test('a scenario says how its sources are read', { skip: gnuMissing ?? false }, async () => {
  file(
    's.yaml',
    `title: Sources
image: wrapped.S
include: hidden
include-file: [forced.h]
define: { GIVEN: 2 }
assembler: gnu
context: user-rsp
properties: [context]
events: { nmi: 1 }
expect: { fails: context, boundaries: [context_start+4..9] }
`,
  );
  const { status, stdout, stderr } = await entrace(['test', 's.yaml']);
  assert.equal(status, 0, stdout + stderr);
});

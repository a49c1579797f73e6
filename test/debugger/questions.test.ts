/** Who wrote it, which frame is it, where was it destroyed, and how two branches differ. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { Reg } from '../../src/cpu/registers.js';
import { compareBranches } from '../../src/debugger/compare.js';
import { whoChanged, whoWrote } from '../../src/debugger/questions.js';
import { opened, play, printed, rfc, where } from '../support/debugger.js';
import { source } from '../support/search.js';

test('who changed RDI: the pop, the save, and the LEA in nested_nmi where the value began', async () => {
  const debug = await rfc();
  debug.go(175);
  const links = whoChanged(debug, Reg.RDI);
  assert.deepEqual(
    links.map(({ index }) => debug.image.name(debug.history.address(index))),
    ['nmi_restore+14', 'restart_nmi+2', 'nested_nmi+6'],
  );
  assert.match(
    await printed(debug, 'who rdi'),
    /3\. #91 {2}nested_nmi\+6 in NMI 2 changed rdi from 0x707070707070707 /,
  );
  await printed(debug, 'goto who');
  assert.equal(where(debug), '91 NMI 2 nested_nmi+6');
  assert.match(await printed(debug, 'where'), /leaq -48\(%rsp\), %rdi .*linux_nmi_rfc\.S:81/);
});

test('nobody has changed what nobody has changed', async () => {
  const debug = await rfc();
  debug.go(3);
  assert.deepEqual(whoChanged(debug, Reg.R12), []);
  assert.match(await printed(debug, 'who r12'), /^nobody has changed r12 since the start$/);
  assert.deepEqual((await debug.command('goto who')).error, true);
});

test('who wrote a word: the delivery that pushed it; of an edit, the edit', async () => {
  const debug = await rfc();
  debug.go(1);
  const rip = debug.readRegister('rsp');
  assert.deepEqual(
    whoWrote(debug, rip).map(({ index }) => index),
    [0],
  );
  assert.match(await printed(debug, 'who [rsp]'), /^1\. #0 {2}the delivery of NMI 1 at context_start\+0 wrote 0x/);
  await printed(debug, 'set [rsp] = 0x1234');
  assert.match(await printed(debug, 'who [rsp]'), /^1\. #1 {2}an edit at nmi\+0: wrote 0x1234 to /);
  assert.equal((await debug.command('who [0x10]')).lines[0], '0x10: nothing is mapped there');
});

test('the delivery of the second NMI overwrites the frame of the first: where, and by whom', async () => {
  const debug = await rfc();
  debug.go(120);
  const [first] = debug.view().deliveries;
  assert.equal(first!.owner, 'NMI 1');
  assert.equal(first!.interrupted, 'context');
  assert.equal(first!.boundary, 'context_start+0');
  assert.deepEqual(first!.overwritten, { index: 84, owner: 'NMI 2', boundary: 'nmi_restore+15', delivery: true });
  await printed(debug, 'goto overwrite');
  assert.equal(where(debug), '84 NMI 1 nmi_restore+15');
  // Once it is behind, it has not happened.
  assert.equal(debug.view().deliveries[0]!.overwritten, undefined);
  debug.go(188);
  assert.match(
    await printed(debug, 'frames'),
    /0 {2}NMI 1 .* given back or given up\n.*\n {5}overwritten by the delivery of NMI 2/,
  );
});

test('which frame an address lies in', async () => {
  const debug = await rfc();
  debug.go(86);
  const text = await printed(debug, 'frame 0xfffffe0000006fd8');
  assert.match(text, /^0xfffffe0000006fd8 is original frame RIP$/m);
  assert.match(text, /in the frame of NMI 2 \(#84\), which interrupts NMI 1 at nmi_restore\+15; open/);
  assert.match(text, /in the frame of NMI 1 \(#0\), which interrupts context at context_start\+0; open/);
  assert.match(await printed(debug, 'frame 0x400000'), /: in no stack$/);
});

test('two branches differ first where the interrupted code could notice: RDI and the copied frame', async () => {
  const debug = await rfc();
  debug.go(84);
  debug.skip();
  await debug.continue();
  const [a, b] = debug.cursor.branches as [typeof debug.cursor.branch, typeof debug.cursor.branch];
  const result = compareBranches(debug, a, b);
  assert.equal(result.fork, 84);
  assert.equal(result.owner, 'NMI 1');
  assert.deepEqual(
    result.differences.map(({ kind, what, states }) => `${kind} ${what} ${states}`),
    ['register rdi 102,84', 'stack word 102,84'],
  );
  // The cursor is where it was.
  assert.equal(where(debug), '101 context context_end+0');
});

test('an NMI that is served as it should be is not noticed', async () => {
  const debug = play(await opened('linux_nmi.S'), 'nmi@context_start+3');
  debug.go(3);
  debug.skip();
  await debug.continue();
  const [a, b] = debug.cursor.branches as [typeof debug.cursor.branch, typeof debug.cursor.branch];
  const result = compareBranches(debug, a, b);
  assert.deepEqual(result.differences, []);
  assert.ok(result.instructions > 5);
  assert.match(await printed(debug, 'compare 0'), /no difference in control flow, registers, latch and stack/);
  // An edit is one.
  debug.go(3, 0);
  debug.writeRegister('r12', 1n);
  await debug.continue();
  assert.match(await printed(debug, 'compare 1 2'), /^register r12: first at context_start\+3/m);
});

test('two branches that go different ways say where', async () => {
  const debug = play(await opened('linux_nmi.S'), 'nmi@context_start+3');
  debug.go(7);
  debug.writeRegister('rip', debug.image.resolve('nmi_restore')!);
  await debug.step();
  assert.match(await printed(debug, 'compare 0 1'), /control flow rip: first at /);
});

test('who follows what an instruction has done, not values that happen to be equal or words that lie beside', async () => {
  const handler = source(`
	.globl	nmi, one, two, pushed, counted, loaded, popped, called
	.text
nmi:	movl	$5, %eax
	pushq	$5
pushed:	popq	%rax
popped:	movl	$1, one
	movl	$2, two
	incl	one
counted: movl	two, %eax
loaded:	call	*table
	iretq
f:
called:	ret
	.data
table:	.quad	f
one:	.long	0
two:	.long	0
`);
  const debug = await opened(handler);
  debug.fire('nmi');
  const chain = async (label: string, what: string): Promise<string[]> => {
    debug.go(1);
    await printed(debug, `until ${label}`);
    const text = await printed(debug, `who ${what}`);
    return [...text.matchAll(/^\d+\. #\d+ {2}(\S+) .*?(?:wrote (\S+) to|changed)/gm)].map(
      (m) => `${m[1]} ${m[2] ?? ''}`,
    );
  };
  // RAX holds 5 as well.
  assert.deepEqual(await chain('pushed', '[rsp]'), ['nmi+1 0x5']);
  // What POP loads is neither the new RSP nor the new RIP.
  assert.deepEqual(await chain('popped', 'rax'), ['nmi+0 ']);
  assert.deepEqual(await chain('popped', 'rsp'), ['pushed+0 ']);
  assert.deepEqual(await chain('popped', 'rip'), ['pushed+0 ']);
  // Two variables in one word; INC makes a value, it does not move one.
  assert.deepEqual(await chain('counted', 'one'), ['popped+2 0x2']);
  assert.deepEqual(await chain('loaded', 'eax'), ['counted+0 ', 'popped+1 0x2']);
  // A return address does not come from the table that the call went through.
  assert.match((await chain('called', '[rsp]')).join(), /^loaded\+0 0x\w+$/);
});

test('where one branch has no more of the code that they part in, the comparison says so', async () => {
  const debug = await opened('linux_nmi.S');
  debug.fire('nmi');
  await debug.step(3);
  debug.go(2);
  debug.fire('mc');
  assert.match(
    await printed(debug, 'compare 0 1'),
    /0 main goes on at nmi\+1 \(#2\); 1 mc at nmi\+1 has nothing more of NMI 1$/,
  );
});

test('nothing runs to a property that is not looked at, or to a hit that there cannot be', async () => {
  const debug = await opened('linux_nmi.S');
  for (const command of ['until failure contxt', 'until nmi hit 0', 'break nmi hit 0']) {
    assert.equal((await debug.command(command)).error, true, command);
  }
  assert.equal(debug.position.index, 0);
});

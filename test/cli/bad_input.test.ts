/** Bad input: one clear line on standard error that says what is wrong and where; exit status 2; no stack trace. */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { asm, directory, type Ended, each, entrace, file } from './entrace.js';

const NMI = asm('linux_nmi.S');
const handler = (name: string, instruction: string, more = ''): string =>
  file(name, `\t.globl nmi\nnmi:\n\t${instruction}\n\tiretq\n${more}`);

/** The lines of standard error of a refused command: the message, then notes. */
function refusal(ended: Ended, name: string): string[] {
  assert.equal(ended.status, 2, `${name}: ${ended.stderr}`);
  assert.doesNotMatch(ended.stderr, /^\s+at /m, name);
  assert.equal(ended.stdout, '', name);
  return ended.stderr.trimEnd().split('\n');
}

/** Each command is refused with this message, and no line besides but the notes. */
async function refused(cases: readonly (readonly [readonly string[], RegExp, ...RegExp[]])[]): Promise<void> {
  await each(cases, async ([args, message, ...notes]) => {
    const name = args.join(' ');
    const lines = refusal(await entrace(args), name);
    assert.match(lines[0]!, message, name);
    assert.equal(lines.length, 1 + notes.length, `${name}: ${lines.join('\n')}`);
    notes.forEach((note, i) => {
      assert.match(lines[i + 1]!, note, name);
    });
  });
}

test('files that are not there, or cannot be read', async () => {
  mkdirSync(join(directory, 'dir.S'));
  await refused([
    [['explore', 'missing.S'], /^entrace: missing\.S: no such file$/],
    [['explore', 'a'.repeat(5000)], /^entrace: a+: no such file$/],
    [['explore', 'dir.S'], /^entrace: dir\.S: is a directory; expected an assembler file$/],
    [['explore', NMI, 'missing.S'], /^entrace: missing\.S: no such file$/],
    // Reading its first page fails, whoever asks.
    [['explore', '/proc/self/mem'], /^entrace: \/proc\/self\/mem: cannot be read \(EIO\)$/],
    [['explore', NMI, '--context', 'missing.S'], /^entrace: missing\.S: no such file$/],
    [['explore', NMI, NMI], /linux_nmi\.S: is given twice; name each file of the image once$/],
    [['explore', NMI, join(NMI, '..', 'linux_nmi.S')], /is given twice/],
    [
      ['explore', file('include.S', '#include "nowhere.h"\n')],
      /^entrace: include\.S:1:1: cannot find include file "nowhere\.h"/,
    ],
  ]);
});

test('files that are no assembly', async () => {
  await refused([
    [['explore', file('empty.S', '')], /^entrace: empty\.S: no entry point .* define asm_exc_nmi or nmi \(\.globl\)/],
    [
      ['explore', file('elf.S', '\x7fELF\x02\x01\x01\0\0\0')],
      /^entrace: elf\.S: ends after 10 bytes, within the ELF header/,
    ],
    [
      [
        'explore',
        file(
          'noise.S',
          Uint8Array.from({ length: 4000 }, (_, i) => (i * i * 31 + 7 * i) & 255),
        ),
      ],
      /^entrace: noise\.S:\d+:\d+: /,
    ],
    [['explore', file('escape.S', '\x1b[2J\x07nmi %rax\n')], /^entrace: escape\.S:1:1: \P{Cc}*$/u],
  ]);
});

test('a syntax error names file, line and column, and the macros around it', async () => {
  const nested = file(
    'nested.S',
    '\t.macro INNER reg\n\tbogus \\reg\n\t.endm\n\t.macro OUTER reg\n\tINNER \\reg\n\t.endm\n\t.globl nmi\nnmi:\tOUTER %rax\n\tiretq\n',
  );
  await refused([
    [
      ['explore', nested],
      /^entrace: nested\.S:2:2: unknown instruction "bogus"; expected an instruction, a directive or a macro$/,
      /^ {2}in expansion of macro INNER at nested\.S:5$/,
      /^ {2}in expansion of macro OUTER at nested\.S:8$/,
    ],
    [
      ['explore', handler('unknown.S', 'frobnicate %rax')],
      /^entrace: unknown\.S:3:2: unknown instruction "frobnicate"/,
    ],
    [['explore', handler('operands.S', 'addq %rax')], /^entrace: operands\.S:3:2: /],
    [['explore', file('if.S', '#if 1\n\tnop\n')], /^entrace: if\.S:1:/],
  ]);
});

test('images that cannot be linked', async () => {
  await refused([
    [
      ['explore', handler('undefined.S', 'movq table(%rip), %rax')],
      /^entrace: undefined\.S:3: symbol table is used as data but not defined; define it in one of the given files$/,
    ],
    [
      ['explore', file('other.S', '\t.globl other\nother:\tiretq\n')],
      /^entrace: other\.S: no entry point of the platform linux is defined; define asm_exc_nmi or nmi \(\.globl\) for the NMI handler$/,
    ],
    [
      ['explore', file('both.S', '\t.section .both,"awx",@progbits\n\t.globl nmi\nnmi:\tiretq\n')],
      /^entrace: both\.S: section \.both is both writable and executable; .* drop one of the flags$/,
    ],
    [
      ['explore', NMI, handler('again.S', 'nop')],
      /^entrace: again\.S:2: symbol nmi is already defined in \S*linux_nmi\.S:\d+; rename one or declare it \.weak$/,
    ],
    [
      [
        'explore',
        NMI,
        '--context',
        file('context.S', '\t.text\n\t.globl context_end\ncontext_end:\n\tjmp context_end\n'),
      ],
      /^entrace: context\.S: a context must define the global symbol context_start$/,
    ],
    [
      ['explore', handler('endless.S', 'call do_nmi', '\t.globl do_nmi\ndo_nmi:\tret\n'), '--events', 'bp=1'],
      /^entrace: endless\.S:6: the end of do_nmi is not known: put a label do_nmi_end after it/,
    ],
    [
      ['explore', handler('faulting.S', 'call do_nmi', '\t.globl do_nmi\ndo_nmi:\tret\n'), '--events', 'swint:128=1'],
      /^entrace: faulting\.S:6: the end of do_nmi is not known: .*say where swint:0x80 may fire with --at swint:0x80=LABEL\.\.LABEL$/,
    ],
  ]);
});

test('instructions that the machine does not model, with the place and how it was reached', async () => {
  const note = /^ {2}reached by nmi@context_start\+0$/;
  await refused([
    [
      ['explore', handler('xmm.S', 'movdqa %xmm0, %xmm1')],
      /^entrace: xmm\.S:3: nmi\+0: .*movdqa.* does not model/,
      note,
    ],
    [
      ['explore', handler('rdtsc.S', 'rdtsc')],
      /^entrace: rdtsc\.S:3: nmi\+0: rdtsc reads a counter, and time is not modelled/,
      note,
    ],
    [['explore', handler('rdrand.S', 'rdrand %rax')], /^entrace: rdrand\.S:3: nmi\+0: .*rdrand/, note],
  ]);
});

test('names that there are not, with those that there are', async () => {
  await refused([
    [['explore', NMI, '--platform', 'bsd'], /^entrace: there is no platform 'bsd'; the platforms are linux, xen$/],
    [
      ['explore', NMI, '--profile', 'via'],
      /^entrace: there is no profile 'via'; the profiles are intel, amd, fred, or the path of a .yaml file$/,
    ],
    [
      ['explore', NMI, '--context', 'idle'],
      /^entrace: there is no context 'idle'; the contexts are kernel, ldtss, syscall, syscall-gap, user, user-rsp, or the path of a \.S file$/,
    ],
    [
      ['explore', NMI, '--events', 'xyz=1'],
      /^entrace: there is no event 'xyz'; the events are nmi, mc, intr:V, msi:V, smi, smi-iret, switch, .*swint:V$/,
    ],
    [['explore', NMI, '--property', 'contxt'], /^entrace: there is no property 'contxt'; the properties are context, /],
    [['explore', NMI, '--property', 'context,'], /^entrace: there is no property ''/],
    [['explore', NMI, '--at', 'nmi=nowhere'], /^entrace: there is no label 'nowhere' in the image$/],
    [
      ['explore', NMI, '--at', 'bp=do_nmi+500'],
      /^entrace: 'do_nmi\+500': there are not so many instructions after do_nmi$/,
    ],
  ]);
});

test('options that cannot be read', async () => {
  const more = /^\(entrace --help shows what there is\)$/;
  await refused([
    [
      ['explore', NMI, '--events', 'nmi'],
      /^entrace: events 'nmi': 'nmi' is not of the form KIND=NUMBER, for example nmi=2,bp=1$/,
    ],
    [['explore', NMI, '--events', 'nmi=1,nmi=2'], /^entrace: events 'nmi=1,nmi=2': nmi is given twice$/],
    [['explore', NMI, '--at', 'bp'], /^entrace: --at 'bp': expected KIND=LABEL\.\.LABEL/],
    [
      ['explore', NMI, '--at', 'bp=do_nmi_end..do_nmi'],
      /^entrace: 'do_nmi_end\.\.do_nmi': the end lies before the start$/,
    ],
    [['explore', NMI, '--define', '1A=2'], /^error: .*'1A=2' is invalid\. expected NAME or NAME=VALUE\.$/, more],
    [['explore', NMI, '--workers', '0'], /^error: .*'0' is invalid\. expected a whole number above 0\.$/, more],
    [['explore', NMI, '--max-states', 'many'], /^error: .*'many' is invalid/, more],
    [['explore', NMI, '--events'], /^error: option '--events <bound>' argument missing$/, more],
    [['explore', NMI, '--bogus'], /^error: unknown option '--bogus'$/, more],
    [['explore'], /^error: missing required argument 'image'$/, more],
    [['simulate', NMI], /^error: unknown command 'simulate'$/, more],
    [['replay'], /^error: missing required argument 'path'$/, more],
  ]);
});

test('results that cannot be written are refused before the search', async () => {
  const plain = file('plain', '');
  const long = ['--context', 'user', '--events', 'nmi=200,bp=200'];
  await refused([
    [
      ['explore', NMI, ...long, '--json', 'nowhere/x.json'],
      /^entrace: --json nowhere\/x\.json: cannot be written \(ENOENT\)$/,
    ],
    [['explore', NMI, ...long, '--json', '.'], /^entrace: --json \.: cannot be written \(EISDIR\)$/],
    [['explore', NMI, ...long, '--save', plain], /^entrace: --save plain: cannot make the directory \(ENOTDIR\)$/],
    [
      ['explore', NMI, ...long, '--save', `${plain}/x`],
      /^entrace: --save plain\/x: cannot make the directory \(ENOTDIR\)$/,
    ],
    [
      ['explore', NMI, ...long, '--save', '/proc/x'],
      /^entrace: --save \/proc\/x: cannot make the directory \(ENOENT\)$/,
    ],
  ]);
});

test('path files that are none, or do not fit', async () => {
  const source = file('small.S', '\t.globl nmi\nnmi:\n\tiretq\n');
  const saved = await entrace(['explore', source, '--events', 'nmi=1', '--save', 'paths']);
  assert.equal(saved.status, 1);
  const name = 'nmi-ledger-nmi-context_start+3.json';
  assert.ok(readdirSync(join(directory, 'paths')).includes(name));
  const text = readFileSync(join(directory, 'paths', name), 'utf8');
  const changed = (to: string, from: string | RegExp, by: string): string => {
    const other = text.replace(from, by);
    assert.notEqual(other, text);
    return file(`paths/${to}.json`, other);
  };
  await refused([
    [['replay', 'missing.json'], /^entrace: missing\.json: there is no such file$/],
    [['replay', 'paths'], /^entrace: paths: is a directory; name a path file \(\.json\)$/],
    [['replay', source], /^entrace: small\.S: is not JSON \(.*\); save it anew with explore --save$/],
    [['replay', file('list.json', '[1, 2]')], /^entrace: list\.json: /],
    [
      ['replay', changed('image', /"image": "[0-9a-f]*"/, `"image": "${'0'.repeat(64)}"`)],
      /image\.json: was recorded on another image \(sha256 000000000000…, the files now give [0-9a-f]{12}…\); explore again with --save$/,
    ],
    [['replay', changed('event', '"event": "nmi"', '"event": "zap"')], /event\.json: field path\.0\.event: /],
    [
      ['replay', changed('hit', '"hit": 1', '"hit": 1000')],
      /hit\.json: the path does not apply: context_start\+3 \(time 1000\) is never reached$/,
    ],
    [
      ['replay', changed('boundary', 'context_start+3', 'context_start+300')],
      /boundary\.json: 'context_start\+300': there are not so many instructions after context_start$/,
    ],
    [
      ['replay', changed('label', 'context_start+3', 'somewhere+3')],
      /label\.json: there is no label 'somewhere' in the image$/,
    ],
    [['replay', changed('files', 'small.S', 'gone.S')], /^entrace: \S*gone\.S: no such file$/],
    [['replay', changed('property', '"nmi-ledger"', '"ledger"')], /^entrace: there is no property 'ledger'/],
    [['replay', changed('more', '"hit": 1', '"hit": 1, "more": 2')], /more\.json: field path\.0: Unrecognized key/],
  ]);
});

/** Reading scenarios: what a file may say, and what is said about one that is wrong. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { InputError } from '../../src/errors.js';
import { casesOf, type Scenario } from '../../src/scenarios/scenario.js';
import { readScenario, scenarioFrom } from '../../src/scenarios/scenario_file.js';
import { jsonSchema } from '../../src/scenarios/schema.js';

const REFUSED_CODE: readonly (readonly [string, RegExp])[] = [
  ['features: [pti, pti]', /x\.yaml:2:\d+: features: pti is given twice$/],
  ["features: 'pti,'", /x\.yaml:2:11: features 'pti,': a name is missing; /],
  ["features: 'none,pti'", /x\.yaml:2:11: features 'none,pti': 'none' stands alone; /],
  ['stub: { exc_nmi: nowhere.S }', /x\.yaml:2:\d+: stub: there is no file nowhere\.S/],
  ['stub: [exc_nmi]', /x\.yaml:2:7: stub: expected a mapping with functions and the files/],
];

test('what is wrong with these fields is said with its place', () => {
  for (const [line, message] of REFUSED_CODE) {
    assert.throws(() => read(`title: t\n${line}\n${REST}`), { name: 'InputError', message }, line);
  }
});

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'entrace-scenario-'));
process.on('exit', () => rmSync(directory, { recursive: true, force: true }));
process.chdir(directory);
writeFileSync('x.S', '');

function read(text: string, name = 'x.yaml'): Scenario {
  mkdirSync(dirname(name), { recursive: true });
  writeFileSync(name, text);
  return readScenario(name);
}

const REST = 'image: x.S\nevents: { nmi: 2 }\nexpect: holds\n';

test('a short scenario gets the defaults', () => {
  const { places, files, ...rest } = read(`title: A title\n${REST}`, 'scenarios/deep/er/x.yaml');
  // The image lies three folders higher.
  assert.deepEqual(files, [join(process.cwd(), 'x.S')]);
  assert.equal(places.expect, 'scenarios/deep/er/x.yaml:4:9');
  assert.deepEqual(rest, {
    name: 'scenarios/deep/er/x',
    title: 'A title',
    races: [],
    source: undefined,
    platform: 'linux',
    profiles: ['intel'],
    knobs: {},
    contexts: ['kernel'],
    sources: { defines: {}, includePaths: [], forcedIncludes: [], assembler: 'keystone' },
    code: { stubs: [], through: [] },
    features: [],
    missing: undefined,
    bound: { nmi: 2 },
    at: [],
    schedule: undefined,
    properties: undefined,
    maxStates: undefined,
    long: false,
    fails: [],
    unfixable: undefined,
  });
});

test('real code: features, stand-ins, functions that are run through', () => {
  const s = read(`title: t
features: [none, 'pti, FSGSBASE']
stub: { exc_nmi: x.S, default_do_nmi: null }
through: exc_debug
${REST}`);
  assert.deepEqual(s.code, {
    stubs: [
      { name: 'exc_nmi', file: join(process.cwd(), 'x.S') },
      { name: 'default_do_nmi', file: undefined },
    ],
    through: ['exc_debug'],
  });
  assert.deepEqual(
    casesOf(s).map((one) => [one.name, one.features]),
    [
      ['x [none]', ['none']],
      ['x [pti+FSGSBASE]', ['pti', 'fsgsbase']],
    ],
  );
  assert.deepEqual(
    casesOf(read(`title: t\nfeatures: pti\n${REST}`)).map((one) => [one.name, one.features]),
    [['x', ['pti']]],
  );
});

test('an image that has to be fetched may be missing: the scenario then says what to do', () => {
  const fetched = `title: t\nobtain: run make downloads\n${REST}`;
  assert.equal(read(fetched).missing, undefined);
  assert.equal(read(fetched.replace('x.S', 'downloads/y.o')).missing, 'downloads/y.o is not there: run make downloads');
});

test('all fields', () => {
  const s = read(`title: All
races: [L-3, C1]
source: CVE-2015-3290
platform: linux
profile: [intel, amd]
knobs: { smmNmiPolicy: iret-unblocks }
image: [x.S]
context: [kernel, user]
define: { A: 1, B: "two" }
events: { nmi: 2, bp: 1, 'intr:2': 1 }
at: { bp: 'do_nmi..do_nmi_end', nmi: [nmi, 'write:word'] }
properties: [context, progress]
max-states: 1000
long: true
expect:
  fails:
    context: [nmi+1..3, mc@nmi]
    progress: [nmi]
  known-unfixable: because
`);
  assert.deepEqual(s.bound, { nmi: 2, bp: 1, 'intr:0x2': 1 });
  assert.deepEqual(s.at, ['bp=do_nmi..do_nmi_end', 'nmi=nmi', 'nmi=write:word']);
  assert.deepEqual(s.sources.defines, { A: '1', B: 'two' });
  assert.deepEqual(s.knobs, { smmNmiPolicy: 'iret-unblocks' });
  assert.deepEqual(
    s.fails.map((f) => [f.property, f.boundaries?.map((b) => b.text)]),
    [
      ['context', ['nmi+1..3', 'mc@nmi']],
      ['progress', ['nmi']],
    ],
  );
  assert.equal(s.fails[0]!.boundaries![1]!.place, 'x.yaml:17:25');
  assert.equal(s.unfixable, 'because');
  assert.deepEqual(
    casesOf(s).map((c) => c.name),
    ['x [kernel, intel]', 'x [kernel, amd]', 'x [user, intel]', 'x [user, amd]'],
  );
});

test('a schedule instead of events', () => {
  const s = read(`title: S
image: x.S
schedule: [nmi@context_start+1, 'bp@do_nmi+0#3']
expect: { fails: [context, progress] }
`);
  assert.equal(s.bound, undefined);
  assert.deepEqual(
    s.schedule!.map(({ event, boundary, hit }) => [event, boundary, hit]),
    [
      ['nmi', 'context_start+1', 1],
      ['bp', 'do_nmi+0', 3],
    ],
  );
  assert.deepEqual(
    s.fails.map((f) => [f.property, f.boundaries]),
    [
      ['context', undefined],
      ['progress', undefined],
    ],
  );
});

const FAILS = 'title: x\nimage: x.S\nevents: { nmi: 2 }\n';

const WRONG: readonly (readonly [string, RegExp])[] = [
  ['', /^x\.yaml:1:1: expected a mapping with title:, image:, events: and expect:$/],
  ['- 1\n', /^x\.yaml:1:1: expected a mapping/],
  ['title: [\n', /^x\.yaml:2:1: is not the YAML of a scenario: /],
  [`title: x\n${REST}---\ntitle: y\n`, /^x\.yaml:5:1: .*a second document begins here; a file holds one scenario$/],
  [
    `title: x\nevnts: { nmi: 1 }\n${REST}`,
    /^x\.yaml:2:1: there is no field 'evnts' \(did you mean events\?\); the fields are /,
  ],
  [`titel: x\n${REST}`, /^x\.yaml:1:1: there is no field 'titel' \(did you mean title\?\)/],
  ['title: x\nimage: x.S\nexpect: holds\n', /^x\.yaml:1:1: neither events: nor schedule: says what fires; add one/],
  ['title: x\nimage: x.S\nevents: { nmi: 1 }\n', /^x\.yaml:1:1: expect: is missing; add it$/],
  [
    'title: x\nimage: y.S\nevents: { nmi: 1 }\nexpect: holds\n',
    /^x\.yaml:2:8: image: there is no file y\.S, neither in .* nor in a folder above it$/,
  ],
  [
    'title: x\nimage: []\nevents: { nmi: 1 }\nexpect: holds\n',
    /^x\.yaml:2:8: image: is an empty list; name an assembly file$/,
  ],
  ['title: x\nimage: [x.S, x.S]\nevents: { nmi: 1 }\nexpect: holds\n', /^x\.yaml:2:14: image: x\.S is given twice$/],
  [
    `title: "#1" \nsource: issue #12\n${REST}`,
    /^x\.yaml:2:9: source: what follows ' #' would be a comment; put the text in quotes$/,
  ],
  [`title: x\nplatform: linus\n${REST}`, /^x\.yaml:2:11: there is no platform 'linus'/],
  [`title: x\nprofile: [intel, imd]\n${REST}`, /^x\.yaml:2:18: there is no profile 'imd' \(did you mean amd\?\)/],
  [`title: x\ncontext: kernal\n${REST}`, /^x\.yaml:2:10: there is no context 'kernal'/],
  [`title: x\ncontext: ./my.S\n${REST}`, /^x\.yaml:2:10: context: there is no file \.\/my\.S/],
  [
    `title: x\nknobs: { smmNmiPolice: preserved }\n${REST}`,
    /^x\.yaml:2:10: there is no knob 'smmNmiPolice' \(did you mean smmNmiPolicy\?\)/,
  ],
  [
    `title: x\nknobs: { smmNmiPolicy: maybe }\n${REST}`,
    /^x\.yaml:2:24: knobs\.smmNmiPolicy: expected preserved, .*, not "maybe"$/,
  ],
  ['title: x\nimage: x.S\nevents: { nmy: 1 }\nexpect: holds\n', /^x\.yaml:3:9: there is no event 'nmy'/],
  [
    'title: x\nimage: x.S\nevents: { nmi: 0 }\nexpect: holds\n',
    /^x\.yaml:3:16: events\.nmi: expected at least 1, not 0$/,
  ],
  [
    'title: x\nimage: x.S\nevents: { nmi: 999 }\nexpect: holds\n',
    /^x\.yaml:3:9: events 'nmi=999': at most 255 events of a kind$/,
  ],
  [`title: x\nat: { bp: nmi }\n${REST}`, /^x\.yaml:2:7: at: bp is not among the events \(nmi\); add it there$/],
  [
    `title: x\nschedule: [nmi@nmi]\n${REST}`,
    /^x\.yaml:2:1: schedule: stands instead of events: and at:; leave one of them out$/,
  ],
  [
    'title: x\nimage: x.S\nschedule: [nmi]\nexpect: holds\n',
    /^x\.yaml:3:12: schedule: 'nmi' is not of the form EVENT@BOUNDARY/,
  ],
  [
    `title: x\nproperties: [contxt]\n${REST}`,
    /^x\.yaml:2:14: properties\.0: expected a property: context, .*, not "contxt"$/,
  ],
  [`${FAILS}expect: hold\n`, /^x\.yaml:4:9: expect: expected 'holds', or a mapping with fails:, not "hold"$/],
  [
    `${FAILS}expect: { fails: context }\n`,
    /^x\.yaml:4:11: expect: boundaries: is missing; name the exact set at which context fails, for example boundaries: \[nmi\+0\.\.2\]$/,
  ],
  [
    `${FAILS}expect: { fails: [context, progress] }\n`,
    /^x\.yaml:4:11: expect: the boundaries are missing; write fails: as a mapping/,
  ],
  [
    `${FAILS}expect: { fails: { context: [] } }\n`,
    /^x\.yaml:4:29: expect\.fails\.context: is empty; name the boundaries at which it fails$/,
  ],
  [`${FAILS}expect: { fails: { contxt: [nmi] } }\n`, /^x\.yaml:4:20: .*contxt/],
  [
    `${FAILS}expect: { fails: { context: [nmi] }, boundaries: [nmi] }\n`,
    /^x\.yaml:4:38: expect: boundaries: goes with a single property under fails:$/,
  ],
  [
    `${FAILS}expect: { fail: context }\n`,
    /^x\.yaml:4:11: there is no field 'fail' \(did you mean fails\?\); the fields are fails, boundaries, known-unfixable$/,
  ],
  [
    `${FAILS}properties: [progress]\nexpect: { fails: context, boundaries: [nmi] }\n`,
    /^x\.yaml:5:18: expect: context is not among the properties that are checked; add it there$/,
  ],
];

test('what is wrong in a file is said in one line with its place', () => {
  for (const [text, message] of WRONG) {
    assert.throws(
      () => read(text),
      (error: Error) => {
        assert.ok(error instanceof InputError, `${text}: ${error.stack}`);
        assert.match(error.message, message, text);
        assert.ok(!error.message.includes('\n'), error.message);
        return true;
      },
      text,
    );
  }
});

test('files that cannot be read', () => {
  assert.throws(() => readScenario('nothing.yaml'), /^InputError: nothing\.yaml: there is no such file$/);
  assert.throws(() => readScenario('.'), /is a directory; name a scenario \(\.yaml\)/);
  assert.throws(() => readScenario('/dev/zero'), /is a device; expected a scenario \(\.yaml\)/);
  writeFileSync('binary.yaml', Uint8Array.of(0xff, 0xfe, 0x80));
  assert.throws(() => readScenario('binary.yaml'), /binary\.yaml: is no text; name a scenario/);
});

test('a scenario from an object', () => {
  const fields = { title: 'From code', image: 'x.S', events: { nmi: 1 }, expect: 'holds' };
  assert.equal(scenarioFrom(fields, directory).name, 'From code');
  assert.throws(
    () => scenarioFrom({ ...fields, evnts: {} }, directory),
    /From code: there is no field 'evnts' \(did you mean events\?\)/,
  );
  assert.throws(() => scenarioFrom({ ...fields, image: 'y.S' }, directory), /From code: image: there is no file y\.S/);
  assert.throws(() => scenarioFrom(undefined, directory), /InputError: scenario: expected a mapping/);
});

test('the JSON schema that is shipped is the one that files are checked by', () => {
  const shipped = JSON.parse(readFileSync(join(ROOT, 'scenario.schema.json'), 'utf8'));
  assert.deepEqual(shipped, JSON.parse(JSON.stringify(jsonSchema())), 'npm run schema makes it anew');
  assert.deepEqual(shipped.required, ['title', 'image', 'expect']);
  assert.equal(shipped.additionalProperties, false);
});

/** The reporters of a suite: each in its format, whatever the names and messages hold. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { XMLParser, XMLValidator } from 'fast-xml-parser';
import { paintFor } from '../../src/report/text.js';
import type { Outcome } from '../../src/scenarios/outcome.js';
import { chooseReporter, type Ran, REPORTER_NAMES, type SuiteEnd } from '../../src/scenarios/reporters/reporter.js';
import type { Case, Scenario } from '../../src/scenarios/scenario.js';

const failure = (property: string, boundary: string, address: bigint) => ({
  property,
  boundary,
  address,
  event: 'nmi',
  instructions: 1,
  path: [{ boundary, address, hit: 1, event: 'nmi' }],
});

function ran(name: string, rest: Partial<Outcome>, scenario: Partial<Scenario> = {}): Ran {
  const outcome: Outcome = {
    ...{ name, title: name, status: 'met', problems: [], report: undefined, saved: [], cached: false, seconds: 0.5 },
    result: { verdict: 'holds', states: 1234, transitions: 2000, seconds: 0.25, stopped: undefined, failures: [] },
    ...rest,
  };
  const one = {
    name,
    files: ['/x/a.S'],
    races: [],
    unfixable: undefined,
    source: undefined,
    platform: 'linux',
    ...scenario,
  };
  return { case: { scenario: one, name, profile: 'intel', context: 'kernel' } as unknown as Case, outcome };
}

const fails = {
  verdict: 'fails' as const,
  ...{ states: 10, transitions: 20, seconds: 0.125, stopped: undefined },
  failures: [failure('context', 'nmi+0', 1n), failure('context', 'nmi+1', 2n), failure('progress', 'nmi+1', 2n)],
};

const ALL: readonly Ran[] = [
  ran('suite/a/holds', {}, { races: ['L-13', 'L-2'] }),
  ran('suite/a/broken', { result: fails }, { races: ['L-2'] }),
  ran('suite/b/early', { result: fails }, { races: ['L-22'], unfixable: 'No handler can #1.' }),
  ran('suite/b/wrong # <&>', {
    title: 'A title',
    status: 'unmet',
    problems: ['context fails also at nmi+1, which is not expected'],
    report: 'one\n\n\u001b[31mtwo\u001b[39m\u0001 ]]>',
    saved: ['p/context.json', 'p/other.json'],
    result: fails,
  }),
  ran('suite/b/stopped', { status: 'open', problems: ['not closed: too many states'] }),
  {
    case: undefined,
    outcome: ran('suite/c/file', { status: 'bad-input', problems: ['x.yaml:1:1: is empty'], result: undefined })
      .outcome,
  },
  ran('suite/c/crash', { status: 'crashed', problems: ['ended by SIGSEGV'], result: undefined }),
  ran('suite/c/hang', { status: 'hung', problems: ['no sign of life'], result: undefined }),
  ran('suite/c/unfetched', { status: 'skipped', problems: ['x.o is not there: run make x'], result: undefined }),
];

function report(name: string, list: readonly Ran[] = ALL, left = 0): string {
  const reporter = chooseReporter(name).make(paintFor({}));
  const end: SuiteEnd = { ran: list, left, seconds: 3.25 };
  const parts = [
    reporter.begin?.(list.length + left),
    ...list.map((r, i) => reporter.outcome?.(r, i + 1)),
    reporter.end(end),
  ];
  return parts.join('');
}

test('text: a line each, all of what failed, a table, the count', () => {
  assert.equal(
    report('text'),
    `ok    suite/a/holds: holds, 1,234 states, 0.5 s
ok    suite/a/broken: fails as it must in context, progress (2 boundaries), 10 states, 0.5 s
ok    suite/b/early: fails as it must in context, progress (2 boundaries, known to be unfixable), 10 states, 0.5 s
FAIL  suite/b/wrong # <&>, 10 states, 0.5 s
      A title
      context fails also at nmi+1, which is not expected

      one

      two\u0001 ]]>

      2 paths saved in p; entrace replay p/context.json runs the first, and entrace debug steps through it
OPEN  suite/b/stopped, 1,234 states, 0.5 s
      not closed: too many states
ERROR suite/c/file
      x.yaml:1:1: is empty
CRASH suite/c/crash
      ended by SIGSEGV
HUNG  suite/c/hang
      no sign of life
SKIP  suite/c/unfetched: x.o is not there: run make x

         cases  passed  failed  states  seconds
suite/a      2       2       0   1,244      1.0
suite/b      3       1       2   1,254      1.5
suite/c      4       0       3       0      2.0
all          9       3       5   2,498      4.5

9 cases, 3.3 s
FAIL  suite/b/wrong # <&>
OPEN  suite/b/stopped
ERROR suite/c/file
CRASH suite/c/crash
HUNG  suite/c/hang
3 passed, 5 failed, 1 skipped
`,
  );
  assert.match(report('text', ALL.slice(0, 1), 2), /interrupted: 2 cases not run\n1 passed, 0 failed\n$/);
});

test('KTAP: version, plan, results with directives, diagnostics before the result they belong to', () => {
  assert.equal(
    report('ktap'),
    `KTAP version 1
1..9
ok 1 suite/a/holds
ok 2 suite/a/broken
ok 3 suite/b/early # XFAIL No handler can #1.
# context fails also at nmi+1, which is not expected
# one
# two\u0001 ]]>
not ok 4 suite/b/wrong _ <&>
# not closed: too many states
not ok 5 suite/b/stopped # ERROR not closed
# x.yaml:1:1: is empty
not ok 6 suite/c/file # ERROR cannot be run
# ended by SIGSEGV
not ok 7 suite/c/crash # ERROR crashed
# no sign of life
not ok 8 suite/c/hang # TIMEOUT
ok 9 suite/c/unfetched # SKIP x.o is not there: run make x
# Totals: pass:3 fail:5 skip:1 total:9
`,
  );
  assert.match(report('ktap', ALL.slice(0, 1), 2), /1\.\.3\n[\s\S]*Bail out! interrupted, 2 not run\n$/);
});

test('JUnit: well-formed XML with the counts that its elements bear out', () => {
  const xml = report('junit');
  assert.equal(XMLValidator.validate(xml), true);
  const parser = new XMLParser({ ignoreAttributes: false, isArray: (name) => /^(testsuite|testcase)$/.test(name) });
  const { testsuites } = parser.parse(xml);
  assert.deepEqual([testsuites['@_tests'], testsuites['@_failures'], testsuites['@_errors']], ['9', '1', '4']);
  assert.deepEqual(
    testsuites.testsuite.map((s: Record<string, unknown>) => [
      s['@_name'],
      s['@_tests'],
      s['@_failures'],
      s['@_errors'],
    ]),
    [
      ['suite/a', '2', '0', '0'],
      ['suite/b', '3', '1', '1'],
      ['suite/c', '4', '0', '3'],
    ],
  );
  const skipped = testsuites.testsuite[2].testcase[3];
  assert.equal(skipped.skipped['@_message'], 'x.o is not there: run make x');
  const wrong = testsuites.testsuite[1].testcase[1];
  assert.equal(wrong['@_name'], 'wrong # <&>');
  assert.equal(wrong.failure['@_message'], 'context fails also at nmi+1, which is not expected');
  assert.match(wrong.failure['#text'], /one\s+two\? \]\]>/);
});

test('JSON: one object with everything', () => {
  const json = JSON.parse(report('json'));
  assert.deepEqual([json.passed, json.failed, json.skipped, json.cases.length], [3, 5, 1, 9]);
  const [, broken, early, wrong] = json.cases;
  assert.deepEqual(broken.failures[0], {
    property: 'context',
    boundary: 'nmi+0',
    address: '0x1',
    event: 'nmi',
    path: [{ boundary: 'nmi+0', hit: 1, event: 'nmi' }],
  });
  assert.equal(early.knownUnfixable, 'No handler can #1.');
  assert.equal(wrong.report, 'one\n\ntwo\u0001 ]]>');
  assert.deepEqual(JSON.parse(report('json', [], 3)).notRun, 3);
});

test('the catalogue: a line for each race, in their order, only what has passed', () => {
  const rows = report('catalogue')
    .split('\n')
    .filter((line) => /^\| [A-Z]/.test(line));
  assert.deepEqual(rows, [
    '| L-2 | suite/a/broken: **context** nmi+0..+1; **progress** nmi+1 | suite/a/holds | intel | 0.4 |',
    '| L-13 | – | suite/a/holds | intel | 0.3 |',
    '| L-22 | suite/b/early (known to be unfixable): **context** nmi+0..+1; **progress** nmi+1 | – | intel | 0.1 |',
  ]);
});

test('reporters are chosen by name, with a file', () => {
  assert.deepEqual(chooseReporter('junit=a=b.xml').file, 'a=b.xml');
  assert.throws(
    () => chooseReporter('junitt'),
    /there is no such reporter \(did you mean junit\?\); the reporters are text, ktap, junit, json, catalogue/,
  );
  assert.throws(() => chooseReporter('toString'), /there is no such reporter/);
  assert.throws(() => chooseReporter('text='), /names no file/);
  assert.equal(REPORTER_NAMES.length, 5);
});

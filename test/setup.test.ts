import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';

const script = fileURLToPath(new URL('../../scripts/setup.sh', import.meta.url));

// What the script uses besides the programs that are faked below.
const TOOLS = ['cat', 'cksum', 'cp', 'dirname', 'find', 'head', 'mkdir', 'mv', 'paste', 'rm', 'sed', 'sh'];

const FAKES: Readonly<Record<string, string>> = {
  id: 'echo "$FAKE_UID"',
  npm: `echo "npm $1" >>"$FAKE_CALLS"
if [ -n "$FAKE_OFFLINE" ]; then echo "npm error code EAI_AGAIN"; echo "npm error syscall getaddrinfo"; exit 1; fi
rm -rf node_modules && mkdir node_modules`,
  'apt-get': `while [ "$1" = -o ]; do shift 2; done
echo "apt-get $1" >>"$FAKE_CALLS"
if [ -n "$FAKE_OFFLINE" ]; then echo "W: Failed to fetch the lists"; echo "E: Unable to locate package libunicorn2"; exit 100; fi
case $1 in
  update) : >"$FAKE_LISTS" ;;
  install) [ -e "$FAKE_LISTS" ] && cp "$FAKE_ENGINE" "$ENTRACE_SETUP_LIBRARY" ;;
  download) [ -e "$FAKE_LISTS" ] && : >libunicorn2_2.0.1_amd64.deb ;;
esac`,
  'dpkg-deb': `echo "dpkg-deb $1" >>"$FAKE_CALLS"
mkdir -p "$3/usr/lib/x86_64-linux-gnu" && cp "$FAKE_ENGINE" "$3/usr/lib/x86_64-linux-gnu/libunicorn.so.2"`,
};

/** Some library that the dynamic loader accepts, in place of the engine. */
function anyLibrary(): string {
  const report = process.report.getReport() as unknown as { sharedObjects: string[] };
  const found = report.sharedObjects.find((path) => /\/libm\.so/.test(path));
  assert.ok(found, 'no libm among the shared objects of Node');
  return found;
}

function findTool(name: string): string {
  const directory = (process.env.PATH ?? '').split(delimiter).find((entry) => existsSync(join(entry, name)));
  assert.ok(directory, `${name} is not in PATH`);
  return join(directory, name);
}

interface Outcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** The calls of apt-get, dpkg-deb and npm that this run made. */
  readonly calls: string[];
}

/** A checkout with nothing set up, on a system with `fakes` (names out of FAKES) besides Node and the usual tools. */
class Checkout {
  readonly root: string;
  readonly #bin: string;
  readonly #variables: Record<string, string>;

  constructor(context: TestContext, fakes: readonly string[] = Object.keys(FAKES), node = '>=20') {
    const place = mkdtempSync(join(tmpdir(), 'entrace setup '));
    context.after(() => rmSync(place, { recursive: true, force: true }));
    this.root = join(place, 'checkout');
    this.#bin = join(place, 'bin');
    mkdirSync(join(this.root, 'scripts'), { recursive: true });
    mkdirSync(this.#bin);
    copyFileSync(script, join(this.root, 'scripts/setup.sh'));
    writeFileSync(join(this.root, 'package.json'), JSON.stringify({ engines: { node } }));
    writeFileSync(join(this.root, 'package-lock.json'), '{}');
    for (const name of TOOLS) symlinkSync(findTool(name), join(this.#bin, name));
    symlinkSync(process.execPath, join(this.#bin, 'node'));
    for (const name of fakes) {
      writeFileSync(join(this.#bin, name), `#!/bin/sh\n${FAKES[name]}\n`);
      chmodSync(join(this.#bin, name), 0o755);
    }
    this.#variables = {
      PATH: this.#bin,
      FAKE_CALLS: join(place, 'calls'),
      FAKE_ENGINE: anyLibrary(),
      FAKE_LISTS: join(place, 'lists'),
      FAKE_OFFLINE: '',
      FAKE_UID: '1000',
      ENTRACE_SETUP_LIBRARY: join(place, 'libunicorn.so.2'),
    };
    writeFileSync(this.#variables.FAKE_LISTS!, '');
  }

  get lists(): string {
    return this.#variables.FAKE_LISTS!;
  }

  get systemLibrary(): string {
    return this.#variables.ENTRACE_SETUP_LIBRARY!;
  }

  has(path: string): boolean {
    return existsSync(join(this.root, path));
  }

  remove(program: string): void {
    rmSync(join(this.#bin, program));
  }

  setup(variables: Readonly<Record<string, string>> = {}, args: readonly string[] = []): Outcome {
    writeFileSync(this.#variables.FAKE_CALLS!, '');
    const env = { ...this.#variables, ...variables };
    const { status, stdout, stderr } = spawnSync(join(this.root, 'scripts/setup.sh'), args, { env, encoding: 'utf8' });
    const calls = readFileSync(this.#variables.FAKE_CALLS!, 'utf8').split('\n').filter(Boolean);
    return { status, stdout, stderr, calls };
  }
}

const DONE = { status: 0, stdout: '', stderr: '', calls: [] };

/** Asserts that the run ended with status 2 and that `message`, one line, is all it wrote to stderr. */
function refused(outcome: Outcome, message: RegExp): void {
  assert.equal(outcome.status, 2, outcome.stderr);
  assert.match(outcome.stderr, message);
  assert.equal(outcome.stderr.trimEnd().split('\n').length, 1, outcome.stderr);
}

test('root: apt-get installs the library, npm the packages; a second call installs nothing', (t) => {
  const checkout = new Checkout(t);
  const first = checkout.setup({ FAKE_UID: '0' });
  assert.equal(first.status, 0, first.stderr);
  assert.deepEqual(first.calls, ['apt-get install', 'npm ci']);
  assert.equal(checkout.has('.setup/lib'), false);
  assert.deepEqual(checkout.setup({ FAKE_UID: '0' }), DONE);
});

test('root, package lists empty: they are updated first', (t) => {
  const checkout = new Checkout(t);
  rmSync(checkout.lists);
  const { status, calls } = checkout.setup({ FAKE_UID: '0' });
  assert.equal(status, 0);
  assert.deepEqual(calls, ['apt-get install', 'apt-get update', 'apt-get install', 'npm ci']);
});

test('not root: the library is unpacked into .setup/lib; a second call installs nothing', (t) => {
  const checkout = new Checkout(t);
  const first = checkout.setup();
  assert.equal(first.status, 0, first.stderr);
  assert.deepEqual(first.calls, ['apt-get download', 'dpkg-deb -x', 'npm ci']);
  assert.ok(checkout.has('.setup/lib/libunicorn.so.2'));
  assert.equal(existsSync(checkout.systemLibrary), false);
  assert.deepEqual(checkout.setup(), DONE);
});

test('not root, package lists empty: apt-get updates lists of its own', (t) => {
  const checkout = new Checkout(t);
  rmSync(checkout.lists);
  const { status, calls } = checkout.setup();
  assert.equal(status, 0);
  assert.deepEqual(calls, ['apt-get download', 'apt-get update', 'apt-get download', 'dpkg-deb -x', 'npm ci']);
  assert.equal(checkout.has('.setup/apt'), false);
});

test('an unpacked library that does not load is unpacked again', (t) => {
  const checkout = new Checkout(t);
  checkout.setup();
  writeFileSync(join(checkout.root, '.setup/lib/libunicorn.so.2'), 'cut short');
  const { status, calls } = checkout.setup();
  assert.equal(status, 0);
  assert.deepEqual(calls, ['apt-get download', 'dpkg-deb -x']);
});

for (const [who, uid] of [
  ['root', '0'],
  ['not root', '1000'],
] as const) {
  test(`${who}, no network: one line names the package and the cause`, (t) => {
    const outcome = new Checkout(t).setup({ FAKE_UID: uid, FAKE_OFFLINE: '1' });
    refused(
      outcome,
      /^setup: apt-get cannot \w+ libunicorn2 \(Failed to fetch the lists\): connect to the network or install /,
    );
    assert.equal(outcome.calls.includes('npm ci'), false);
  });
}

test('no network for npm: one line names the cause, and the next call tries again', (t) => {
  const checkout = new Checkout(t);
  copyFileSync(anyLibrary(), checkout.systemLibrary);
  refused(
    checkout.setup({ FAKE_OFFLINE: '1' }),
    /^setup: npm ci failed \(code EAI_AGAIN syscall getaddrinfo\): connect /,
  );
  assert.deepEqual(checkout.setup().calls, ['npm ci']);
});

test('a system without apt-get: the package is named, nothing is installed', (t) => {
  const outcome = new Checkout(t, ['id', 'npm']).setup();
  refused(outcome, /^setup: the Unicorn library .* install the package of Unicorn 2 \(Debian, Ubuntu: libunicorn2;/);
  assert.deepEqual(outcome.calls, []);
});

test('the library is there already: only npm runs', (t) => {
  const checkout = new Checkout(t, ['id', 'npm']);
  copyFileSync(anyLibrary(), checkout.systemLibrary);
  assert.deepEqual(checkout.setup().calls, ['npm ci']);
  assert.deepEqual(checkout.setup(), DONE);
});

test('ENTRACE_LIBUNICORN is taken as it is, and refused if it does not load', (t) => {
  const checkout = new Checkout(t);
  assert.deepEqual(checkout.setup({ ENTRACE_LIBUNICORN: anyLibrary() }).calls, ['npm ci']);
  refused(
    checkout.setup({ ENTRACE_LIBUNICORN: '/nowhere/libunicorn.so.2' }),
    /^setup: ENTRACE_LIBUNICORN .*\/nowhere\//,
  );
});

test('npm runs again when the lock file changed or node_modules is gone', (t) => {
  const checkout = new Checkout(t);
  checkout.setup();
  writeFileSync(join(checkout.root, 'package-lock.json'), '{ }');
  assert.deepEqual(checkout.setup().calls, ['npm ci']);
  rmSync(join(checkout.root, 'node_modules'), { recursive: true });
  assert.deepEqual(checkout.setup().calls, ['npm ci']);
});

test('no Node, an old Node, no npm: one line each', (t) => {
  const old = new Checkout(t, [], '>=99.3');
  refused(old.setup(), /^setup: Node\.js is version [\d.]+: install version 99\.3 or newer\n$/);
  const current = new Checkout(t, [], `>=${process.versions.node.split('.').slice(0, 2).join('.')}`);
  refused(current.setup(), /^setup: npm is missing: install it/);
  current.remove('node');
  refused(current.setup(), /^setup: Node\.js is missing: install version 20 or newer\n$/);
});

test('conformance: root gets the peers from apt-get, others are told their names', (t) => {
  const checkout = new Checkout(t);
  checkout.setup({ FAKE_UID: '0' });
  assert.deepEqual(checkout.setup({ FAKE_UID: '0' }, ['conformance']).calls, ['apt-get install']);
  refused(
    checkout.setup({}, ['conformance']),
    /^setup: qemu-system-x86 bochs .*binutils: not installed: install them as root\n$/,
  );
});

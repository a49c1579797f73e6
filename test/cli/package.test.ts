/** The package as another project uses it: installed from its tarball, with a scenario for a patched handler. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const project = mkdtempSync(join(tmpdir(), 'entrace-project-'));
process.on('exit', () => rmSync(project, { recursive: true, force: true }));

/** Without what Node's test runner tells the processes that it starts: one of them is a test runner itself. */
const { NODE_TEST_CONTEXT: _, ...env } = process.env;
const run = (command: string, ...args: string[]) =>
  spawnSync(command, args, { cwd: project, encoding: 'utf8', env: { ...env, NODE_OPTIONS: '' } });

test('npm pack, npm install, a scenario, npx entrace test', () => {
  const [{ filename }] = JSON.parse(
    execFileSync('npm', ['pack', '--json', '--silent', '--pack-destination', project], { cwd: ROOT, encoding: 'utf8' }),
  );
  writeFileSync(join(project, 'package.json'), '{ "name": "patched", "private": true, "type": "module" }\n');
  const installed = run('npm', 'install', '--prefer-offline', '--no-audit', '--no-fund', join(project, filename));
  assert.equal(installed.status, 0, installed.stderr);
  assert.ok(
    existsSync(join(project, 'node_modules', 'entrace', 'build', 'web', 'index.html')),
    'the page of entrace serve',
  );

  // The handler of the project: the one of Linux 4.2, patched.
  const handler = readFileSync(join(ROOT, 'asm', 'linux_nmi.S'), 'utf8');
  assert.equal(handler.split('\tstd\n').length, 2);
  mkdirSync(join(project, 'scenarios'));
  mkdirSync(join(project, 'asm'));
  cpSync(join(ROOT, 'asm', 'include'), join(project, 'asm', 'include'), { recursive: true });
  writeFileSync(join(project, 'asm', 'linux_nmi.S'), handler);
  copyFileSync(join(ROOT, 'examples', 'patched_handler.yaml'), join(project, 'scenarios', 'handler.yaml'));

  const good = run('npx', 'entrace', 'test', '--reporter', 'junit');
  assert.equal(good.status, 0, `${good.stdout}${good.stderr}`);
  assert.match(good.stdout, /<testsuites name="entrace" tests="3" failures="0" errors="0"/);

  writeFileSync(join(project, 'asm', 'linux_nmi.S'), handler.replace('\tstd\n', ''));
  const patched = run('npx', 'entrace', 'test', '--reporter', 'junit');
  assert.equal(patched.status, 1, patched.stderr);
  assert.match(patched.stdout, /<testsuites name="entrace" tests="3" failures="[123]" errors="0"/);

  writeFileSync(
    join(project, 'handler.test.js'),
    `import test from 'node:test';
import { scenario } from 'entrace';
const s = scenario({ title: 'our handler', image: 'asm/linux_nmi.S', events: { nmi: 2, bp: 1 }, expect: 'holds' });
test(s.title, s.check);
`,
  );
  const own = run(process.execPath, '--test', '--test-reporter', 'tap', 'handler.test.js');
  assert.equal(own.status, 1);
  assert.match(own.stdout, /not ok 1 - our handler[\s\S]*fails, which is not expected, at nmi@/);
});

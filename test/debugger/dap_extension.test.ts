/** examples/vscode and docs/vscode.md: what they say of the adapter is so. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { launchArguments } from '../../src/debugger/dap/launch.js';
import { entrace } from '../cli/entrace.js';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

/** A configuration in launch.json. */
const configuration = z.looseObject({ type: z.literal('entrace'), request: z.literal('launch'), name: z.string() });

/** VS Code's "Contribution Points" (contributes.debuggers, .breakpoints, .languages), as far as they are used; no other fields. */
const manifest = z.strictObject({
  name: z.string().regex(/^[a-z][a-z-]*$/),
  displayName: z.string(),
  description: z.string(),
  version: z.string().regex(/^\d+\.\d+\.\d+$/),
  publisher: z.string(),
  license: z.string(),
  private: z.literal(true),
  engines: z.strictObject({ vscode: z.string().regex(/^\^\d+\.\d+\.\d+$/) }),
  categories: z.array(z.enum(['Debuggers'])),
  contributes: z.strictObject({
    languages: z.tuple([
      z.strictObject({ id: z.string(), aliases: z.array(z.string()), extensions: z.array(z.string()) }),
    ]),
    breakpoints: z.tuple([z.strictObject({ language: z.string() })]),
    debuggers: z.tuple([
      z.strictObject({
        type: z.literal('entrace'),
        label: z.string(),
        languages: z.array(z.string()),
        runtime: z.literal('entrace'),
        runtimeArgs: z.array(z.string()),
        configurationAttributes: z.strictObject({
          launch: z.strictObject({ required: z.array(z.string()), properties: z.record(z.string(), z.unknown()) }),
        }),
        initialConfigurations: z.array(configuration),
        configurationSnippets: z.array(
          z.strictObject({ label: z.string(), description: z.string(), body: configuration }),
        ),
      }),
    ]),
  }),
});

const { contributes } = manifest.parse(JSON.parse(readFileSync(join(ROOT, 'examples/vscode/package.json'), 'utf8')));
const [contribution] = contributes.debuggers;

test('the extension describes the fields that launch takes, and no others', () => {
  const { properties, required } = z.toJSONSchema(launchArguments, { io: 'input' });
  assert.deepEqual(contribution.configurationAttributes.launch, { required, properties });
  for (const [name, property] of Object.entries(properties!)) {
    assert.ok(typeof property === 'object' && property.description, `${name} has a description`);
  }
});

test('its configurations can be launched, and its language is one that it declares', () => {
  const bodies = contribution.configurationSnippets.map(({ body }) => body);
  for (const one of [...contribution.initialConfigurations, ...bodies]) launchArguments.parse(one);
  const [{ id }] = contributes.languages;
  assert.deepEqual([contributes.breakpoints[0].language, contribution.languages], [id, [id]]);
});

test('what it runs is a command of entrace', async () => {
  const { status, stdout } = await entrace([...contribution.runtimeArgs, '--help']);
  assert.equal(status, 0);
  assert.match(stdout, /Debug Adapter Protocol/);
});

test('the configurations in the documentation can be launched', () => {
  const page = readFileSync(join(ROOT, 'docs/vscode.md'), 'utf8');
  const [, json] = /```json\n(.*?)```/s.exec(page)!;
  const { configurations } = z
    .strictObject({ version: z.literal('0.2.0'), configurations: z.array(configuration) })
    .parse(JSON.parse(json!));
  const fields = new Set([...Object.keys(launchArguments.shape), 'type', 'request', 'name']);
  for (const one of configurations) {
    launchArguments.parse(one);
    assert.deepEqual(
      Object.keys(one).filter((key) => !fields.has(key)),
      [],
    );
  }
  for (const name of Object.keys(launchArguments.shape)) {
    if (name !== 'cwd') assert.ok(page.includes(`\`${name}\``) || page.includes(`"${name}"`), `${name} is documented`);
  }
});

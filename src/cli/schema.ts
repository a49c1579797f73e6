/** entrace schema: the JSON schema of scenario files, for editors. */
import { jsonSchema } from '../scenarios/schema.js';
import { EXIT } from './exit.js';

export function schema(): number {
  process.stdout.write(`${JSON.stringify(jsonSchema(), null, 2)}\n`);
  return EXIT.HOLDS;
}

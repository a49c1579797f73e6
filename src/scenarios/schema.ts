/** What a scenario file may say: checked when one is read, and published as JSON schema for editors. */
import { z } from 'zod';
import { ASSEMBLERS } from '../assembler/index.js';
import { EVENT_NAMES } from '../harness/events.js';
import { KNOB_NAMES, KNOBS } from '../profiles/knobs.js';
import { PROPERTIES } from '../properties/index.js';
import { mapping, type Names, text, type YamlPath } from '../yaml_file.js';

/** One value, or a list of them with at least one. */
function oneOrMore<T extends z.ZodType>(item: T, what: string) {
  return z.union([item, z.array(item).min(1, { error: `is an empty list; name ${what}` })], {
    error: `expected ${what}, or a list`,
  });
}

const property = z.enum(PROPERTIES.map((p) => p.name) as [string, ...string[]], {
  error: `expected a property: ${PROPERTIES.map((p) => p.name).join(', ')}`,
});

const boundaries = z
  .array(text, { error: 'expected a list of boundaries, for example [nmi+0..2, irq_return]' })
  .min(1, { error: 'is empty; name the boundaries at which it fails' })
  .describe(
    'The exact set of boundaries: label+n, label, label+a..b, label+a..label+b; mc@label+n where the event matters.',
  );

const fails = z
  .union([property, z.array(property).min(1), z.partialRecord(property, boundaries)], {
    error: 'expected a property, or a mapping from properties to lists of boundaries',
  })
  .describe('What fails: a property, with boundaries: beside it, or a mapping from properties to their boundaries.');

const expectation = z
  .strictObject(
    {
      fails,
      boundaries: boundaries.optional(),
      'known-unfixable': text.optional().describe('Why no handler can mend it.'),
    },
    { error: mapping('fails: and boundaries:') },
  )
  .describe('The failures, and no others.');

/** All fields, as a file has them. */
export const scenarioFile = z.strictObject(
  {
    title: text.describe('What is shown, in one line.'),
    races: z.array(text).optional().describe('Ids of the catalogue of races: [C1, L-3].'),
    source: text.optional().describe('Where the race is known from: a CVE, a commit, a mail.'),
    platform: text.optional().describe('Conventions of the system software; linux by default.'),
    profile: oneOrMore(text, 'a profile').optional().describe('Rules of the silicon; intel by default.'),
    knobs: z
      .strictObject(Object.fromEntries(KNOB_NAMES.map((knob) => [knob, KNOBS[knob].optional()])), {
        error: mapping('knobs of the profile'),
      })
      .optional()
      .describe('Rules of the profile that are changed.'),
    image: oneOrMore(text, 'an assembly file').describe(
      'The files that together are the code under test: assembly, objects, executables, shipped kernels.',
    ),
    context: oneOrMore(text, 'a context').optional().describe('What is interrupted; kernel by default.'),
    define: z
      .record(
        z.string().regex(/^[A-Za-z_]\w*$/, { error: 'is no name for a macro' }),
        z.union([z.string(), z.number()]),
      )
      .optional()
      .describe('Preprocessor macros.'),
    include: oneOrMore(text, 'a directory').optional().describe('Directories that are searched for included files.'),
    'include-file': oneOrMore(text, 'a file')
      .optional()
      .describe('Files that are read before each assembly file, as -include does.'),
    assembler: z
      .enum(ASSEMBLERS, { error: `expected ${ASSEMBLERS.join(' or ')}` })
      .optional()
      .describe("What assembles the files: keystone by default; gnu: the machine's own gcc -c."),
    features: oneOrMore(text, 'a set of features, like pti,fsgsbase')
      .optional()
      .describe('Features of the processor that real code is patched for, or none; each of a list is a case.'),
    stub: z
      .record(z.string(), z.union([text, z.null()]), {
        error: mapping('functions and the files with what takes their place'),
      })
      .optional()
      .describe('Functions that get a stand-in in any case: FUNCTION: FILE.S, or no file for the usual one.'),
    through: oneOrMore(text, 'a function')
      .optional()
      .describe('C functions of an executable that are run themselves, with all that they call.'),
    obtain: text
      .optional()
      .describe('How the image is got if it is not there: the scenario is then skipped, and says so.'),
    events: z
      .record(z.string(), z.int({ error: 'expected a number of events' }).positive({ error: 'expected at least 1' }), {
        error: mapping('kinds of events and how many of each: { nmi: 2, bp: 1 }'),
      })
      .optional()
      .describe(`How many events of each kind; searched exhaustively. Kinds: ${EVENT_NAMES}.`),
    at: z
      .record(z.string(), oneOrMore(text, 'a place'), { error: mapping('kinds of events and where they may fire') })
      .optional()
      .describe('Where a kind may fire: LABEL..LABEL, LABEL+n, write:SYMBOL; the body, for what code raises itself.'),
    schedule: z
      .array(text, { error: 'expected a list of events at boundaries, for example [nmi@nmi+2, bp@do_nmi+1]' })
      .optional()
      .describe('Instead of events: one fixed schedule, EVENT@BOUNDARY, with #N for the N-th hit.'),
    properties: z.array(property).min(1, { error: 'is empty' }).optional().describe('What is checked; all by default.'),
    'max-states': z.int().positive().optional().describe('Stop after so many states: the scenario has then failed.'),
    long: z.boolean({ error: 'expected true or false' }).optional().describe('Left out of the short set.'),
    expect: z
      .union([z.literal('holds'), expectation], { error: "expected 'holds', or a mapping with fails:" })
      .describe('What must come out.'),
  },
  { error: mapping('title:, image:, events: and expect:') },
);

export type ScenarioFields = z.infer<typeof scenarioFile>;

/** The JSON schema (draft 7, which editors know). */
export function jsonSchema(): object {
  const schema = z.toJSONSchema(scenarioFile, { target: 'draft-7', io: 'input' });
  return { ...schema, title: 'A scenario of entrace' };
}

/** The names that a mapping of a scenario may have. */
export function namesAt(path: YamlPath): Names {
  if (path.length === 0) return fields(Object.keys(scenarioFile.shape));
  if (path[0] === 'knobs') return { names: KNOB_NAMES, what: 'knob', list: 'entrace profiles lists them' };
  if (path[0] === 'expect' && path.length === 1) return fields(Object.keys(expectation.shape));
  const names = PROPERTIES.map((p) => p.name);
  return { names, what: 'property', list: `the properties are ${names.join(', ')}` };
}

function fields(names: readonly string[]): Names {
  return { names, what: 'field', list: `the fields are ${names.join(', ')}` };
}

/** What a page may send: each message checked, its sizes bounded. */
import { z } from 'zod';

/** Bytes of a message: an editor's text is the largest thing that is sent. */
export const MAX_MESSAGE = 4 * 2 ** 20;

const id = z.int().nonnegative();
const name = z.string().min(1).max(4096);
const line = z.string().max(10_000);
const count = z
  .int()
  .min(0)
  .max(2 ** 31);
const address = z.string().regex(/^0x[0-9a-f]{1,16}$/);

/** Where a search fires what; each text as the command takes it. */
export const settingsSchema = z.strictObject({
  platform: name,
  profile: name,
  context: name,
  /** `nmi=2,bp=1` */
  events: line,
  /** As --at, several separated by blanks; empty: the usual places. */
  at: line,
  /** As --property; empty: all. */
  properties: line,
  /** As -D, several separated by blanks. */
  defines: line,
});

export type Settings = z.infer<typeof settingsSchema>;

/** A cell of the map: the schedules whose last event it is. */
const cell = { address, event: name, property: name.optional() };

/** Verbs that need nothing more. */
export const VERBS = [
  ...(['step', 'reverseStep', 'next', 'reverseNext', 'finish', 'reverseFinish'] as const),
  ...(['continue', 'reverseContinue', 'skip'] as const),
] as const;

const target = z.enum([
  ...(['boundary', 'delivery', 'failure', 'masked', 'unmasked', 'latched', 'given-back', 'event'] as const),
]);

/** ViewRequest of src/debugger/view.ts. */
const viewRequest = z.strictObject({
  syntax: z.enum(['att', 'intel']).optional(),
  around: z.union([z.int().min(1).max(10_000), z.literal('all')]).optional(),
  file: name.optional(),
  line: count.optional(),
  timeline: z.strictObject({ from: count, to: count }).optional(),
  processor: count.optional(),
});

export const requestSchema = z.discriminatedUnion('type', [
  /** The editor's text. What is wrong with it comes with the editor's state. */
  z.strictObject({ type: z.literal('edit'), id, file: name, text: z.string() }),
  z.strictObject({ type: z.literal('choose'), id, file: name }),
  /** The file's text as it is on the disk. */
  z.strictObject({ type: z.literal('revert'), id }),
  z.strictObject({ type: z.literal('settings'), id, settings: settingsSchema }),
  z.strictObject({ type: z.literal('explore'), id }),
  z.strictObject({ type: z.literal('stop'), id }),
  /** The second axis of a cell. */
  z.strictObject({ type: z.literal('axis'), id, ...cell }),
  /** The debugger, on what the editor has, at its start. */
  z.strictObject({ type: z.literal('debug'), id }),
  /** The debugger, on the shortest schedule that ends in a cell, through an earlier event if one is given. */
  z.strictObject({
    type: z.literal('open'),
    id,
    ...cell,
    through: z.strictObject({ address, event: name }).optional(),
  }),
  /** … on the path without events, which breaks a property. */
  z.strictObject({ type: z.literal('open-uninterrupted'), id, property: name }),
  z.strictObject({ type: z.literal('verb'), id, verb: z.enum(VERBS), count: count.optional() }),
  /** `address`: of a boundary. */
  z.strictObject({
    type: z.literal('until'),
    id,
    target,
    address: address.optional(),
    direction: z.union([z.literal(1), z.literal(-1)]),
  }),
  z.strictObject({ type: z.literal('fire'), id, event: name }),
  z.strictObject({ type: z.literal('go'), id, index: count, branch: count.optional() }),
  /** Sets a breakpoint at an address, or takes those there away. */
  z.strictObject({ type: z.literal('toggle'), id, address }),
  z.strictObject({ type: z.literal('breakpoint'), id, number: count, action: z.enum(['enable', 'disable', 'delete']) }),
  z.strictObject({ type: z.literal('view'), id, request: viewRequest }),
  z.strictObject({ type: z.literal('command'), id, line }),
  z.strictObject({ type: z.literal('complete'), id, line }),
  /** Ends the verb that is under way. */
  z.strictObject({ type: z.literal('interrupt'), id }),
]);

export type Request = z.infer<typeof requestSchema>;
export type CellRequest = Pick<Extract<Request, { type: 'axis' }>, 'address' | 'event' | 'property'>;

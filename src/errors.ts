/**
 * Bad input: a file, a flag, a field or an image that cannot be used as it is. The message is one line that says what
 * is wrong, where (file:line:column or offset) and what to do; `notes` are further lines (an include or macro stack).
 * The command line prints it without a stack trace and exits 2.
 */
export class InputError extends Error {
  override readonly name: string = 'InputError';
  constructor(
    message: string,
    readonly notes: readonly string[] = [],
  ) {
    super(message);
  }
}

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

/** What `body` comes to; an InputError that it throws gets `place` (`file:line:column`, a file) in front of its message. */
export function located<T>(place: string, body: () => T): T {
  try {
    return body();
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    throw new InputError(`${place}: ${error.message}`, error.notes);
  }
}

/** Messages quote their input, which may be anything: nothing in them may move the cursor. */
export function printable(text: string): string {
  return text.replace(/[^\P{Cc}\t]/gu, (c) => `\\x${c.codePointAt(0)!.toString(16).padStart(2, '0')}`);
}

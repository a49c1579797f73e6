/** The signs that the screen draws with: box drawing where the terminal reads UTF-8, ASCII elsewhere. */

export interface Signs {
  readonly unicode: boolean;
  readonly horizontal: string;
  readonly vertical: string;
  readonly topLeft: string;
  readonly topRight: string;
  readonly bottomLeft: string;
  readonly bottomRight: string;
  /** Where the cursor stands: the current line. */
  readonly here: string;
  readonly breakpoint: string;
  readonly disabled: string;
  /** Something was cut off here. */
  readonly more: string;
  /** Lanes of the timeline: a resting value, and any other one. */
  readonly rest: string;
  readonly set: string;
  readonly down: string;
}

export const UNICODE: Signs = {
  unicode: true,
  horizontal: '─',
  vertical: '│',
  topLeft: '┌',
  topRight: '┐',
  bottomLeft: '└',
  bottomRight: '┘',
  here: '►',
  breakpoint: '●',
  disabled: '○',
  more: '…',
  rest: '·',
  set: '━',
  down: '▼',
};

export const ASCII: Signs = {
  unicode: false,
  horizontal: '-',
  vertical: '|',
  topLeft: '+',
  topRight: '+',
  bottomLeft: '+',
  bottomRight: '+',
  here: '>',
  breakpoint: '*',
  disabled: 'o',
  more: '~',
  rest: '.',
  set: '=',
  down: 'v',
};

/** What the locale says, as POSIX orders its variables (XBD 8.2: LC_ALL, LC_CTYPE, LANG). */
export function signsOf(environment: NodeJS.ProcessEnv): Signs {
  const locale = environment.LC_ALL || environment.LC_CTYPE || environment.LANG || '';
  return /utf-?8/i.test(locale) ? UNICODE : ASCII;
}

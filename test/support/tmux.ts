/** A terminal that tests can type into and look at: tmux, on a server of its own. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const HAS_TMUX = spawnSync('tmux', ['-V']).status === 0;

/**
 * So many looks at a screen on which nothing happens are enough to say that nothing will: each one is a process of its own, so they take
 * longer on a machine that is busy.
 */
const LOOKS = 1_500;

/** What terminals have switched on. */
export interface Modes {
  readonly alternate: boolean;
  readonly mouse: boolean;
  readonly cursor: boolean;
}

export class Tmux {
  readonly #directory = mkdtempSync(join(tmpdir(), 'entrace-tmux-'));

  /** A shell with these variables, in a window of this size. */
  constructor(width: number, height: number, environment: Readonly<Record<string, string>> = {}) {
    const variables = Object.entries({ LANG: 'C.UTF-8', LC_ALL: 'C.UTF-8', PS1: '$ ', HISTFILE: '', ...environment });
    const set = variables.flatMap(([name, value]) => ['-e', `${name}=${value}`]);
    this.#run(
      '-f',
      '/dev/null',
      'new-session',
      '-d',
      '-x',
      `${width}`,
      '-y',
      `${height}`,
      ...set,
      'bash --norc --noprofile',
    );
  }

  #run(...args: readonly string[]): string {
    const { TMUX: _, ...env } = process.env;
    return execFileSync('tmux', ['-S', join(this.#directory, 'socket'), '-u', ...args], { encoding: 'utf8', env });
  }

  /** Text as it is, key by key. */
  type(text: string): void {
    this.#run('send-keys', '-l', text);
  }

  /** Keys by tmux's names: `Enter`, `C-c`, `Escape`. */
  keys(...names: readonly string[]): void {
    this.#run('send-keys', ...names);
  }

  line(text: string): void {
    this.type(text);
    this.keys('Enter');
  }

  resize(width: number, height: number): void {
    this.#run('resize-window', '-x', `${width}`, '-y', `${height}`);
  }

  get screen(): string {
    return this.#run('capture-pane', '-p');
  }

  /** All parameters of the escape sequences (SGR) by which the screen gets its colours and styles. */
  get styles(): ReadonlySet<number> {
    const sequences = this.#run('capture-pane', '-p', '-e').split('\u001b[').slice(1);
    return new Set(sequences.flatMap((text) => /^[0-9;]*/.exec(text)![0].split(';').map(Number)));
  }

  get modes(): Modes {
    const format = '#{alternate_on} #{mouse_any_flag} #{cursor_flag}';
    const [alternate, mouse, cursor] = this.#run('display-message', '-p', format).trim().split(' ');
    return { alternate: alternate === '1', mouse: mouse === '1', cursor: cursor === '1' };
  }

  /** The screen once it looks like this; throws if it stays another one. */
  async until(pattern: RegExp): Promise<string> {
    let last = '';
    for (let looks = 0; looks < LOOKS; looks++) {
      const { screen } = this;
      if (pattern.test(screen)) return screen;
      if (screen !== last) looks = 0;
      last = screen;
      // Others get their turn between two processes.
      await new Promise((resolve) => setImmediate(resolve));
    }
    throw new Error(`${pattern} does not come; the screen is\n${last}`);
  }

  close(): void {
    try {
      this.#run('kill-server');
    } finally {
      rmSync(this.#directory, { recursive: true, force: true });
    }
  }
}

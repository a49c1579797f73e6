/** Editing of the command line: keys in, text out. */
import { LAST_WORD } from '../commands.js';
import type { PromptState } from './state.js';

export const EMPTY_PROMPT: PromptState = { text: '', at: 0, candidates: [] };

/** Commands that Up brings back. */
const KEPT = 200;

export class History {
  readonly #lines: string[] = [];
  #at = 0;
  /** What was being typed before Up. */
  #draft = '';

  add(line: string): void {
    if (line !== this.#lines.at(-1)) this.#lines.push(line);
    if (this.#lines.length > KEPT) this.#lines.shift();
    this.#at = this.#lines.length;
  }

  /** The line before (-1) or behind (1) the one that is shown; undefined at the ends. */
  move(by: -1 | 1, shown: string): string | undefined {
    const at = this.#at + by;
    if (at < 0 || at > this.#lines.length) return undefined;
    if (this.#at === this.#lines.length) this.#draft = shown;
    this.#at = at;
    return this.#lines[at] ?? this.#draft;
  }
}

/** The prompt after a key that edits it; undefined if the key does not. */
export function edit(prompt: PromptState, key: string): PromptState | undefined {
  const chars = [...prompt.text];
  const { at } = prompt;
  const to = (text: readonly string[], where: number): PromptState => ({
    text: text.join(''),
    at: where,
    candidates: [],
  });
  switch (key) {
    case 'LEFT':
    case 'CTRL_B':
      return to(chars, Math.max(0, at - 1));
    case 'RIGHT':
    case 'CTRL_F':
      return to(chars, Math.min(chars.length, at + 1));
    case 'HOME':
    case 'CTRL_A':
      return to(chars, 0);
    case 'END':
    case 'CTRL_E':
      return to(chars, chars.length);
    case 'BACKSPACE':
    case 'CTRL_H':
      return to([...chars.slice(0, Math.max(0, at - 1)), ...chars.slice(at)], Math.max(0, at - 1));
    case 'DELETE':
    case 'CTRL_D':
      return to([...chars.slice(0, at), ...chars.slice(at + 1)], at);
    case 'CTRL_U':
      return to(chars.slice(at), 0);
    case 'CTRL_K':
      return to(chars.slice(0, at), at);
    case 'CTRL_W': {
      const left = chars
        .slice(0, at)
        .join('')
        .replace(/\S*\s*$/, '');
      return to([...left, ...chars.slice(at)], [...left].length);
    }
    default:
      return [...key].length === 1 ? to([...chars.slice(0, at), key, ...chars.slice(at)], at + 1) : undefined;
  }
}

/** The prompt after Tab: what all candidates begin with is filled in for the word that is being typed. */
export function complete(prompt: PromptState, candidates: readonly string[]): PromptState {
  if (candidates.length === 0) return { ...prompt, candidates: [] };
  const chars = [...prompt.text];
  const left = chars.slice(0, prompt.at).join('');
  const right = chars.slice(prompt.at).join('');
  const word = LAST_WORD.exec(left)![0];
  const common = candidates.reduce((a, b) => {
    let n = 0;
    while (n < a.length && a[n] === b[n]) n++;
    return a.slice(0, n);
  });
  const full = candidates.length === 1 ? `${common} ` : common;
  const begin = left.slice(0, left.length - word.length);
  const text = full.length >= word.length ? begin + full : left;
  return { text: text + right, at: [...text].length, candidates: candidates.length > 1 ? candidates : [] };
}

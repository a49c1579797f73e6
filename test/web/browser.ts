/** A headless Chromium on the page, with a server of its own. */
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import type { TestContext } from 'node:test';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';
import type { WebServer } from '../../src/web/server.js';
import { serve } from './client.js';

/** The browser of this machine; undefined if there is none. */
export const CHROMIUM = ['chromium', 'chromium-browser', 'google-chrome']
  .flatMap((name) => (process.env.PATH ?? '').split(delimiter).map((folder) => join(folder, name)))
  .find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });

/** For tests that need it. */
export const NEEDS_BROWSER = {
  skip: CHROMIUM === undefined ? 'no Chromium; scripts/setup.sh conformance installs it' : false,
};

const QUIET = [
  ...['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'],
  ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
];

/** A browser with an empty profile. */
export function launch(): Promise<Browser> {
  return chromium.launch({ executablePath: CHROMIUM!, args: QUIET });
}

export interface Shown {
  readonly page: Page;
  readonly server: WebServer;
  /** What went wrong in the page, and each address that it asked for. */
  readonly errors: readonly string[];
  readonly requests: readonly string[];
}

/** The page, connected, until the test is over. */
export async function show(
  t: TestContext,
  browser: Browser,
  options: BrowserContextOptions = {},
  server?: WebServer,
): Promise<Shown> {
  const own = server ?? (await serve());
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  t.after(async () => {
    await context.close();
    if (server === undefined) await own.close();
  });
  // Long: a machine that is busy with other tests is slow.
  context.setDefaultTimeout(120_000);
  const page = await context.newPage();
  const errors: string[] = [];
  const requests: string[] = [];
  page.on('pageerror', (error) => errors.push(error.message));
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') errors.push(message.text());
  });
  page.on('request', (request) => requests.push(request.url()));
  page.on('websocket', (socket) => requests.push(socket.url()));
  await page.goto(own.link);
  await page.locator('header').or(page.locator('main.status[data-status]:not([data-status=connecting])')).waitFor();
  return { page, server: own, errors, requests };
}

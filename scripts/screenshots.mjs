/** The pictures of docs/images/: the page on the RFC's counterexample. Needs make build, and Chromium. */
import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { launch } from '../build/test/web/browser.js';
import { serve } from '../build/test/web/client.js';

const images = join(dirname(dirname(fileURLToPath(import.meta.url))), 'docs', 'images');
mkdirSync(images, { recursive: true });
const server = await serve();
const browser = await launch();

const page = await browser.newPage({ viewport: { width: 1280, height: 860 }, colorScheme: 'light' });
await page.goto(server.link);
await page.getByRole('button', { name: 'Explore', exact: true }).click();
await page.locator('input[name=property][value=context]').check();
await page.locator('[data-cell="nmi@nmi_restore+15"]').click();
await page.getByRole('region', { name: 'Second axis' }).waitFor();
await page.screenshot({ path: join(images, 'map.png') });

await page.emulateMedia({ colorScheme: 'dark' });
await page.getByRole('button', { name: 'Open the shortest path' }).click();
await page.locator('.debugger').waitFor();
await page.getByLabel('who changed rdi').click();
await page.getByRole('log').getByText('linux_nmi_rfc.S:81').waitFor();
await page.locator('[data-verb=reverseStep]').click();
await page.locator('[data-at="irq_return+0"]').waitFor();
await page.locator('.processor .body').evaluate((body) => body.scrollTo(0, 0));
await page.mouse.move(0, 0);
await page.screenshot({ path: join(images, 'debugger.png') });

await browser.close();
await server.close();

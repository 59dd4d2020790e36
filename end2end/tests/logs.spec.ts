// The log of a run, while it is written and afterwards: no line is missing, none is there twice, none moves under the eye.
import { type BrowserContext, type Locator, type Page } from '@playwright/test';
import { accessibleInBothThemes, expect, importWorkflow, open, ready, signUp, start, test } from '../support/world';

// Many lines at once, then a few in each second: each call of a tool writes one.
const WORKFLOW = `name: Count
input:
  type: object
  required: [first, then]
  properties: { first: { type: integer, title: First }, then: { type: integer, title: Then } }
nodes:
  - id: start
    kind: start
  - id: burst
    kind: map
    items: "{{ Array.from({ length: input.first }, (_, at) => at) }}"
    concurrency: 100
    nodes:
      - id: sum
        name: Burst
        kind: tool
        tool: calculator
        arguments: { expression: "1 + 1" }
    after: [start]
  - id: trickle
    kind: map
    items: "{{ Array.from({ length: input.then }, (_, at) => at) }}"
    concurrency: 4
    nodes:
      - id: pause
        kind: wait
        seconds: 1
      - id: sum
        name: Trickle
        kind: tool
        tool: calculator
        arguments: { expression: "1 + 1" }
        after: [pause]
    after: [burst]
  - id: end
    kind: end
    after: [trickle]
`;

/** Starts a run that writes so many lines at once, and so many more over time. Gives its path. */
async function counting(page: Page, first: number, then: number): Promise<string> {
  const { slug } = await signUp(page);
  await open(page, `${await importWorkflow(page, slug, WORKFLOW)}/run`);
  await page.getByLabel('First').fill(String(first));
  await page.getByLabel('Then').fill(String(then));
  return start(page);
}

const log = (page: Page): Locator => page.getByRole('region', { name: 'Lines of the log' });
const lines = (page: Page): Locator => log(page).getByRole('row');
const pill = (page: Page): Locator => page.getByRole('button', { name: 'Jump to latest' });
const search = (page: Page): Locator => page.getByRole('searchbox', { name: 'Search all lines' });
const submit = (page: Page): Promise<void> => page.getByRole('search', { name: 'Log' }).getByRole('button', { name: 'Search' }).click();
const state = (page: Page): Locator => page.locator('.log-state');
const stop = (page: Page): Promise<void> => page.getByRole('button', { name: 'Stop run' }).click();

/** The numbers of the lines that the server has, from the file that the page offers. */
async function written(page: Page, query = ''): Promise<number[]> {
  const file = await page.request.get(`${new URL(page.url()).pathname}/log.jsonl?${query}`);
  expect(file.ok()).toBe(true);
  return (await file.text()).trim().split('\n').filter(Boolean).map((line) => (JSON.parse(line) as { seq: number }).seq);
}

/** The numbers of the lines that are drawn. */
async function shown(page: Page): Promise<number[]> {
  return lines(page).evaluateAll((rows) => rows.map((row) => Number(row.id.slice(1))));
}

/** Waits until the server has so many lines. */
async function wrote(page: Page, count: number): Promise<void> {
  await expect.poll(async () => (await written(page)).length, { timeout: 40_000 }).toBeGreaterThanOrEqual(count);
}

/** How many lines the page says that there are. */
async function counted(page: Page): Promise<number> {
  return Number((await state(page).textContent())?.match(/([\d,]+) lines?$/)?.[1]?.replaceAll(',', ''));
}

/** The network goes and comes: the page opens its stream anew. */
async function reopen(context: BrowserContext): Promise<void> {
  await context.setOffline(true);
  await context.setOffline(false);
}

/** The first line in sight once everything is drawn, and how far below the frame's edge it is. */
async function onTop(page: Page): Promise<{ id: string; at: number }> {
  return log(page).evaluate(async (place) => {
    for (let i = 0; i < 3; i++) await new Promise(requestAnimationFrame);
    const edge = place.getBoundingClientRect().top;
    const row = [...place.querySelectorAll('[role=row]')].find((it) => it.getBoundingClientRect().bottom > edge + 1);
    return { id: row?.id ?? '', at: (row?.getBoundingClientRect().top ?? 0) - edge };
  });
}

/** Whether lines are drawn over all that is in sight. */
async function isFull(page: Page): Promise<boolean> {
  return log(page).evaluate((place) => {
    const { top, bottom } = place.getBoundingClientRect();
    const rows = [...place.querySelectorAll('[role=row]')].map((row) => row.getBoundingClientRect());
    const end = place.scrollTop + place.clientHeight >= place.scrollHeight - 12;
    return rows.some((row) => row.top <= top + 12 && row.bottom > top) && rows.some((row) => row.bottom >= bottom - (end ? 32 : 2));
  });
}

/** All lines, by scrolling from the first to the last. */
async function readThrough(page: Page): Promise<number[]> {
  const seen: number[] = [];
  await log(page).focus();
  await log(page).evaluate((place) => place.scrollTo(0, 0));
  for (;;) {
    await expect.poll(() => isFull(page)).toBe(true);
    const now = await shown(page);
    expect(now.length).toBeLessThanOrEqual(120);
    seen.push(...now.filter((line) => line > (seen.at(-1) ?? 0)));
    if ((await below(page)) <= 4) return seen;
    await log(page).evaluate((place) => place.scrollBy(0, place.clientHeight - 48));
  }
}

/** How far the end is below what is in sight. */
const below = (page: Page): Promise<number> => log(page).evaluate((place) => place.scrollHeight - place.scrollTop - place.clientHeight);

/** A run with so many lines that has ended. */
async function ended(page: Page, first: number): Promise<string> {
  const run = await counting(page, first, 0);
  await open(page, `${run}?view=logs`);
  await expect(async () => {
    await page.reload();
    await expect(state(page)).toHaveText(/^Ended, [\d,]+ lines$/, { timeout: 500 });
  }).toPass({ timeout: 60_000 });
  await ready(page);
  return run;
}

test('LOG-1 earlier lines come first, then new ones, and lost connections leave no gap and no duplicate', async ({ page, context, expected }) => {
  expected.push(/ERR_FAILED.*\/stream\?/, /ERR_INTERNET_DISCONNECTED/);
  const run = await counting(page, 30, 120);
  await wrote(page, 32);
  await open(page, `${run}?view=logs`);
  await expect(state(page)).toHaveText(/^Live, \d+ lines$/);
  expect((await shown(page)).at(0)).toBe((await written(page))[0]);
  const before = await counted(page);
  expect(before).toBeGreaterThanOrEqual(32);
  await expect.poll(() => counted(page)).toBeGreaterThan(before);
  // Away while lines are written.
  await page.route(/\/stream\?/, (route) => route.abort());
  await reopen(context);
  await expect(state(page)).toHaveText(/^Reconnecting, last line .+ ago$/);
  const away = (await written(page)).length;
  await wrote(page, away + 8);
  await page.unroute(/\/stream\?/);
  await reopen(context);
  await expect(state(page)).toHaveText(/^Live, \d+ lines$/, { timeout: 20_000 });
  await expect.poll(() => counted(page)).toBeGreaterThan(away + 8);
  await stop(page);
  await expect(state(page)).toHaveText(/^Ended, \d+ lines$/, { timeout: 20_000 });
  const all = await written(page);
  await expect(state(page)).toHaveText(`Ended, ${all.length} lines`);
  expect(await readThrough(page)).toEqual(all);
});

test('LOG-2 the log follows its end until one scrolls up, and again when asked to', async ({ page }) => {
  const run = await counting(page, 60, 240);
  await wrote(page, 62);
  await open(page, `${run}?view=logs`);
  await expect(state(page)).toHaveText(/^Live, \d+ lines$/);
  await expect.poll(() => below(page)).toBeLessThanOrEqual(4);
  await expect(pill(page)).toHaveCount(0);
  const follows = async (resume: () => Promise<void>) => {
    await log(page).hover();
    await page.mouse.wheel(0, -600);
    await expect(pill(page)).toBeVisible();
    await expect.poll(() => below(page)).toBeGreaterThan(300);
    await expect.poll(() => isFull(page)).toBe(true);
    const top = await onTop(page);
    await expect(state(page)).toHaveText(/^Live, paused here, \d+ lines$/);
    await expect(pill(page)).toHaveText(/^([2-9]|\d\d+) new lines · Jump to latest$/);
    const both = () => pill(page).evaluate((it) => ({ fresh: Number.parseInt(it.textContent ?? '', 10), all: Number(/(\d+) lines$/.exec(document.querySelector('.log-state')?.textContent ?? '')?.[1]) }));
    const first = await both();
    await expect.poll(async () => (await both()).all).toBeGreaterThan(first.all + 2);
    const later = await both();
    expect(later.fresh - first.fresh).toBe(later.all - first.all);
    expect(await onTop(page)).toEqual(top);
    await resume();
    await expect(pill(page)).toHaveCount(0);
    await expect.poll(() => below(page)).toBeLessThanOrEqual(4);
    // And it stays there while more lines come.
    const last = (await shown(page)).at(-1) ?? 0;
    await expect.poll(async () => (await shown(page)).at(-1)).toBeGreaterThan(last);
    await expect.poll(() => below(page)).toBeLessThanOrEqual(4);
  };
  await test.step('by the pill', () => follows(() => pill(page).click()));
  await test.step('by f', () => follows(() => log(page).press('f')));
  await test.step('by End', () => follows(() => log(page).press('End')));
  // A key upwards pauses just as well.
  await log(page).press('PageUp');
  await expect(pill(page)).toBeVisible();
});

test('LOG-3 any place of a log of 100,000 lines is one request away, and few lines are ever drawn', async ({ page, server }) => {
  test.setTimeout(180_000);
  const { slug } = await signUp(page);
  const printed = await server.command('seed', 'log_100k', '--org', slug);
  const path = printed.match(/\/o\/\S+/)?.[0] ?? '';
  await open(page, `${path}?view=logs`);
  await expect(state(page)).toHaveText('Ended, 100,000 lines');
  await expect(log(page).getByRole('table')).toHaveAttribute('aria-rowcount', '100000');
  await expect.poll(() => lines(page).count()).toBeLessThanOrEqual(120);
  const asked: string[] = [];
  page.on('request', (request) => {
    if (request.url().includes('read_log')) asked.push(request.url());
  });
  await log(page).evaluate((place) => {
    place.scrollIntoView({ block: 'end' });
    place.scrollTo(0, 89_990 * 24);
  });
  await expect(log(page).locator('[aria-rowindex="90000"]')).toBeInViewport();
  expect(asked.length).toBeLessThanOrEqual(2);
  expect(await lines(page).count()).toBeLessThanOrEqual(120);
  await log(page).evaluate((place) => place.scrollTo(0, 0));
  await expect(log(page).locator('[aria-rowindex="1"]')).toBeInViewport();
  // LOG-4: the search is over all of them.
  await search(page).fill('TIMEOUT');
  await search(page).press('Enter');
  await expect(page.getByText('1,922 lines hold it')).toBeVisible();
  await expect(state(page)).toHaveText('Ended, 1,922 lines');
});

test('LOG-4 the search counts all hits, goes from one to the next, and explains a broken pattern', async ({ page }) => {
  const run = await ended(page, 300);
  await page.keyboard.press('/');
  await expect(search(page)).toBeFocused();
  const all = await written(page);
  const term = 'BURST';
  const found = await written(page, `q=${term}`);
  expect(found.length).toBe(300);
  await page.keyboard.type(term);
  await page.getByLabel('Lines that match').selectOption('Highlight');
  await search(page).press('Enter');
  const words = (hit: number) => page.getByText(`${hit} of ${found.length.toLocaleString('en-US')} lines that hold it`);
  await expect(words(1)).toBeVisible();
  await expect(state(page)).toHaveText(`Ended, ${all.length} lines`);
  await expect(log(page).locator('mark').first()).toBeVisible();
  await expect(search(page)).toBeFocused();
  await search(page).press('Enter');
  await expect(words(2)).toBeVisible();
  await expect(log(page).locator('.is-hit')).toHaveAttribute('id', `L${found[1]}`);
  await search(page).press('Shift+Enter');
  await search(page).press('Shift+Enter');
  await expect(words(found.length)).toBeVisible();
  await expect(log(page).locator('.is-hit')).toBeInViewport();
  // One Back leaves the hits.
  await expect(page).toHaveURL(new RegExp(`q=${term}`));
  await page.getByLabel('Lines that match').selectOption('Filter');
  await submit(page);
  await expect(state(page)).toHaveText(`Ended, ${found.length} lines`);
  await page.getByLabel('Pattern').check();
  await search(page).fill('a(b');
  await search(page).press('Enter');
  await expect(page.getByRole('alert').filter({ hasText: 'This is no pattern: unclosed group.' })).toBeVisible();
  // The browser's own search is not taken away, but spoken of.
  await page.keyboard.press('Control+f');
  await expect(page.getByText('Press / to search all lines.')).toBeVisible();
  await open(page, `${run}?view=logs&q=${term}`);
  await expect(search(page)).toHaveValue(term);
  await expect(state(page)).toHaveText(`Ended, ${found.length} lines`);
});

test('LOG-5 a value offers only its lines or all others, and the address says so', async ({ page }) => {
  await ended(page, 40);
  const all = (await written(page)).length;
  await lines(page).locator('.log-step').first().click();
  const menu = page.locator('.log-menu');
  await expect(menu.getByRole('link', { name: 'Only this' })).toBeFocused();
  await page.keyboard.press('Escape');
  await expect(menu).toHaveCount(0);
  const step = (await lines(page).locator('.log-step').first().textContent()) ?? '';
  await lines(page).locator('.log-step').first().click();
  await menu.getByRole('link', { name: 'Without this' }).click();
  await expect(page).toHaveURL(/not_step=/);
  const without = (await written(page, `not_step=${encodeURIComponent(step)}`)).length;
  await expect(state(page)).toHaveText(`Ended, ${without} lines`);
  expect(without).toBeLessThan(all);
  await page.reload();
  await expect(state(page)).toHaveText(`Ended, ${without} lines`);
  await page.getByRole('link', { name: `Remove: Not step ${step}` }).click();
  await expect(state(page)).toHaveText(`Ended, ${all} lines`);
  await page.getByLabel('Level').selectOption('Errors');
  await submit(page);
  await expect(page.getByText('No line matches these filters.')).toBeVisible();
  await page.getByRole('link', { name: 'Clear filters' }).click();
  await expect(state(page)).toHaveText(`Ended, ${all} lines`);
});

test('LOG-6 the address of a line opens there, and shows what a filter hides', async ({ page }) => {
  const run = await ended(page, 600);
  const all = await written(page);
  const line = all[100];
  await open(page, `${run}?view=logs#L${line}`);
  await expect(page.locator(`#L${line}`)).toBeInViewport();
  await expect(page.locator(`#L${line}`)).toHaveClass(/is-marked/);
  await page.locator(`#L${all[103]} .log-no`).click({ modifiers: ['Shift'] });
  await expect(page).toHaveURL(new RegExp(`#L${line}-L${all[103]}$`));
  await expect(log(page).locator('.is-marked')).toHaveCount(4);
  await open(page, `${run}?view=logs&level=error#L${line}`);
  await page.getByRole('link', { name: 'Show context' }).click();
  const around = page.getByRole('region', { name: `Around line ${line}` });
  await expect(around.getByRole('row')).toHaveCount(21);
  await around.getByRole('link', { name: 'Close' }).click();
  await expect(around).toHaveCount(0);
});

test('LOG-7 lines are wrapped by a key, and times are told as one likes', async ({ page }) => {
  await ended(page, 40);
  await log(page).press('w');
  await expect(log(page)).toHaveClass(/log-wrap/);
  await expect(page).toHaveURL(/wrap=1/);
  await expect(log(page).locator('time').first()).toHaveText(/^\+/);
  await page.getByRole('link', { name: 'UTC', exact: true }).click();
  await expect(log(page).locator('time').first()).toHaveText(/^\d\d:\d\d:\d\d\.\d{3}$/);
  await page.getByRole('link', { name: 'Local time' }).click();
  await expect(page).toHaveURL(/time=local/);
  await expect(log(page).locator('time').first()).toHaveText(/^\d\d:\d\d:\d\d\.\d{3}$/);
  await log(page).press('w');
  await expect(log(page)).not.toHaveClass(/log-wrap/);
});

test('LOG-9 the lines are a named place with their numbers, and nothing axe finds', async ({ page }) => {
  const run = await ended(page, 200);
  await expect(log(page)).toHaveAttribute('tabindex', '0');
  const table = log(page).getByRole('table', { name: 'Lines' });
  await expect(table).toHaveAttribute('aria-rowcount', String((await written(page)).length));
  await expect(lines(page).last()).toHaveAttribute('aria-rowindex', String((await written(page)).length));
  await accessibleInBothThemes(page);
  await open(page, `${run}?view=logs&q=burst&mode=highlight&not_level=error`);
  await accessibleInBothThemes(page);
});

test('LOG-3 a log can be read from its first line to its last', async ({ page }) => {
  await ended(page, 700);
  expect(await readThrough(page)).toEqual(await written(page));
});

test('LOG-11 a bar of the chart leads to its lines', async ({ page }) => {
  await ended(page, 60);
  await page.locator('.log-chart a').first().click();
  await expect(page).toHaveURL(/from=.+&to=/);
  await expect(page.getByLabel('From (UTC)')).not.toHaveValue('');
});

test('the logs of all runs are one log, and each line leads to its run', async ({ page }) => {
  await ended(page, 20);
  const slug = new URL(page.url()).pathname.split('/')[2];
  const all = (await written(page)).length;
  await page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: 'Logs' }).click();
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Logs');
  await expect(page).toHaveURL(new RegExp(`/o/${slug}/logs$`));
  await expect(state(page)).toHaveText(`Live, ${all} lines`);
  await accessibleInBothThemes(page);
  const seq = await lines(page).first().locator('.log-no').textContent();
  await lines(page).first().locator('.log-no').click();
  await expect(page).toHaveURL(new RegExp(`/runs/run_.+\\?view=logs#L${seq}$`));
  await expect(page.locator(`#L${seq}`)).toHaveClass(/is-marked/);
});

test('LOG-14 the log can be read, searched and taken along with JavaScript off @plain', async ({ page }, info) => {
  test.skip(info.project.name !== 'plain', 'JavaScript off');
  const run = await counting(page, 1_300, 0);
  await open(page, `${run}?view=logs`);
  await expect(async () => {
    await page.reload();
    await expect(page.getByText(/^Ended, [\d,]+ lines$/)).toBeVisible({ timeout: 500 });
  }).toPass({ timeout: 45_000 });
  const all = await written(page);
  const numbers = () => shown(page);
  expect(await numbers()).toEqual(all.slice(-500));
  await expect(page.getByRole('link', { name: 'Newer lines' })).toHaveCount(0);
  await page.getByRole('link', { name: 'Older lines' }).click();
  await expect.poll(numbers).toEqual(all.slice(-1_000, -500));
  await page.getByRole('link', { name: 'Older lines' }).click();
  await expect.poll(numbers).toEqual(all.slice(0, -1_000));
  await expect(page.getByRole('link', { name: 'Older lines' })).toHaveCount(0);
  await page.getByRole('link', { name: 'Newer lines' }).click();
  await expect.poll(numbers).toEqual(all.slice(-1_000, -500));
  const download = page.waitForEvent('download');
  await page.getByRole('link', { name: 'Download the log as .txt' }).click();
  expect((await download).suggestedFilename()).toMatch(/^run_.+\.log\.txt$/);
  await search(page).fill('burst');
  await submit(page);
  await expect(page.getByText('1,300 lines hold it')).toBeVisible();
  await page.getByRole('link', { name: 'Next' }).click();
  await expect(page.getByText('1 of 1,300 lines that hold it')).toBeVisible();
});

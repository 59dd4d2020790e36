// The log of a run, while it is written and afterwards: no line is missing, none is there twice, none moves under the eye.
import { type BrowserContext, type Locator, type Page } from '@playwright/test';
import { expect, importWorkflow, open, ready, signUp, start, test } from '../support/world';

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
const lines = (page: Page): Locator => log(page).getByRole('listitem');
const pill = (page: Page): Locator => page.getByRole('button', { name: 'Jump to latest' });
const stop = (page: Page): Promise<void> => page.getByRole('button', { name: 'Stop run' }).click();

/** The numbers of the lines that the server has, from the file that the page offers. */
async function written(page: Page): Promise<number[]> {
  const file = await page.request.get(`${new URL(page.url()).pathname}/log.txt`);
  expect(file.ok()).toBe(true);
  return (await file.text()).trim().split('\n').filter(Boolean).map((line) => Number(line.split(' ')[0]));
}

/** The numbers of the lines on the page. */
async function shown(page: Page): Promise<number[]> {
  return lines(page).evaluateAll((rows) => rows.map((row) => Number(row.id.slice(1))));
}

/** Waits until the server has so many lines. */
async function wrote(page: Page, count: number): Promise<void> {
  await expect.poll(async () => (await written(page)).length, { timeout: 40_000 }).toBeGreaterThanOrEqual(count);
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
    const row = [...place.querySelectorAll('li')].find((it) => it.getBoundingClientRect().bottom > edge + 1);
    return { id: row?.id ?? '', at: (row?.getBoundingClientRect().top ?? 0) - edge };
  });
}

/** How many lines there are, and how many of them the pill calls new. */
async function counts(page: Page): Promise<{ all: number; fresh: number }> {
  return pill(page).evaluate((it) => ({ all: document.querySelectorAll('ol .log-seq').length, fresh: Number.parseInt(it.textContent ?? '', 10) }));
}

/** How far the end is below what is in sight. */
const below = (page: Page): Promise<number> => log(page).evaluate((place) => place.scrollHeight - place.scrollTop - place.clientHeight);

test('earlier lines come first, then new ones, and a lost connection leaves no gap and no duplicate', async ({ page, context, expected }) => {
  expected.push(/ERR_FAILED.*\/stream\?/);
  const run = await counting(page, 30, 120);
  await wrote(page, 32);
  await open(page, `${run}?view=logs`);
  await expect(page.getByText(/^Live, \d+ lines$/)).toBeVisible();
  const first = (await shown(page)).at(0);
  expect(first).toBe((await written(page))[0]);
  const before = await lines(page).count();
  expect(before).toBeGreaterThanOrEqual(32);
  await expect.poll(() => lines(page).count()).toBeGreaterThan(before);
  // Away while lines are written.
  await page.route(/\/stream\?/, (route) => route.abort());
  await reopen(context);
  await expect(page.getByText(/^Reconnecting, last line .+ ago$/)).toBeVisible();
  const away = await lines(page).count();
  await wrote(page, away + 8);
  expect(await lines(page).count()).toBe(away);
  await page.unroute(/\/stream\?/);
  await reopen(context);
  await expect(page.getByText(/^Live, \d+ lines$/)).toBeVisible({ timeout: 20_000 });
  await expect.poll(() => lines(page).count()).toBeGreaterThan(away + 8);
  await stop(page);
  await expect(page.getByText(/^Ended, \d+ lines$/)).toBeVisible({ timeout: 20_000 });
  const all = await written(page);
  await expect.poll(() => shown(page)).toEqual(all);
  await expect(page.getByText(`Ended, ${all.length} lines`, { exact: true })).toBeVisible();
});

test('the log follows its end until one scrolls up, and again when asked to', async ({ page }) => {
  const run = await counting(page, 60, 240);
  await wrote(page, 62);
  await open(page, `${run}?view=logs`);
  await expect(page.getByText(/^Live, \d+ lines$/)).toBeVisible();
  await expect.poll(() => below(page)).toBeLessThanOrEqual(4);
  await expect(pill(page)).toHaveCount(0);
  const follows = async (resume: () => Promise<void>) => {
    await log(page).hover();
    await page.mouse.wheel(0, -600);
    await expect(pill(page)).toBeVisible();
    await expect.poll(() => below(page)).toBeGreaterThan(300);
    const top = await onTop(page);
    await expect(page.getByText(/^Live, paused here, \d+ lines$/)).toBeVisible();
    await expect(pill(page)).toHaveText(/^([2-9]|\d\d+) new lines · Jump to latest$/);
    const first = await counts(page);
    await expect.poll(async () => (await counts(page)).all).toBeGreaterThan(first.all + 2);
    const later = await counts(page);
    expect(later.fresh - first.fresh).toBe(later.all - first.all);
    expect(await onTop(page)).toEqual(top);
    await resume();
    await expect(pill(page)).toHaveCount(0);
    await expect.poll(() => below(page)).toBeLessThanOrEqual(4);
    // And it stays there while more lines come.
    const count = (await shown(page)).at(-1) ?? 0;
    await expect.poll(async () => (await shown(page)).at(-1)).toBeGreaterThan(count);
    await expect.poll(() => below(page)).toBeLessThanOrEqual(4);
  };
  await test.step('by the pill', () => follows(() => pill(page).click()));
  await test.step('by f', () => follows(() => log(page).press('f')));
  await test.step('by End', () => follows(() => log(page).press('End')));
  // A key upwards pauses just as well.
  await log(page).press('PageUp');
  await expect(pill(page)).toBeVisible();
});

test('earlier lines that are fetched move nothing, and the log is whole up to its first line', async ({ page }) => {
  const run = await counting(page, 1_300, 0);
  await open(page, `${run}?view=logs`);
  await expect(page.getByText(/^Ended, [\d,]+ lines$/)).toBeVisible({ timeout: 45_000 });
  await page.reload();
  await ready(page);
  const all = await written(page);
  expect(all.length).toBeGreaterThan(1_300);
  await expect(page.getByText(`Ended, ${all.length.toLocaleString('en-US')} lines`, { exact: true })).toBeVisible();
  const last = all.slice(-500);
  const height = () => log(page).evaluate((place) => place.scrollHeight);
  // Near the first of the lines that came with the page. What is before it comes once we have seen where we are.
  let answer = () => {};
  const seen = new Promise<void>((done) => (answer = done));
  await page.route(/run_logs/, async (route) => {
    await seen;
    await route.continue();
  });
  const whole = await height();
  await log(page).evaluate((place) => place.scrollTo(0, 410));
  const top = await onTop(page);
  expect(last.slice(5, 40).map((line) => `L${line}`)).toContain(top.id);
  answer();
  await expect.poll(height).toBeGreaterThan(whole);
  expect(await onTop(page)).toEqual(top);
  // Further up until there is nothing before.
  await expect(async () => {
    await log(page).evaluate((place) => place.scrollTo(0, 0));
    expect((await onTop(page)).id).toBe(`L${all[0]}`);
  }).toPass();
});

test('the log can be read and taken along with JavaScript off @plain', async ({ page }, info) => {
  test.skip(info.project.name !== 'plain', 'JavaScript off');
  const run = await counting(page, 1_300, 0);
  await open(page, `${run}?view=logs`);
  await expect(async () => {
    await page.reload();
    await expect(page.getByText(/^Ended, [\d,]+ lines$/)).toBeVisible({ timeout: 500 });
  }).toPass({ timeout: 45_000 });
  const all = await written(page);
  const numbers = () => lines(page).locator('.log-seq').allTextContents().then((texts) => texts.map(Number));
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
});

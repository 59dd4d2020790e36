// The dashboard: figures that lead to what they count, in every period; what fails now; and the chart as a table and a file.
import { accessibleInBothThemes, expect, importWorkflow, open, ready, see, signUp, start, test } from '../support/world';
import type { Page } from '@playwright/test';

const SUM = `name: Sums
title: "Sum {{ input.of }}"
input: { type: object, properties: { of: { type: string } } }
nodes:
  - { id: start, kind: start }
  - { id: sum, name: Add up, kind: tool, tool: calculator, arguments: { expression: "{{ input.of }}" }, after: [start] }
  - { id: end, kind: end, after: [sum] }
`;

/** Runs the workflow with each of these sums, and waits for how each ends. */
async function sums(page: Page, workflow: string, of: [string, string][]): Promise<void> {
  for (const [sum, state] of of) {
    await open(page, `${workflow}/run`);
    await page.getByLabel('of', { exact: false }).first().fill(sum);
    await start(page);
    await see(page, state);
  }
}

/** How many runs the list of an address says that it has. */
async function listed(page: Page, address: string): Promise<number> {
  await open(page, address);
  const said = page.getByText(/^[\d,]+ runs?$/);
  if ((await said.count()) === 0) return 0;
  return Number(((await said.first().textContent()) ?? '').replace(/[^\d]/g, ''));
}

test('DSH-1 each figure has a unit and leads to a list of as many runs, in every period @plain', async ({ page }) => {
  const { slug } = await signUp(page);
  const workflow = await importWorkflow(page, slug, SUM);
  await sums(page, workflow, [['1 + 1', 'Succeeded'], ['2 + 2', 'Succeeded'], ['1 +', 'Failed']]);
  const today = new Date().toISOString().slice(0, 10);
  const week = new Date(Date.now() - 7 * 86_400_000).toISOString().slice(0, 10);
  for (const period of ['', '?range=7d', '?range=30d', `?from=${week}&to=${today}`, `?from=${today}`]) {
    await open(page, `/o/${slug}/${period}`);
    await expect(page.locator('.tile')).toHaveCount(10);
    const tiles = await page.locator('.tile').evaluateAll((all) =>
      all.map((tile) => ({ text: tile.textContent ?? '', href: tile.querySelector('a')?.getAttribute('href') ?? '' })),
    );
    for (const { text, href } of tiles.filter((tile) => tile.href.includes('/runs?'))) {
      const count = await listed(page, href);
      expect(text, `${period}: ${href}`).toContain(count === 1 ? '1 run' : `${count} runs`);
    }
  }
});

test('DSH-2 days are chosen by a form, and stand in the address with the zone and the moment @plain', async ({ page }) => {
  const { slug } = await signUp(page);
  const workflow = await importWorkflow(page, slug, SUM);
  await sums(page, workflow, [['1 + 1', 'Succeeded']]);
  await open(page, `/o/${slug}/`);
  await expect(page.getByText(/as of \d\d:\d\d:\d\d UTC/)).toBeVisible();
  const today = new Date().toISOString().slice(0, 10);
  await page.getByLabel('From').fill(today);
  await page.getByLabel('to', { exact: true }).fill(today);
  await page.getByRole('button', { name: 'Show', exact: true }).click();
  await page.waitForURL(new RegExp(`from=${today}&to=${today}`));
  await ready(page);
  await expect(page.getByText(/1 run that ended/).first()).toBeVisible();
  await expect(page.getByLabel('From')).toHaveValue(today);
});

test('DSH-3 a period without runs says so, and shows no zero @plain', async ({ page }) => {
  const { slug } = await signUp(page);
  const workflow = await importWorkflow(page, slug, SUM);
  await sums(page, workflow, [['1 + 1', 'Succeeded']]);
  await open(page, `/o/${slug}/?from=2020-01-01&to=2020-01-31`);
  await expect(page.getByText('No runs in this period', { exact: false }).first()).toBeVisible();
  await expect(page.getByText('Success rate')).toHaveCount(0);
});

test('DSH-5 what fails now is named with its last error and leads to its runs @narrow', async ({ page }) => {
  const { slug } = await signUp(page);
  const workflow = await importWorkflow(page, slug, SUM);
  await sums(page, workflow, [['1 +', 'Failed'], ['2 +', 'Failed']]);
  await open(page, `/o/${slug}/`);
  await expect(page.getByRole('heading', { name: 'Cost against budget' })).toBeVisible();
  await expect(page.getByText('No budget bounds what is spent.')).toBeVisible();
  await expect(page.getByText('Nothing waits for a free place')).toBeVisible();
  await accessibleInBothThemes(page);
  const failing = page.locator('section').filter({ has: page.getByRole('heading', { name: 'Failing now' }) }).last();
  await expect(failing.getByRole('link', { name: 'Sums' })).toBeVisible();
  const href = await failing.getByRole('link', { name: '2 runs failed' }).getAttribute('href');
  expect(await listed(page, href ?? '')).toBe(2);
});

test('DSH-6 the chart can be read as a table and taken along as a file', async ({ page }) => {
  const { slug } = await signUp(page);
  const workflow = await importWorkflow(page, slug, SUM);
  await sums(page, workflow, [['1 + 1', 'Succeeded'], ['1 +', 'Failed']]);
  await open(page, `/o/${slug}/?range=7d`);
  await page.getByText('Show as table').click();
  const table = page.getByRole('table', { name: /Outcomes of runs/ });
  await expect(table.getByRole('columnheader', { name: 'Not ended' })).toBeVisible();
  await expect(page.locator('.outcome-legend')).toContainText('Failed 1');
  const download = page.waitForEvent('download');
  await page.getByRole('link', { name: 'CSV' }).click();
  expect((await download).suggestedFilename()).toBe('outcomes.csv');
});

test('DSH-7 a new organization sees a checklist with one next step', async ({ page }) => {
  const { slug } = await signUp(page);
  await open(page, `/o/${slug}/`);
  await expect(page.getByRole('heading', { name: 'Your first run' })).toBeVisible();
  await expect(page.getByText('0 of 3 done')).toBeVisible();
  await expect(page.getByRole('main').locator('.btn-primary')).toHaveCount(1);
  await expect(page.locator('.tile')).toHaveCount(0);
});

test('the dashboard is renewed as runs go on', async ({ page, context }) => {
  const { slug } = await signUp(page);
  const workflow = await importWorkflow(page, slug, SUM);
  await sums(page, workflow, [['1 + 1', 'Succeeded']]);
  await open(page, `/o/${slug}/`);
  await expect(page.getByRole('link', { name: 'Sum 3 + 3' })).toHaveCount(0);
  const other = await context.newPage();
  await sums(other, workflow, [['3 + 3', 'Succeeded']]);
  await page.bringToFront();
  await expect(page.getByRole('link', { name: 'Sum 3 + 3' })).toBeVisible({ timeout: 15_000 });
});

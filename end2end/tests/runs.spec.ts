// The list of runs: each filter in the address with a way to take it away, orders, texts in inputs, outputs and logs, labels,
// saved views, and runs that are chosen by hand.
import { accessible, accessibleInBothThemes, expect, importWorkflow, open, ready, see, signUp, start, test } from '../support/world';
import type { Page } from '@playwright/test';

const SUM = `name: Sums
title: "Sum {{ input.of }}"
input: { type: object, properties: { of: { type: string }, note: { type: string } } }
nodes:
  - { id: start, kind: start }
  - { id: sum, name: Add up, kind: tool, tool: calculator, arguments: { expression: "{{ input.of }}" }, after: [start] }
  - { id: end, kind: end, after: [sum], output: { result: "{{ steps.sum.output }}" } }
`;

/** Starts a run with a sum, a note and labels, and waits for how it ends. */
async function sum(page: Page, workflow: string, of: string, state: string, note = '', labels = ''): Promise<void> {
  await open(page, `${workflow}/run`);
  await page.getByLabel('of', { exact: false }).first().fill(of);
  await page.getByLabel('note', { exact: false }).first().fill(note);
  await page.getByLabel(/^Labels/).fill(labels);
  await start(page);
  await see(page, state);
}

const rows = (page: Page) => page.getByRole('table').getByRole('rowheader');

test('runs are found by label, text, status and period, and each filter can be taken away @plain @narrow', async ({ page, javaScriptEnabled }) => {
  const { slug } = await signUp(page);
  const workflow = await importWorkflow(page, slug, SUM);
  await sum(page, workflow, '1 + 1', 'Succeeded', 'order BX-4812', 'night, eu');
  await sum(page, workflow, '2 + 2', 'Succeeded', 'order BX-4813', 'night');
  await sum(page, workflow, '1 +', 'Failed');
  await open(page, `/o/${slug}/runs`);
  await expect(rows(page)).toHaveCount(3);

  await rows(page).getByRole('link', { name: 'eu', exact: true }).click();
  await page.waitForURL(/label=eu/);
  await expect(rows(page)).toHaveCount(1);
  await expect(rows(page)).toContainText('Sum 1 + 1');
  const set = page.getByRole('list', { name: 'Filters that are set' });
  await expect(set).toContainText('Label: eu');
  await set.getByRole('link', { name: 'Take away: Label: eu' }).click();
  await expect(rows(page)).toHaveCount(3);

  await page.getByLabel('Title or run id').fill('bx-4812');
  await page.getByLabel('also in inputs, outputs and logs').check();
  await page.getByRole('button', { name: 'Filter' }).click();
  await page.waitForURL(/in=all/);
  await expect(rows(page)).toHaveCount(1);
  await expect(rows(page)).toContainText('Found in its input');
  await expect(page.getByText('1 run', { exact: true })).toBeVisible();
  if (javaScriptEnabled) await accessibleInBothThemes(page);

  await open(page, `/o/${slug}/runs?state=failed,cancelled&lasts_max=1h`);
  await expect(rows(page)).toHaveCount(1);
  await expect(set).toContainText('Status: Failed or Stopped');
  await expect(set).toContainText('Duration: 1h or less');
  await open(page, `/o/${slug}/runs?q=nothing&label=eu`);
  await expect(page.getByText('No runs match 2 filters')).toBeVisible();
  await page.getByRole('link', { name: 'Clear filters' }).click();
  await expect(rows(page)).toHaveCount(3);
});

test('the heads of the columns sort, and say so @plain', async ({ page }) => {
  const { slug } = await signUp(page);
  const workflow = await importWorkflow(page, slug, SUM);
  await sum(page, workflow, '1 + 1', 'Succeeded');
  await sum(page, workflow, '2 + 2', 'Succeeded');
  await open(page, `/o/${slug}/runs`);
  const started = page.getByRole('columnheader', { name: 'Started' });
  await expect(started).toHaveAttribute('aria-sort', 'descending');
  await expect(rows(page).first()).toContainText('Sum 2 + 2');
  await started.getByRole('link').click();
  await page.waitForURL(/order=oldest/);
  await expect(page.getByRole('columnheader', { name: 'Started' })).toHaveAttribute('aria-sort', 'ascending');
  await expect(rows(page).first()).toContainText('Sum 1 + 1');
  await page.getByRole('columnheader', { name: 'Cost' }).getByRole('link').click();
  await page.waitForURL(/order=dearest/);
  await expect(page.getByRole('columnheader', { name: 'Cost' })).toHaveAttribute('aria-sort', 'descending');
});

test('a view is saved, found above the list, renamed and removed @plain', async ({ page }) => {
  const { slug } = await signUp(page);
  const workflow = await importWorkflow(page, slug, SUM);
  await sum(page, workflow, '1 +', 'Failed', '', 'night');
  await open(page, `/o/${slug}/runs?label=night&state=failed`);
  await page.getByText('Save this view').click();
  await page.getByLabel('Name', { exact: true }).fill('Failed nights');
  await page.getByRole('button', { name: 'Save view' }).click();
  const views = page.getByRole('navigation', { name: 'Saved views' });
  await expect(views.getByRole('link', { name: 'Failed nights' })).toHaveAttribute('aria-current', 'page');
  await open(page, `/o/${slug}/runs`);
  await views.getByRole('link', { name: 'Failed nights' }).click();
  await page.waitForURL(/label=night/);
  await expect(page.getByText('Label: night')).toBeVisible();
  await page.getByText('Edit views').click();
  await page.getByLabel('Name of “Failed nights”').fill('Nights');
  await page.getByRole('button', { name: 'Rename' }).click();
  await expect(views.getByRole('link', { name: 'Nights', exact: true })).toBeVisible();
  if (!(await page.getByRole('button', { name: 'Remove' }).isVisible())) await page.getByText('Edit views').click();
  await page.getByRole('button', { name: 'Remove' }).click();
  await expect(views).toHaveCount(0);
});

test('runs are chosen by hand, and what would be done is told of those alone @plain @narrow', async ({ page, javaScriptEnabled }) => {
  const { slug } = await signUp(page);
  const workflow = await importWorkflow(page, slug, SUM);
  for (const of of ['1 +', '2 +', '3 +']) await sum(page, workflow, of, 'Failed');
  await open(page, `/o/${slug}/runs`);
  const chosen = page.getByRole('group', { name: 'With the chosen runs' });
  await page.getByLabel('Choose “Sum 1 +”').check();
  await page.getByLabel('Choose “Sum 3 +”').check();
  await chosen.getByRole('button', { name: 'Retry…' }).click();
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Retry 2 runs');
  await ready(page);
  await expect(page.getByRole('rowheader', { name: 'Sum 2 +' })).toHaveCount(0);
  if (javaScriptEnabled) await accessible(page);
  await page.getByRole('button', { name: 'Retry 2 runs' }).click();
  await expect(page.getByText('2 runs were retried.')).toBeVisible();
  // Nothing that is chosen is not everything.
  await open(page, `/o/${slug}/runs`);
  await chosen.getByRole('button', { name: 'Stop…' }).click();
  await expect(page.getByText('No run is chosen')).toBeVisible();
  if (!javaScriptEnabled) return;
  await open(page, `/o/${slug}/runs`);
  await page.getByLabel('Choose all on this page').check();
  await expect(page.getByLabel('Choose “Sum 2 +”')).toBeChecked();
});

// The three minutes that the product promises: sign up, run a template, watch it, decide its one risky step, see the
// result and what it cost.
import { type Page } from '@playwright/test';
import { accessible, accessibleInBothThemes, expect, open, ready, signUp, test } from '../support/world';

/** Makes the triage workflow out of its template and opens its run form. */
async function useTriage(page: Page, slug: string): Promise<void> {
  await open(page, `/o/${slug}/workflows/new`);
  await page.getByRole('button', { name: 'Use template Customer message triage' }).click();
  await expect(page.getByRole('heading', { level: 1 })).toContainText('Customer message triage');
  await ready(page);
  await page.getByRole('link', { name: 'Run workflow' }).click();
  await expect(page.getByRole('heading', { level: 1 })).toContainText('Run Customer message triage');
  await ready(page);
}

/** Waits for words on the page of a run: live, or by asking again where JavaScript is off. */
async function see(page: Page, live: boolean, words: string | RegExp): Promise<void> {
  const shown = page.getByRole('main').getByText(words).first();
  if (live) {
    await expect(shown).toBeVisible({ timeout: 30_000 });
    return;
  }
  await expect(async () => {
    await page.reload();
    await expect(shown).toBeVisible({ timeout: 500 });
  }).toPass({ timeout: 30_000 });
}

test('from signing up to a decided run, by pointer @narrow @plain', async ({ page }, info) => {
  const live = info.project.name !== 'plain';
  const person = await signUp(page);
  await useTriage(page, person.slug);
  await page.getByRole('button', { name: 'Start run' }).click();
  await page.waitForURL(/\/runs\/run_/);
  const run = page.url();
  await see(page, live, 'Needs approval');
  await expect(page.getByRole('main')).toContainText('Sort by topic and urgency');

  // The inbox has it, with everything that a person needs to decide.
  await open(page, `/o/${person.slug}/approvals`);
  await page.getByRole('link', { name: /Send this reply to Ana/ }).first().click();
  const card = page.getByRole('article', { name: /Send this reply to Ana/ });
  await expect(card).toContainText('ana@example.com');
  await expect(card).toContainText('Cannot be undone');
  await expect(card).toContainText(person.name);
  await card.getByRole('link', { name: 'Approve…' }).click();
  const confirm = live ? page.getByRole('dialog') : page.getByRole('region', { name: 'Confirm' });
  await confirm.getByRole('button', { name: 'Approve', exact: true }).click();
  await expect(card).toContainText('Approved');
  await expect(confirm).toHaveCount(0);

  await open(page, run);
  await see(page, live, 'Succeeded');
  await expect(page.getByRole('main')).toContainText(/tokens/i);
  await open(page, `/o/${person.slug}/outbox`);
  await expect(page.getByRole('main')).toContainText('Re: Order 4812 arrived damaged');
});

test('the same by keyboard alone', async ({ page }) => {
  const person = await signUp(page);
  await useTriage(page, person.slug);
  await page.getByRole('button', { name: 'Start run' }).focus();
  await page.keyboard.press('Enter');
  await page.waitForURL(/\/runs\/run_/);
  await see(page, true, 'Needs approval');
  // The tree is one stop; arrows move in it, and the address says where.
  const tree = page.getByRole('tree');
  await tree.focus();
  await page.keyboard.press('Home');
  for (let i = 0; i < 3; i++) await page.keyboard.press('ArrowDown');
  await expect(page).toHaveURL(/step=/);
  await expect(tree.getByRole('treeitem', { selected: true })).toHaveCount(1);
  const before = page.url();
  await page.keyboard.press('End');
  await expect(page).not.toHaveURL(before);
  await open(page, `/o/${person.slug}/approvals`);
  await page.getByRole('link', { name: /Send this reply to Ana/ }).first().focus();
  await page.keyboard.press('Enter');
  await page.getByRole('link', { name: 'Approve…' }).focus();
  await page.keyboard.press('Enter');
  const dialog = page.getByRole('dialog');
  // What cannot be undone begins with the focus on the way back.
  await expect(dialog.getByRole('button', { name: 'Cancel' })).toBeFocused();
  await page.keyboard.press('Escape');
  await expect(dialog).toBeHidden();
  await page.getByRole('link', { name: 'Approve…' }).focus();
  await page.keyboard.press('Enter');
  await dialog.getByRole('button', { name: 'Approve', exact: true }).focus();
  await page.keyboard.press('Enter');
  await expect(page.getByRole('main').getByText('Approved').first()).toBeVisible();
});

test('two people decide one approval: one wins, the other reads who', async ({ page, browser, server }) => {
  const person = await signUp(page);
  await useTriage(page, person.slug);
  await page.getByRole('button', { name: 'Start run' }).click();
  await page.waitForURL(/\/runs\/run_/);
  await see(page, true, 'Needs approval');
  await open(page, `/o/${person.slug}/approvals`);
  await page.getByRole('link', { name: /Send this reply to Ana/ }).first().click();
  await expect(page.getByRole('article')).toBeVisible();
  const state = await page.context().storageState();
  const other = await browser.newContext({ baseURL: server.url, storageState: state });
  const second = await other.newPage();
  await open(second, new URL(page.url()).pathname + new URL(page.url()).search);
  for (const one of [page, second]) {
    await one.getByRole('link', { name: 'Approve…' }).click();
    await expect(one.getByRole('dialog')).toBeVisible();
  }
  await Promise.all([page, second].map((one) => one.getByRole('dialog').getByRole('button', { name: 'Approve', exact: true }).click()));
  for (const one of [page, second]) {
    await expect(one.getByRole('article').getByText(/by Ada Lovelace/).first()).toBeVisible();
  }
  await other.close();
});

test('a refresh and a restart of the server in the middle of a run lose nothing', async ({ page, server, expected }) => {
  // While the server is away its stream and its files are, too.
  expected.push(/Failed to load resource|ERR_CONNECTION|net::/);
  const person = await signUp(page);
  await useTriage(page, person.slug);
  await page.getByRole('button', { name: 'Start run' }).click();
  await page.waitForURL(/\/runs\/run_/);
  await page.reload();
  await ready(page);
  await server.down('SIGKILL');
  await server.up();
  await see(page, true, 'Needs approval');
  await page.reload();
  await ready(page);
  await see(page, true, 'Needs approval');
});

test('no page has a fault that axe can find, in either theme @narrow', async ({ page }) => {
  const person = await signUp(page);
  await useTriage(page, person.slug);
  await accessibleInBothThemes(page);
  await page.getByRole('button', { name: 'Start run' }).click();
  await page.waitForURL(/\/runs\/run_/);
  await see(page, true, 'Needs approval');
  await accessibleInBothThemes(page);
  const places = ['', 'runs', 'approvals', 'agents', 'agents/new', 'workflows', 'workflows/new', 'settings', 'outbox'];
  for (const place of places) {
    await open(page, `/o/${person.slug}/${place}`);
    await accessibleInBothThemes(page);
  }
  await open(page, `/o/${person.slug}/agents`);
  await page.getByRole('main').getByRole('link', { name: 'Message sorter' }).first().click();
  await ready(page);
  await accessible(page);
  await open(page, `/o/${person.slug}/workflows`);
  await page.getByRole('main').getByRole('link', { name: 'Customer message triage' }).first().click();
  await ready(page);
  await accessible(page);
});

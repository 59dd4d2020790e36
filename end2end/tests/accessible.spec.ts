// Every page as axe sees it, in both themes, wide and narrow. Several tests, so that each stays quick.
import { type Page } from '@playwright/test';
import { accessibleInBothThemes, expect, open, see, signUp, start, test, useTriage } from '../support/world';

/** Opens each address and looks at it. */
async function look(page: Page, addresses: string[]): Promise<void> {
  for (const address of addresses) {
    await test.step(address, async () => {
      await open(page, address);
      await expect(page.getByRole('heading', { level: 1 })).toBeVisible();
      await accessibleInBothThemes(page);
    });
  }
}

/** Follows the first link of this name in the page's content, and gives the path where it leads. */
async function follow(page: Page, name: string): Promise<string> {
  await page.getByRole('main').getByRole('link', { name }).first().click();
  await expect(page.getByRole('heading', { level: 1 })).toContainText(name);
  return new URL(page.url()).pathname;
}

test('no page of a visitor has a fault that axe can find @narrow', async ({ page }) => {
  await look(page, ['/login', '/signup']);
});

test('no page of an organization has a fault that axe can find @narrow', async ({ page, expected }) => {
  expected.push(/status of 404/);
  const { slug } = await signUp(page);
  await look(page, ['', 'runs', 'approvals', 'agents', 'workflows', 'settings', 'outbox', 'no-such-page'].map((place) => `/o/${slug}/${place}`));
});

test('no page where one finds and decides has a fault that axe can find @narrow', async ({ page }) => {
  const { slug } = await signUp(page);
  await look(page, ['logs', 'search?q=a', 'shortcuts', 'approvals?view=snoozed', 'approvals/bulk'].map((place) => `/o/${slug}/${place}`));
});

test('no page of models, money and tools has a fault that axe can find @narrow', async ({ page }) => {
  const { slug } = await signUp(page);
  const places = ['integrations', 'settings/budgets', 'settings/models', 'tools', 'tools/new', 'tools/servers/new'];
  await look(page, places.map((place) => `/o/${slug}/${place}`));
});

test('no page where one makes something has a fault that axe can find @narrow', async ({ page }) => {
  const { slug } = await signUp(page);
  await look(page, [`/o/${slug}/agents/new`, `/o/${slug}/workflows/new`]);
  await useTriage(page, slug);
  await accessibleInBothThemes(page);
  await look(page, [`/o/${slug}/workflows`, `/o/${slug}/agents`]);
  const agent = await follow(page, 'Message sorter');
  await look(page, ['', '/versions', '/versions?a=1&b=1', '/tests', '/record', '/memory', '/deploy'].map((place) => agent + place));
});

test('no page of a workflow has a fault that axe can find @narrow', async ({ page }) => {
  const { slug } = await signUp(page);
  await useTriage(page, slug);
  await open(page, `/o/${slug}/workflows`);
  const workflow = await follow(page, 'Customer message triage');
  const below = ['', '/versions', '/settings', '/steps/new', '/steps/new?kind=decision', '/steps/classify', '/steps/review'];
  await look(page, below.map((place) => workflow + place));
});

test('no page of a run has a fault that axe can find @narrow', async ({ page }) => {
  const { slug } = await signUp(page);
  await useTriage(page, slug);
  const run = await start(page);
  await see(page, 'Needs approval');
  const below = ['', '?view=logs', '?step=classify', '?step=classify&tab=logs', '?step=classify&tab=timing', '?step=classify&tab=events'];
  await look(page, below.map((place) => run + place));
});

test('no part of a run has a fault that axe can find @narrow', async ({ page }) => {
  const { slug } = await signUp(page);
  await useTriage(page, slug);
  const run = await start(page);
  await see(page, 'Needs approval');
  await look(page, ['?find=message', '?root=classify', '/compare'].map((place) => run + place));
});

test('no list of runs has a fault that axe can find @narrow', async ({ page }) => {
  const { slug } = await signUp(page);
  await useTriage(page, slug);
  await start(page);
  await see(page, 'Needs approval');
  await look(page, [`/o/${slug}/runs`, `/o/${slug}/runs/bulk?action=cancel`, `/o/${slug}/runs/bulk?action=retry`]);
});

test('no page where one decides has a fault that axe can find @narrow', async ({ page }) => {
  const { slug } = await signUp(page);
  await useTriage(page, slug);
  await start(page);
  await see(page, 'Needs approval');
  await look(page, [`/o/${slug}/approvals`]);
  await page.getByRole('link', { name: /Send this reply to Ana/ }).first().click();
  const card = page.getByRole('article', { name: /Send this reply to Ana/ });
  await expect(card).toBeVisible();
  await expect(page).toHaveURL(/sel=/);
  await look(page, [page.url()]);
  await card.getByText('Reject…').click();
  await card.getByRole('radio', { name: 'Not needed' }).check();
  await accessibleInBothThemes(page);
  await card.getByRole('button', { name: 'Reject', exact: true }).click();
  await expect(card).toContainText('Rejected');
  await look(page, [page.url(), `/o/${slug}/approvals?view=decided`]);
});

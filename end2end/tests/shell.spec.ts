// What is around every page: the palette, the shortcuts, and the word while the connection is away.
import { accessible, expect, importWorkflow, open, signUp, start, see, test } from '../support/world';

const ONE = `name: Refund desk
input: { type: object }
nodes:
  - { id: start, kind: start }
  - { id: look, kind: transform, name: Look, value: "{{ 1 }}", after: [start] }
  - { id: end, kind: end, after: [look] }
`;

test('the palette goes anywhere, finds names, and gives the focus back', async ({ page }) => {
  const { slug } = await signUp(page);
  await open(page, `${await importWorkflow(page, slug, ONE)}/run`);
  const run = await start(page);
  await see(page, 'Succeeded');
  await open(page, `/o/${slug}/agents`);
  const opener = page.getByRole('link', { name: 'New agent' }).first();
  await opener.focus();
  await page.keyboard.press('Control+k');
  const palette = page.getByRole('dialog', { name: 'Search and go anywhere' });
  const field = palette.getByRole('combobox');
  await expect(field).toBeFocused();
  await expect(palette.getByRole('option', { name: 'Dashboard' })).toBeVisible();
  await expect(palette.getByRole('option').first()).toHaveAttribute('aria-selected', 'true');
  await accessible(page);
  // What is typed narrows down at once; the server's answer has the names.
  await field.fill('refund');
  await expect(palette.getByRole('option')).toHaveCount(2);
  await expect(palette.getByRole('group', { name: 'Workflows' }).getByRole('option')).toHaveText(/Refund desk/);
  await expect(palette.getByRole('status')).toHaveText('2 results');
  await page.keyboard.press('ArrowDown');
  await expect(palette.getByRole('option').nth(1)).toHaveAttribute('aria-selected', 'true');
  await expect(field).toHaveAttribute('aria-activedescendant', 'found-1');
  await page.keyboard.press('Enter');
  await expect(page).toHaveURL(run);
  await expect(palette).toBeHidden();
  // Escape leaves everything as it was.
  await open(page, `/o/${slug}/agents`);
  await page.getByRole('link', { name: 'New agent' }).first().focus();
  await page.keyboard.press('Control+k');
  await field.fill('> new w');
  await expect(palette.getByRole('option')).toHaveText([/New workflow/]);
  await page.keyboard.press('Escape');
  await expect(palette).toBeHidden();
  await expect(page.getByRole('link', { name: 'New agent' }).first()).toBeFocused();
  await page.keyboard.press('Control+k');
  await field.fill('nothing is called so');
  await expect(palette.getByText('Nothing has this name.')).toBeVisible();
  await expect(palette.getByRole('option', { name: 'Look among all runs' })).toBeVisible();
});

test('single keys go places, and never while something is typed', async ({ page }) => {
  const { slug } = await signUp(page);
  await page.keyboard.press('g');
  await page.keyboard.press('r');
  await expect(page).toHaveURL(new RegExp(`/o/${slug}/runs$`));
  await page.keyboard.press('/');
  const field = page.locator('main input[type=search]').first();
  await expect(field).toBeFocused();
  await page.keyboard.type('ga?');
  await expect(field).toHaveValue('ga?');
  await expect(page).toHaveURL(new RegExp(`/o/${slug}/runs$`));
  await page.keyboard.press('Tab');
  await page.keyboard.press('?');
  const help = page.getByRole('dialog', { name: 'Keyboard shortcuts' });
  await expect(help.getByText('Search and go anywhere')).toBeVisible();
  await accessible(page);
  // A dialog takes the keys.
  await page.keyboard.press('g');
  await page.keyboard.press('d');
  await expect(help).toBeVisible();
  await page.keyboard.press('Escape');
  await expect(help).toBeHidden();
});

test('the search and the shortcuts are pages as well @plain @narrow', async ({ page }) => {
  const { slug } = await signUp(page);
  await page.getByRole('banner').getByRole('link', { name: 'Search' }).click({ trial: true });
  await open(page, `/o/${slug}/search`);
  await page.getByRole('searchbox').fill('workflow');
  await page.getByRole('main').getByRole('button', { name: 'Search' }).click();
  await expect(page).toHaveURL(/search\?q=workflow/);
  await expect(page.getByRole('main').getByRole('link', { name: 'New workflow' })).toBeVisible();
  await page.getByRole('main').getByRole('link', { name: /^Workflows/ }).click();
  await expect(page).toHaveURL(new RegExp(`/o/${slug}/workflows`));
  await open(page, `/o/${slug}/shortcuts`);
  await expect(page.getByText('Search and go anywhere')).toBeVisible();
  await accessible(page);
});

test('a page says that it may be old while the connection is away', async ({ page, server, expected }) => {
  expected.push(/Failed to load resource|ERR_/);
  const { slug } = await signUp(page);
  await open(page, `/o/${slug}/runs`);
  const word = page.getByText('The connection is lost.');
  await expect(word).toBeHidden();
  await server.down('SIGKILL');
  await expect(word).toBeVisible();
  await server.up();
  await expect(word).toBeHidden({ timeout: 30_000 });
  await page.context().setOffline(true);
  await expect(page.getByText('You are offline.')).toBeVisible();
  await page.context().setOffline(false);
  await expect(page.getByText('You are offline.')).toBeHidden();
});

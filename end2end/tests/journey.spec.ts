// The three minutes that the product promises: sign up, run a template, watch it, decide its one risky step, see the
// result and what it cost.
import { type Page } from '@playwright/test';
import { Server, expect, open, ready, see, signUp, start, test, useTriage, watch } from '../support/world';

test('from signing up to a decided run, by pointer @narrow @plain', async ({ page }, info) => {
  const live = info.project.name !== 'plain';
  const person = await signUp(page);
  await useTriage(page, person.slug);
  const run = await start(page);
  await see(page, 'Needs approval');
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
  await see(page, 'Succeeded');
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
  await see(page, 'Needs approval');
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

test('two people decide one approval: one wins, the other reads who', async ({ page, browser, server, expected }) => {
  // Whoever is second is told so.
  expected.push(/status of 409/);
  const ada = await signUp(page);
  const other = await browser.newContext({ baseURL: server.url });
  const second = await other.newPage();
  const grace = await signUp(second, { name: 'Grace Hopper', organization: 'Compilers' });
  await server.join(grace, ada.slug);
  await useTriage(page, ada.slug);
  await start(page);
  await see(page, 'Needs approval');
  await open(page, `/o/${ada.slug}/approvals`);
  await page.getByRole('link', { name: /Send this reply to Ana/ }).first().click();
  await expect(page.getByRole('article')).toContainText(`Who else may decide${grace.name}`);
  await expect(page).toHaveURL(/sel=/);
  await open(second, page.url());
  // Both have pressed before the server hears of either.
  const pages = [page, second];
  const answers = new Map<Page, number>();
  let pressed = 0;
  let both = () => {};
  const together = new Promise<void>((done) => (both = done));
  for (const one of pages) {
    await one.route(/\/approve[^/]*$/, async (route) => {
      pressed += 1;
      if (pressed === pages.length) both();
      await together;
      const answer = await route.fetch();
      answers.set(one, answer.status());
      await route.fulfill({ response: answer });
    });
    await one.getByRole('link', { name: 'Approve…' }).click();
    await one.getByRole('dialog').getByRole('button', { name: 'Approve', exact: true }).click();
  }
  await expect.poll(() => [...answers.values()].sort()).toEqual([200, 409]);
  const winner = answers.get(page) === 200 ? ada : grace;
  for (const one of pages) {
    // The card also says who started the run.
    await expect(one.getByRole('article')).toContainText(new RegExp(`Approved\\s*by ${winner.name}`));
    await expect(one.getByRole('dialog')).toHaveCount(0);
  }
  await other.close();
});

test('a refresh and a restart of the server in the middle of a run lose nothing', async ({ page, server, expected }) => {
  // While the server is away its stream and its files are, too.
  expected.push(/Failed to load resource|ERR_CONNECTION|net::/);
  const person = await signUp(page);
  await useTriage(page, person.slug);
  await start(page);
  await page.reload();
  await ready(page);
  await server.down('SIGKILL');
  await server.up();
  await see(page, 'Needs approval');
  await page.reload();
  await ready(page);
  await see(page, 'Needs approval');
});

test('what a slow model writes is read while it writes, and a stop cuts it off', async ({ browser }) => {
  const server = await Server.start({ AGENTFLOW_SANDBOX_PAUSE_MS: '150' });
  const context = await browser.newContext({ baseURL: server.url });
  const page = await context.newPage();
  const check = watch(page);
  const person = await signUp(page);
  await useTriage(page, person.slug);
  await start(page);
  await page.getByRole('main').getByText('Draft the reply').first().waitFor({ timeout: 60_000 });
  await page.getByRole('main').getByText('Model call 1').last().click();
  const written = page.locator('.writing');
  await expect(written).toContainText('Hello Ana');
  const before = (await written.innerText()).length;
  await expect.poll(async () => (await written.innerText()).length).toBeGreaterThan(before + 20);
  await page.getByRole('button', { name: 'Stop run' }).click();
  await see(page, 'Stopped');
  await expect(written).toHaveCount(0);
  check();
  await context.close();
  await server.remove();
});

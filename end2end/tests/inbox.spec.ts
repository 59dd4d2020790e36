// The inbox in a browser: by keyboard, with the way back, and while others work.
import { type Page } from '@playwright/test';
import { accessible, expect, importWorkflow, open, ready, see, signUp, start, test, useTriage } from '../support/world';

const WORKFLOW = `name: Label customers
input: { type: object, properties: { title: { type: string } } }
title: "{{ input.title }}"
nodes:
  - id: start
    kind: start
  - id: ask
    kind: approval
    title: "Label {{ input.title }}"
    payload: { label: late, score: 3 }
    impact: One customer gets a label
    reversible: true
    after: [start]
  - id: end
    kind: end
    output: "{{ steps.ask.output.payload }}"
    after: [ask]
`;

/** Starts a run and waits until it asks. */
async function run(page: Page, form: string, title: string): Promise<void> {
  await open(page, form);
  await page.getByLabel('title', { exact: false }).first().fill(title);
  await start(page);
  await see(page, 'Needs approval');
}

test('ten keys decide, edit, refuse and take back, and the focus goes along', async ({ page, expected }) => {
  // Refused forms answer so.
  expected.push(/status of 422/);
  const { slug } = await signUp(page);
  const form = `${await importWorkflow(page, slug, WORKFLOW)}/run`;
  for (const name of ['Kim', 'Lee', 'Max']) await run(page, form, name);
  await open(page, `/o/${slug}/approvals`);
  await expect(page).toHaveTitle(/Approvals \(3\)/);
  const waiting = page.getByRole('list', { name: 'Waiting' });
  const row = (name: string) => waiting.getByRole('listitem').filter({ hasText: `Label ${name}` });
  await waiting.getByRole('link', { name: 'Label Kim' }).focus();
  await page.keyboard.press('a');
  // In its row at once, with the way back; the focus is on the next one.
  await expect(row('Kim')).toContainText('Approved');
  await expect(row('Kim').getByRole('button', { name: 'Undo' })).toBeVisible();
  await expect(waiting.getByRole('link', { name: 'Label Lee' })).toBeFocused();
  await expect(page.getByRole('article', { name: 'Label Lee' })).toBeVisible();
  // A reload inside of the window still offers it.
  await page.reload();
  await ready(page);
  await page.getByRole('listitem').filter({ hasText: 'Label Kim' }).getByRole('button', { name: 'Undo' }).first().click();
  await expect(row('Kim')).not.toContainText('Approved');
  await expect(page).toHaveTitle(/Approvals \(3\)/);
  // A no asks for its reason, at the reason.
  await waiting.getByRole('link', { name: 'Label Lee' }).click();
  await waiting.getByRole('link', { name: 'Label Lee' }).focus();
  await page.keyboard.press('r');
  const card = page.getByRole('article', { name: 'Label Lee' });
  await expect(card.getByRole('radio', { name: 'Not needed' })).toBeFocused();
  await card.getByRole('button', { name: 'Reject', exact: true }).click();
  await expect(card.getByText('Say why you reject this.').first()).toBeVisible();
  await card.getByRole('radio', { name: 'Too risky' }).check();
  await card.getByRole('button', { name: 'Reject', exact: true }).click();
  await expect(row('Lee')).toContainText('Rejected');
  // Letters in a field are letters.
  await waiting.getByRole('link', { name: 'Label Max' }).click();
  const third = page.getByRole('article', { name: 'Label Max' });
  await expect(third).toBeVisible();
  await waiting.getByRole('link', { name: 'Label Max' }).focus();
  await page.keyboard.press('e');
  await third.getByLabel(/^label/).fill('aze');
  await third.getByLabel('score', { exact: true }).fill('many');
  await third.getByRole('button', { name: 'Approve with edits' }).click();
  await expect(third.getByText(/Enter a number/).first()).toBeVisible();
  await expect(third.getByLabel(/^label/)).toHaveValue('aze');
  await third.getByLabel('score', { exact: true }).fill('4');
  await third.getByRole('button', { name: 'Approve with edits' }).click();
  // What was begun by a key goes on to the next one.
  await expect(row('Max')).toContainText('with edits');
  await expect(page.getByRole('article', { name: 'Label Kim' })).toBeVisible();
  await waiting.getByRole('link', { name: 'Label Max' }).click();
  await expect(third).toContainText('aze');
  await accessible(page);
});

test('what comes while one looks is offered and moves nothing', async ({ page, browser, server }) => {
  const { slug } = await signUp(page);
  const form = `${await importWorkflow(page, slug, WORKFLOW)}/run`;
  await run(page, form, 'Kim');
  const other = await browser.newContext({ baseURL: server.url, storageState: await page.context().storageState() });
  const second = await other.newPage();
  await open(page, `/o/${slug}/approvals`);
  const waiting = page.getByRole('list', { name: 'Waiting' });
  await expect(waiting.getByRole('listitem')).toHaveCount(1);
  await run(second, form, 'Lee');
  await expect(page.getByRole('button', { name: '1 new · Show' })).toBeVisible();
  await expect(waiting.getByRole('listitem')).toHaveCount(1);
  await expect(page).toHaveTitle(/Approvals \(2\)/);
  await expect(page.getByRole('navigation', { name: 'Main' })).toContainText('2 waiting');
  await page.getByRole('button', { name: '1 new · Show' }).click();
  await expect(waiting.getByRole('listitem')).toHaveCount(2);
  // Somebody else decides: it says so in place.
  await open(second, `/o/${slug}/approvals`);
  await second.getByRole('link', { name: 'Label Lee' }).first().click();
  await second.getByRole('article', { name: 'Label Lee' }).getByRole('button', { name: 'Approve', exact: true }).click();
  await expect(waiting.getByRole('listitem').filter({ hasText: 'Label Lee' })).toContainText(/Approved.*by Ada Lovelace/);
  // The list of runs is as calm.
  await open(page, `/o/${slug}/runs`);
  await expect(page.getByRole('row')).toHaveCount(3);
  await run(second, form, 'Max');
  await expect(page.getByRole('link', { name: '1 new run · Show' })).toBeVisible();
  await page.getByRole('link', { name: '1 new run · Show' }).click();
  await expect(page.getByRole('row')).toHaveCount(4);
  await other.close();
});

test('on a phone there is a list, then a card with its decision in reach @narrow', async ({ page }, info) => {
  test.skip(info.project.name !== 'narrow', 'a phone');
  const { slug } = await signUp(page);
  const form = `${await importWorkflow(page, slug, WORKFLOW)}/run`;
  await run(page, form, 'Kim');
  await open(page, `/o/${slug}/approvals`);
  await expect(page.getByRole('article')).toBeHidden();
  await page.getByRole('link', { name: 'Label Kim' }).first().click();
  const approve = page.getByRole('button', { name: 'Approve', exact: true });
  await expect(approve).toBeInViewport();
  const box = await approve.boundingBox();
  expect(box?.height).toBeGreaterThanOrEqual(44);
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(390);
  await accessible(page);
  await page.getByRole('link', { name: 'All approvals' }).click();
  await expect(page.getByRole('article')).toBeHidden();
  await expect(page.getByRole('list', { name: 'Waiting' })).toBeVisible();
});

const PAYMENT = `name: Pay invoices
input: { type: object, properties: { title: { type: string } } }
title: "{{ input.title }}"
nodes:
  - id: start
    kind: start
  - id: ask
    kind: approval
    title: "Pay {{ input.title }}"
    payload: { to: Nordlicht }
    impact: The bank sends the money
    amount: 1840.5
    currency: EUR
    why: The goods have come.
    confidence: 0.9
    after: [start]
  - id: end
    kind: end
    after: [ask]
`;

test('above the limit nothing is paid before its amount is typed', async ({ page, expected }) => {
  expected.push(/status of 422/);
  const { slug } = await signUp(page);
  const form = `${await importWorkflow(page, slug, PAYMENT)}/run`;
  await run(page, form, 'Nordlicht');
  await open(page, `/o/${slug}/approvals`);
  const card = page.getByRole('article', { name: 'Pay Nordlicht' });
  for (const fact of ['1,840.50 EUR', '90', 'The goods have come.', 'Cannot be undone']) {
    await expect(card).toContainText(fact);
  }
  const dialog = page.getByRole('dialog');
  await card.getByRole('link', { name: 'Approve…' }).click();
  await expect(dialog.getByRole('button', { name: 'Cancel' })).toBeFocused();
  await page.keyboard.press('Escape');
  await expect(dialog).toBeHidden();
  await expect(card.getByRole('link', { name: 'Approve…' })).toBeVisible();
  await card.getByRole('link', { name: 'Approve…' }).click();
  await accessible(page);
  const amount = dialog.getByLabel('Type the amount, 1,840.50 EUR, to confirm');
  await amount.fill('1840');
  await dialog.getByRole('button', { name: 'Approve', exact: true }).click();
  await expect(dialog.getByText('Enter the amount, 1,840.50 EUR, to approve this.').first()).toBeVisible();
  await expect(amount).toHaveValue('1840');
  await amount.fill('1840.50');
  await dialog.getByRole('button', { name: 'Approve', exact: true }).click();
  await expect(card).toContainText('Approved');
  await expect(dialog).toBeHidden();
  // With a higher limit it is confirmed without.
  await open(page, `/o/${slug}/settings`);
  await page.getByLabel('Type the amount to approve more than').fill('2,000');
  await page.getByRole('button', { name: 'Save rules' }).click();
  await expect(page.getByText("The organization's rules are saved.")).toBeVisible();
  await run(page, form, 'Sundlicht');
  await open(page, `/o/${slug}/approvals`);
  await page.getByRole('article', { name: 'Pay Sundlicht' }).getByRole('link', { name: 'Approve…' }).click();
  await expect(dialog.getByRole('button', { name: 'Approve', exact: true })).toBeVisible();
  await expect(dialog.getByRole('textbox')).toHaveCount(0);
});

test('a draft is sent back for changes and comes again @plain', async ({ page }) => {
  const { slug } = await signUp(page);
  await useTriage(page, slug);
  const first = await start(page);
  await see(page, 'Needs approval');
  await open(page, `/o/${slug}/approvals`);
  await page.getByRole('link', { name: /Send this reply to Ana/ }).first().click();
  const card = page.getByRole('article', { name: /Send this reply to Ana/ });
  await card.getByText('Ask for changes…').click();
  await card.getByLabel('What should be different?').fill('Say that the lamp is in stock.');
  await card.getByRole('button', { name: 'Send back' }).click();
  await expect(card).toContainText('Changes asked for');
  await open(page, first);
  await see(page, 'Approve the new reply');
  await see(page, 'Needs approval');
  await open(page, `/o/${slug}/approvals`);
  await page.getByRole('link', { name: /Send the new reply to Ana/ }).first().click();
  const again = page.getByRole('article', { name: /Send the new reply to Ana/ });
  await expect(again).toContainText('asked: Say that the lamp is in stock.');
  await expect(again).toContainText('To be worked in: Say that the lamp is in stock.');
});

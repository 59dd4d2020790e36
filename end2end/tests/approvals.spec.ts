// The inbox by its requirements, one test for each: `APR-…` of the design.
import { type Page } from '@playwright/test';
import { accessible, accessibleInBothThemes, expect, importWorkflow, open, ready, see, signUp, start, test } from '../support/world';

/** A workflow that asks, with what its gate says besides. */
const asking = (name: string, rules: string) => `name: ${name}
input: { type: object, properties: { title: { type: string } } }
title: "{{ input.title }}"
nodes:
  - id: start
    kind: start
  - id: ask
    kind: approval
    title: "Label {{ input.title }}"
    payload: { label: late, score: 3, note: "secret of {{ input.title }}" }
    impact: One customer gets a label
${rules.replace(/^/gm, '    ')}
    after: [start]
  - id: end
    kind: end
    after: [ask]
`;

/** Starts a run of it for each title, and waits until each asks. */
async function ask(page: Page, form: string, titles: string[]): Promise<void> {
  for (const title of titles) {
    await open(page, form);
    await page.getByLabel('title', { exact: false }).first().fill(title);
    await start(page);
    await see(page, 'Needs approval');
  }
}

/** A new organization whose workflow has asked about these. */
async function asked(page: Page, titles: string[], rules = 'reversible: true'): Promise<string> {
  const { slug } = await signUp(page);
  await ask(page, `${await importWorkflow(page, slug, asking('Label customers', rules))}/run`, titles);
  await open(page, `/o/${slug}/approvals`);
  return slug;
}

const list = (page: Page) => page.getByRole('list', { name: 'Waiting' });
const row = (page: Page, name: string) => list(page).getByRole('listitem').filter({ hasText: `Label ${name}` });
const link = (page: Page, name: string) => list(page).getByRole('link', { name: `Label ${name}` });
const card = (page: Page, name: string) => page.getByRole('article', { name: `Label ${name}` });

test('APR-1 keys put off and select, the focus goes on, and a person can switch them off', async ({ page }) => {
  const slug = await asked(page, ['Kim', 'Lee', 'Max']);
  await link(page, 'Kim').focus();
  await page.keyboard.press('x');
  await expect(page.getByRole('checkbox', { name: 'Select Label Kim' })).toBeChecked();
  await page.keyboard.press('x');
  await expect(page.getByRole('checkbox', { name: 'Select Label Kim' })).not.toBeChecked();
  await page.keyboard.press('h');
  await expect(card(page, 'Kim').getByRole('radio', { name: '1 hour' })).toBeFocused();
  await card(page, 'Kim').getByRole('radio', { name: '4 hours' }).check();
  await card(page, 'Kim').getByRole('button', { name: 'Put off', exact: true }).click();
  await expect(row(page, 'Kim')).toContainText('Put off until');
  await expect(link(page, 'Lee')).toBeFocused();
  await expect(card(page, 'Lee')).toBeVisible();
  await page.keyboard.press('a');
  await expect(row(page, 'Lee')).toContainText('Approved');
  await expect(link(page, 'Max')).toBeFocused();
  // Switched off, letters do nothing, and the arrows still go.
  await open(page, `/o/${slug}/settings`);
  await page.getByLabel('Keys of a single letter').uncheck();
  await page.getByRole('button', { name: 'Save profile' }).click();
  await expect(page.getByText('Your profile is saved.')).toBeVisible();
  await open(page, `/o/${slug}/approvals`);
  await link(page, 'Max').focus();
  await page.keyboard.press('a');
  await page.keyboard.press('r');
  await expect(card(page, 'Max').getByRole('radio', { name: 'Not needed' })).toBeHidden();
  await expect(row(page, 'Max')).not.toContainText('Approved');
});

test('APR-1 g and then a leads to the inbox, and approves nothing', async ({ page }) => {
  const slug = await asked(page, ['Kim', 'Lee']);
  await link(page, 'Lee').click();
  await expect(page).toHaveURL(/sel=/);
  await expect(card(page, 'Lee')).toBeVisible();
  await link(page, 'Lee').focus();
  await page.keyboard.press('g');
  await page.keyboard.press('a');
  await expect(page).toHaveURL(new RegExp(`/o/${slug}/approvals$`));
  await page.reload();
  await ready(page);
  for (const name of ['Kim', 'Lee']) await expect(row(page, name)).toBeVisible();
  await expect(list(page).getByRole('listitem')).toHaveCount(2);
  await expect(page).toHaveTitle(/Approvals \(2\)/);
  await expect(page.getByText('Just decided')).toBeHidden();
  // Alone it approves: the card is the same.
  await link(page, 'Lee').click();
  await expect(card(page, 'Lee')).toBeVisible();
  await link(page, 'Lee').focus();
  await page.keyboard.press('a');
  await expect(row(page, 'Lee')).toContainText('Approved');
});

test('APR-2 the card answers what a decider asks', async ({ page }) => {
  await asked(page, ['Kim'], 'reversible: true\nconfidence: 0.75\nwhy: The parcel never came.\nexpires_s: 86400');
  for (const words of ['Label Kim', 'late', 'Reversible', 'One customer gets a label', '75', 'likely', 'The parcel never came.', 'Cost of the run so far', 'version 1', 'then it counts as rejected', 'Who else may decide']) {
    await expect(card(page, 'Kim')).toContainText(words);
  }
});

test('APR-3 the row changes at once, and an error puts it back with its reason', async ({ page, expected }) => {
  expected.push(/status of 503/);
  await asked(page, ['Kim']);
  let answer = () => {};
  const held = new Promise<void>((done) => (answer = done));
  await page.route('**/rpc/app/approvals/api/approve', async (route) => {
    await held;
    await route.fulfill({
      status: 503,
      headers: { 'content-type': 'application/json', serverfnerror: 'api' },
      body: JSON.stringify({ kind: 'unavailable', code: 'unavailable', message: 'The database does not answer.', fields: [], retry_after_s: null, reference: null }),
    });
  });
  await card(page, 'Kim').getByRole('button', { name: 'Approve', exact: true }).click();
  await expect(row(page, 'Kim')).toContainText('Approved', { timeout: 1_000 });
  answer();
  await expect(row(page, 'Kim').getByRole('alert')).toBeVisible();
  await expect(row(page, 'Kim')).not.toContainText('Approved');
  await page.unroute('**/rpc/app/approvals/api/approve');
  await card(page, 'Kim').getByRole('button', { name: 'Approve', exact: true }).click();
  await expect(row(page, 'Kim').getByRole('button', { name: 'Undo' })).toBeVisible();
  await page.keyboard.press('z');
  await expect(row(page, 'Kim')).not.toContainText('Approved');
});

test('APR-4 no single key or click executes what cannot be undone', async ({ page }) => {
  await asked(page, ['Kim'], 'reversible: false');
  await link(page, 'Kim').focus();
  await page.keyboard.press('a');
  const dialog = page.getByRole('dialog');
  await expect(dialog.getByRole('button', { name: 'Cancel' })).toBeFocused();
  await page.keyboard.press('a');
  await page.keyboard.press('Escape');
  await expect(dialog).toBeHidden();
  await page.reload();
  await ready(page);
  await expect(card(page, 'Kim').getByRole('link', { name: 'Approve…' })).toBeVisible();
  await expect(page.getByRole('checkbox', { name: 'Select Label Kim' })).toHaveCount(0);
});

test('APR-5 what is changed shows before it is approved', async ({ page }) => {
  await asked(page, ['Kim']);
  await card(page, 'Kim').getByText('Edit and approve…').click();
  await card(page, 'Kim').getByLabel('score', { exact: true }).fill('4');
  await expect(card(page, 'Kim')).toContainText('What you change');
  await expect(card(page, 'Kim').getByRole('insertion').filter({ hasText: '4' })).toBeVisible();
  await card(page, 'Kim').getByLabel('score', { exact: true }).fill('3');
  await expect(card(page, 'Kim')).not.toContainText('What you change');
  await card(page, 'Kim').getByLabel('score', { exact: true }).fill('5');
  await card(page, 'Kim').getByRole('button', { name: 'Approve with edits' }).click();
  await expect(row(page, 'Kim')).toContainText('with edits');
});

test('APR-7 a double click is one decision', async ({ page }) => {
  await asked(page, ['Kim']);
  let sent = 0;
  await page.route('**/rpc/app/approvals/api/approve', async (route) => {
    sent += 1;
    await route.continue();
  });
  await card(page, 'Kim').getByRole('button', { name: 'Approve', exact: true }).dblclick();
  await expect(row(page, 'Kim')).toContainText('Approved');
  await expect(page.getByRole('listitem').filter({ hasText: 'Label Kim' }).getByRole('button', { name: 'Undo' }).first()).toBeVisible();
  expect(sent).toBe(1);
});

test('APR-10 several of a kind are decided together, each with its outcome @plain @narrow', async ({ page }) => {
  const slug = await asked(page, ['Kim', 'Lee', 'Max']);
  for (const name of ['Kim', 'Lee']) await page.getByRole('checkbox', { name: `Select Label ${name}` }).check();
  await page.getByRole('button', { name: 'Decide selected together…' }).click();
  await expect(page.getByRole('heading', { level: 1, name: 'Decide together' })).toBeVisible();
  await ready(page);
  for (const name of ['Kim', 'Lee']) await expect(page.getByRole('link', { name: `Label ${name}` })).toBeVisible();
  await expect(page.getByRole('link', { name: 'Label Max' })).toHaveCount(0);
  await accessible(page);
  await page.getByRole('button', { name: 'Decide 2 approvals' }).click();
  await expect(page.getByText('2 approvals are decided.')).toBeVisible();
  await open(page, `/o/${slug}/approvals`);
  await expect(list(page).getByRole('listitem')).toHaveCount(1);
  await expect(page.getByText('Just decided')).toBeVisible();
});

test('APR-11 the badge, the title and the tab count all that wait for me', async ({ page }) => {
  const slug = await asked(page, ['Kim', 'Lee']);
  await expect(page).toHaveTitle(/Approvals \(2\)/);
  await expect(page.getByRole('link', { name: /^Waiting/ })).toContainText('2');
  await open(page, `/o/${slug}/approvals?kind=question`);
  await expect(page.getByText('No approvals match these filters')).toBeVisible();
  await expect(page).toHaveTitle(/Approvals \(2\)/);
});

test('APR-12 filters stand in the address', async ({ page }) => {
  const slug = await asked(page, ['Kim']);
  await page.getByLabel('Risk', { exact: true }).selectOption('reversible');
  await page.getByRole('button', { name: 'Filter', exact: true }).click();
  await expect(page).toHaveURL(/risk=reversible/);
  await expect(row(page, 'Kim')).toBeVisible();
  await expect(page.getByLabel('Risk', { exact: true })).toHaveValue('reversible');
  await open(page, `/o/${slug}/approvals?risk=irreversible`);
  await expect(page.getByText('No approvals match these filters')).toBeVisible();
  await page.getByRole('link', { name: 'Show all' }).click();
  await expect(row(page, 'Kim')).toBeVisible();
});

test('APR-16 an approval is handed on and put off, and comes back @plain', async ({ page }) => {
  const slug = await asked(page, ['Kim']);
  await link(page, 'Kim').click();
  await card(page, 'Kim').getByText('Hand on…').click();
  await card(page, 'Kim').getByLabel('Who should decide this?').selectOption({ index: 1 });
  await card(page, 'Kim').getByRole('button', { name: 'Hand on', exact: true }).click();
  await expect(card(page, 'Kim')).toContainText('You have taken this on.');
  await open(page, `/o/${slug}/approvals?assigned=true`);
  await expect(row(page, 'Kim')).toContainText('Assigned to you');
  await link(page, 'Kim').click();
  await card(page, 'Kim').getByText('Put off…').click();
  await card(page, 'Kim').getByRole('radio', { name: '1 day' }).check();
  await card(page, 'Kim').getByRole('button', { name: 'Put off', exact: true }).click();
  await expect(card(page, 'Kim')).toContainText('You have put this off until');
  await open(page, `/o/${slug}/approvals`);
  await expect(page.getByText('Nothing waits for a decision')).toBeVisible();
  await page.getByRole('link', { name: 'Put off', exact: true }).click();
  await expect(page).toHaveURL(/view=snoozed/);
  await expect(row(page, 'Kim')).toBeVisible();
  await link(page, 'Kim').click();
  await card(page, 'Kim').getByRole('button', { name: 'Bring back now' }).click();
  await open(page, `/o/${slug}/approvals`);
  await expect(row(page, 'Kim')).toBeVisible();
});

test('APR-16 the forms of a card have no fault that axe can find', async ({ page }) => {
  await asked(page, ['Kim']);
  await card(page, 'Kim').getByText('Hand on…').click();
  await accessibleInBothThemes(page);
  await card(page, 'Kim').getByText('Put off…').click();
  await accessibleInBothThemes(page);
});

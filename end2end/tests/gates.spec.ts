// Gates with rules of their own, with the people they are about: several must agree, not one's own, edits in sight.
import { type Browser, type Page } from '@playwright/test';
import { accessibleInBothThemes, expect, importWorkflow, open, type Person, see, type Server, signUp, start, test, watch } from '../support/world';

/** A gate of this kind, which asks about what the run is started with. */
const gate = (name: string, rules: string) => `name: ${name}
input: { type: object, properties: { to: { type: string, default: Nordlicht } } }
title: "Payment to {{ input.to }}"
nodes:
  - { id: start, kind: start }
  - id: release
    name: Release it
    kind: approval
    title: "Pay {{ input.to }}"
    payload: { to: "{{ input.to }}", voucher: 10, note: Thank you }
    impact: The money leaves
    reversible: true
${rules.replace(/^/gm, '    ')}
    after: [start]
  - { id: end, kind: end, output: "{{ steps.release.output.payload.voucher }}", after: [release] }
`;

/** Somebody else of the organization, in a browser of their own. What their console must not say is asked at the end. */
async function colleague(browser: Browser, server: Server, slug: string, name: string): Promise<{ page: Page; person: Person; leave: () => Promise<void> }> {
  const context = await browser.newContext({ baseURL: server.url });
  const page = await context.newPage();
  const check = watch(page);
  const person = await signUp(page, { name });
  await server.join(person, slug);
  const leave = async () => {
    await context.close();
    check();
  };
  return { page, person, leave };
}

/** Starts a run of the gate and waits until it asks. */
async function ask(page: Page, slug: string, name: string, rules: string): Promise<string> {
  await open(page, `${await importWorkflow(page, slug, gate(name, rules))}/run`);
  const run = await start(page);
  await see(page, 'Needs approval');
  return run;
}

/** Opens the approval in the inbox, and gives its card. */
async function card(page: Page, slug: string) {
  await open(page, `/o/${slug}/approvals`);
  await page.getByRole('link', { name: 'Pay Nordlicht' }).first().click();
  const card = page.getByRole('article', { name: 'Pay Nordlicht' });
  await expect(card).toBeVisible();
  return card;
}

test('two of three named people release a payment, and each sees who has agreed', async ({ page, browser, server }) => {
  const ada = await signUp(page);
  const ben = await colleague(browser, server, ada.slug, 'Ben Bitdiddle');
  const cy = await colleague(browser, server, ada.slug, 'Cy Fect');
  const people = [ada, ben.person, cy.person].map((person) => person.email).join(', ');
  const run = await ask(page, ada.slug, 'Release payments', `people: [${people}]\nquorum: 2`);

  const first = await card(ben.page, ada.slug);
  await expect(first).toContainText('0 of 2 approvals');
  await first.getByRole('button', { name: 'Approve', exact: true }).click();
  await expect(first).toContainText('You approved this. It waits for the others.');
  await expect(first.getByRole('button', { name: 'Take back' })).toBeVisible();
  await expect(first.getByRole('button', { name: 'Approve', exact: true })).toHaveCount(0);

  // One yes is not enough: the run waits, and says so to the others.
  const second = await card(cy.page, ada.slug);
  await expect(second).toContainText('1 of 2 approvals: Ben Bitdiddle');
  await accessibleInBothThemes(cy.page);
  await open(page, `${run}?step=release`);
  await expect(page.getByRole('article', { name: 'Pay Nordlicht' })).toContainText('1 of 2 approvals: Ben Bitdiddle');
  await second.getByRole('button', { name: 'Approve', exact: true }).click();
  await expect(second.getByText('Approved', { exact: true })).toBeVisible();
  await expect(second).toContainText('by Ben Bitdiddle and Cy Fect');

  // The page of the run was open all the while.
  await see(page, 'Succeeded');
  await open(page, `${run}?view=logs`);
  await see(page, /Ben Bitdiddle/);
  await see(page, /Cy Fect/);
  await ben.leave();
  await cy.leave();
});

test('who changes the proposal asks the others anew, and they see what it is now', async ({ page, browser, server }) => {
  const ada = await signUp(page);
  const ben = await colleague(browser, server, ada.slug, 'Ben Bitdiddle');
  await ask(page, ada.slug, 'Release payments', 'role: member\nquorum: 2');
  const mine = await card(page, ada.slug);
  await mine.getByRole('button', { name: 'Approve', exact: true }).click();
  await expect(mine).toContainText('You approved this. It waits for the others.');
  const theirs = await card(ben.page, ada.slug);
  await theirs.getByText('Edit and approve…').click();
  await theirs.getByLabel('note').fill('Many thanks');
  await theirs.getByRole('button', { name: 'Approve with edits' }).click();
  await expect(theirs).toContainText('You approved this. It waits for the others.');
  // A yes was for what it was then. All of it changes under the eyes of who had said so, each value in its place.
  await expect(mine).toContainText('The proposal was changed.');
  await expect(mine).toContainText('1 of 2 approvals: Ben Bitdiddle');
  await expect(mine.locator('.approval-edits').getByRole('insertion')).toContainText('Many thanks');
  const payload = mine.locator('.approval-payload');
  for (const line of ['"note": "Many thanks"', '"to": "Nordlicht"', '"voucher": 10']) await expect(payload).toContainText(line);
  await mine.getByRole('button', { name: 'Approve', exact: true }).click();
  await expect(mine.getByText('Approved', { exact: true })).toBeVisible();
  await expect(mine).toContainText('by Ben Bitdiddle and Ada Lovelace');
  await ben.leave();
});

test('who started a run is told that somebody else decides, and who', async ({ page, browser, server }) => {
  const ada = await signUp(page);
  const ben = await colleague(browser, server, ada.slug, 'Ben Bitdiddle');
  const run = await ask(page, ada.slug, 'Grant access', 'not_own: true');
  const mine = await card(page, ada.slug);
  await expect(mine).toContainText(/You started this run, so somebody else decides\. Ask .*Ben Bitdiddle\./);
  await expect(mine.getByRole('button', { name: 'Approve', exact: true })).toHaveCount(0);
  await expect(mine.getByText('Reject…')).toHaveCount(0);
  await accessibleInBothThemes(page);
  await open(page, `${run}?step=release`);
  await expect(page.getByRole('article', { name: 'Pay Nordlicht' })).toContainText('You started this run');
  const theirs = await card(ben.page, ada.slug);
  await theirs.getByRole('button', { name: 'Approve', exact: true }).click();
  await see(page, 'Succeeded');
  await ben.leave();
});

test('an approval with edits shows what was changed, and the run goes on with it @narrow', async ({ page }) => {
  const { slug, name } = await signUp(page);
  const run = await ask(page, slug, 'Send vouchers', 'role: member');
  const asked = await card(page, slug);
  await asked.getByText('Edit and approve…').click();
  await asked.getByLabel('voucher').fill('20');
  await asked.getByRole('button', { name: 'Approve with edits' }).click();
  await expect(asked).toContainText(`with edits by ${name}`);
  const edits = asked.locator('.approval-edits').getByRole('listitem');
  await expect(edits).toHaveCount(1);
  await expect(edits.getByRole('deletion')).toContainText('10');
  await expect(edits.getByRole('insertion')).toContainText('20');
  await accessibleInBothThemes(page);
  await open(page, run);
  await see(page, 'Succeeded');
  await open(page, `${run}?step=end`);
  await expect(page.getByRole('complementary', { name: 'Step detail' })).toContainText('20');
});

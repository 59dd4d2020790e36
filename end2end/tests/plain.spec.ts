// What one does with AgentFlow also works with JavaScript off. What has a test for everybody, marked `@plain`, is not here.
import { expect, importWorkflow, open, ready, see, signUp, start, test, useTriage } from '../support/world';

test.skip(({ javaScriptEnabled }) => javaScriptEnabled !== false, 'JavaScript off');

test('a run is stopped, and tried again @plain', async ({ page }) => {
  const { slug } = await signUp(page);
  await useTriage(page, slug);
  const run = await start(page);
  await see(page, 'Needs approval');
  await page.getByRole('button', { name: 'Stop run' }).click();
  await see(page, 'Stopped');
  expect(new URL(page.url()).pathname).toBe(run);
  // It asks for nothing any more.
  await open(page, `/o/${slug}/approvals`);
  await expect(page.getByRole('list', { name: 'Waiting' }).getByRole('listitem')).toHaveCount(0);
  await open(page, run);
  await page.getByRole('button', { name: 'Retry run' }).click();
  await expect(page.getByText(/^Retry of/)).toBeVisible();
  expect(new URL(page.url()).pathname).not.toBe(run);
  await expect(page.getByText(/^Retry of/).getByRole('link')).toHaveAttribute('href', run);
  await see(page, 'Needs approval');
});

test('a run that failed is tried again @plain', async ({ page }) => {
  const { slug } = await signUp(page);
  const workflow = `name: Fail
nodes:
  - { id: start, kind: start }
  - { id: sum, name: Divide, kind: tool, tool: calculator, arguments: { expression: "1 +" }, after: [start] }
  - { id: end, kind: end, after: [sum] }
`;
  await open(page, `${await importWorkflow(page, slug, workflow)}/run`);
  const run = await start(page);
  await see(page, 'Failed');
  await page.getByRole('button', { name: 'Retry run' }).click();
  await expect(page.getByText(/^Retry of/).getByRole('link')).toHaveAttribute('href', run);
  await see(page, 'Failed');
});

test('an agent is made and changed @plain', async ({ page }) => {
  const { slug } = await signUp(page);
  await open(page, `/o/${slug}/agents/new`);
  await page.getByLabel('Name', { exact: true }).fill('Bean counter');
  await page.getByLabel('Role').fill('counts beans');
  await page.getByLabel('Instructions').fill('Count the beans.');
  await page.getByRole('button', { name: 'Create agent' }).click();
  await expect(page.getByRole('heading', { level: 1, name: 'Bean counter' })).toBeVisible();
  await expect(page).toHaveURL(/\/agents\/ag_/);
  const agent = page.url();
  await page.getByLabel('Instructions').fill('Count the beans twice.');
  await page.getByRole('button', { name: 'Save as a new version' }).click();
  await expect(page.getByRole('link', { name: 'Version 2' })).toBeVisible();
  await open(page, agent);
  await expect(page.getByLabel('Instructions')).toHaveValue('Count the beans twice.');
  await expect(page.getByLabel('Role')).toHaveValue('counts beans');
});

test('a step is added to the outline, and deleted again @plain', async ({ page }) => {
  const { slug } = await signUp(page);
  await useTriage(page, slug);
  await open(page, `/o/${slug}/workflows`);
  await page.getByRole('main').getByRole('link', { name: 'Customer message triage' }).first().click();
  const steps = page.getByRole('list', { name: 'Steps' });
  const row = (name: string) => steps.getByRole('listitem').filter({ has: page.getByRole('link', { name, exact: true }) });
  const names = () => steps.locator('.step-name').allTextContents();
  const before = await names();
  await page.getByRole('link', { name: 'Add a step after Sort by topic and urgency' }).click();
  await page.getByRole('link', { name: /^Transform/ }).click();
  await page.getByLabel('Name').fill('Shout');
  await page.getByLabel('Value').fill('{{ input.subject.toUpperCase() }}');
  await page.getByRole('button', { name: 'Add step' }).click();
  await expect(row('Shout')).toContainText('Changed');
  expect((await names()).filter((name) => !before.includes(name))).toEqual(['Shout']);
  // It is in between: what came after its neighbour comes after it.
  await expect(row('Draft the reply')).toContainText('after Shout');
  await steps.getByRole('link', { name: 'Shout', exact: true }).click();
  await page.getByLabel('Name').fill('Shout louder');
  await page.getByRole('button', { name: 'Save step' }).click();
  await steps.getByRole('link', { name: 'Shout louder', exact: true }).click();
  await page.getByRole('button', { name: 'Delete step' }).click();
  await expect(steps).toBeVisible();
  expect(await names()).toEqual(before);
  await expect(row('Draft the reply')).toContainText('after Sort by topic and urgency');
});

test('an approval is rejected with a reason @plain', async ({ page, expected }) => {
  // A form that is refused is answered so.
  expected.push(/status of 422/);
  const { slug, name } = await signUp(page);
  await useTriage(page, slug);
  const run = await start(page);
  await see(page, 'Needs approval');
  await open(page, `/o/${slug}/approvals`);
  await page.getByRole('link', { name: /Send this reply to Ana/ }).first().click();
  const card = page.getByRole('article', { name: /Send this reply to Ana/ });
  await card.getByText('Reject…').click();
  await card.getByRole('button', { name: 'Reject', exact: true }).click();
  // Refused, and open at what is missing.
  await expect(card.getByText('Say why you reject this.').first()).toBeVisible();
  await card.getByLabel('In your words').fill('She has moved to Oslo.');
  await card.getByRole('button', { name: 'Reject', exact: true }).click();
  await expect(card).toContainText(`by ${name}`);
  await expect(card).toContainText('Rejected');
  await expect(card).toContainText('She has moved to Oslo.');
  await open(page, run);
  await see(page, 'Succeeded');
  await open(page, `${run}?view=logs`);
  await expect(page.getByText(`${name} rejected: She has moved to Oslo.`)).toBeVisible();
  await open(page, `/o/${slug}/outbox`);
  await expect(page.getByRole('main')).not.toContainText('Re: Order 4812');
});

test('one signs out, and is out @plain', async ({ page }) => {
  const { slug } = await signUp(page);
  await page.getByRole('button', { name: 'Your account' }).click();
  await page.getByRole('button', { name: 'Sign out' }).click();
  await expect(page).toHaveURL(/\/login/);
  await page.goto(`/o/${slug}/runs`);
  await expect(page).toHaveURL(/\/login/);
  await ready(page);
  await expect(page.getByRole('button', { name: 'Sign in', exact: true })).toBeVisible();
});

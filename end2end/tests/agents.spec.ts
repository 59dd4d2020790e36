// Agents: versions beside each other, a roll back, test cases, what is typed and not saved, the editor of instructions,
// and what an agent remembers.
import type { Page } from '@playwright/test';
import { expect, open, ready, signUp, test } from '../support/world';

async function makeAgent(page: Page): Promise<string> {
  const { slug } = await signUp(page);
  await open(page, `/o/${slug}/agents/new`);
  await page.getByLabel('Name', { exact: true }).fill('Bean counter');
  await page.getByLabel('Role').fill('counts beans');
  await page.getByLabel('Instructions').fill('Count the beans.\nBe quick.');
  await page.getByRole('button', { name: 'Create agent' }).click();
  await expect(page.getByRole('heading', { level: 1, name: 'Bean counter' })).toBeVisible();
  await expect(page).toHaveURL(/\/agents\/ag_/);
  return new URL(page.url()).pathname;
}

test('a change is deployed, compared and rolled back @plain', async ({ page }) => {
  const agent = await makeAgent(page);
  await open(page, agent);
  await page.getByLabel('Instructions').fill('Count the beans twice.\nBe quick.');
  await page.getByLabel('Note').fill('Twice is safer');
  await page.getByRole('button', { name: 'Save and deploy' }).click();
  await expect(page.getByRole('link', { name: 'Version 2' })).toBeVisible();
  await open(page, `${agent}/versions?a=1&b=2`);
  await expect(page.getByRole('heading', { name: 'From version 1 to version 2' })).toBeVisible();
  const lines = page.getByRole('list', { name: 'Instructions, line by line' }).getByRole('listitem');
  await expect(lines).toHaveCount(3);
  await expect(page.getByRole('table', { name: 'Versions', exact: true })).toContainText('Twice is safer');
  await page.getByRole('button', { name: 'Roll back to version 1' }).click();
  await expect(page.getByRole('button', { name: 'Go back to version 2' })).toBeVisible();
});

test('a test case is made, changed and removed @plain', async ({ page }) => {
  const agent = await makeAgent(page);
  await open(page, `${agent}/tests`);
  await page.getByLabel('Name', { exact: true }).fill('Three beans');
  await page.getByLabel('Task').fill('How many are 1 + 2 beans?');
  await page.getByLabel('Expected').fill('3');
  await page.getByRole('button', { name: 'Add test case' }).click();
  await page.getByRole('link', { name: 'Three beans' }).click();
  await page.getByLabel('Expected').fill('three');
  await page.getByRole('button', { name: 'Save test case' }).click();
  await expect(page.getByRole('table', { name: 'Test cases' })).toContainText('three');
  await page.getByRole('link', { name: 'Three beans' }).click();
  await page.getByRole('button', { name: 'Remove test case' }).click();
  await expect(page.getByText('No test cases yet')).toBeVisible();
});

test('the test cases are run before a version is deployed, and without that @plain', async ({ page }) => {
  const agent = await makeAgent(page);
  await open(page, `${agent}/tests`);
  await page.getByLabel('Name', { exact: true }).fill('Some answer');
  await page.getByLabel('Task').fill('How many are 1 + 2 beans?');
  await page.getByLabel('Fits this regular expression').check();
  await page.getByLabel('Expected').fill('.');
  await page.getByRole('button', { name: 'Add test case' }).click();
  await page.getByRole('button', { name: 'Run the cases with version 1' }).click();
  await expect(page).toHaveURL(/\/deploy\?v=1&rehearsal=reh_/);
  await expect(page.getByText('Version 1 is live')).toBeVisible();
  const passed = async () => {
    await page.reload();
    await expect(page.getByText('The case passed.')).toBeVisible({ timeout: 500 });
  };
  await expect(passed).toPass();
  await open(page, agent);
  await page.getByLabel('Instructions').fill('Count the beans twice.');
  await page.getByRole('button', { name: 'Save and deploy' }).click();
  await expect(page).toHaveURL(/\/deploy\?v=2&rehearsal=reh_/);
  await expect(passed).toPass();
  await page.getByRole('button', { name: 'Deploy version 2', exact: true }).click();
  await expect(page).toHaveURL(new RegExp(`${agent}$`));
});

test('what is typed and not saved is said, and asked about before the page is left', async ({ page, javaScriptEnabled }) => {
  test.skip(javaScriptEnabled === false, 'only with JavaScript');
  const agent = await makeAgent(page);
  await open(page, agent);
  await expect(page.getByText('Saved as version 1')).toBeVisible();
  await page.getByLabel('Instructions').fill('Count no beans.');
  await expect(page.getByText('Changes not saved')).toBeVisible();
  page.once('dialog', (dialog) => dialog.dismiss());
  await page.getByRole('link', { name: 'Versions', exact: false }).first().click();
  expect(new URL(page.url()).pathname).toBe(agent);
  await expect(page.getByLabel('Instructions')).toHaveValue('Count no beans.');
  page.once('dialog', (dialog) => dialog.accept());
  await page.getByRole('link', { name: 'Versions', exact: false }).first().click();
  await expect(page).toHaveURL(/\/versions$/);
});

test('what is typed and not saved is back after the page was opened again, until it is discarded or saved', async ({ page, javaScriptEnabled }) => {
  test.skip(javaScriptEnabled === false, 'only with JavaScript');
  const agent = await makeAgent(page);
  await open(page, agent);
  const instructions = page.getByLabel('Instructions');
  const back = page.getByText(/Your unsaved changes of \d\d:\d\d are back\./);
  await instructions.fill('Count no beans.');
  await page.getByLabel('Calculator').selectOption('allowed');
  await page.getByLabel('Per conversation').check();
  await expect(page.getByText('This browser keeps them.')).toBeVisible();
  await page.reload();
  await ready(page);
  await expect(back).toBeVisible();
  await expect(instructions).toHaveValue('Count no beans.');
  await expect(page.getByText('15 characters')).toBeVisible();
  await expect(page.getByLabel('Calculator')).toHaveValue('allowed');
  await expect(page.getByLabel('Per conversation')).toBeChecked();
  await page.getByRole('button', { name: 'Discard' }).click();
  await expect(instructions).toHaveValue('Count the beans.\nBe quick.');
  await expect(page.getByLabel('Calculator')).toHaveValue('off');
  await expect(page.getByText('Saved as version 1')).toBeVisible();
  await page.reload();
  await ready(page);
  await expect(instructions).toHaveValue('Count the beans.\nBe quick.');
  await expect(back).toHaveCount(0);
  await instructions.fill('Count them all.');
  await expect(page.getByText('This browser keeps them.')).toBeVisible();
  await page.getByRole('button', { name: 'Save as a new version' }).click();
  await expect(page.getByText('Saved as version 2')).toBeVisible();
  await page.reload();
  await ready(page);
  await expect(instructions).toHaveValue('Count them all.');
  await expect(back).toHaveCount(0);
});

test('the editor tells variables, unknown names and the length as they are typed', async ({ page, javaScriptEnabled }) => {
  test.skip(javaScriptEnabled === false, 'only with JavaScript');
  const agent = await makeAgent(page);
  await open(page, agent);
  const instructions = page.getByLabel('Instructions');
  await instructions.fill('Help {{ input.customer }}, not {{ custmer }}.');
  await expect(page.getByText('45 characters, about 23 tokens at most.')).toBeVisible();
  const named = page.getByRole('list', { name: 'Filled in for each task' }).getByRole('listitem');
  await expect(named).toHaveText(['input.customer', 'custmer']);
  await expect(page.getByText('There is nothing called “custmer”.')).toBeVisible();
  await expect(page.locator('.prompt-behind mark')).toHaveText(['{{ input.customer }}', '{{ custmer }}']);
  // The marks lie where the letters are.
  const [area, behind] = await Promise.all([instructions.boundingBox(), page.locator('.prompt-behind').boundingBox()]);
  expect(Math.abs((area?.y ?? 0) - (behind?.y ?? 99))).toBeLessThan(1);
  expect(Math.abs((area?.width ?? 0) - (behind?.width ?? 99))).toBeLessThan(1);
});

test('an agent is given a memory, and its page says what it remembers @plain', async ({ page }) => {
  const agent = await makeAgent(page);
  await open(page, agent);
  await page.getByLabel('By key').check();
  await page.getByLabel('Tell long results in short').check();
  await page.getByRole('button', { name: 'Save and deploy' }).click();
  await expect(page.getByRole('link', { name: 'Version 2' })).toBeVisible();
  await open(page, `${agent}/versions?a=1&b=2`);
  await expect(page.getByText('the tasks under the same key')).toBeVisible();
  await page.getByRole('link', { name: 'Memory' }).click();
  await expect(page.getByText('Nothing remembered yet')).toBeVisible();
});

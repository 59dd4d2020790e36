// Trying an agent in the chat beside its form.
import { type Page } from '@playwright/test';
import { expect, open, ready, Server, signUp, test, watch } from '../support/world';

async function agent(page: Page, slug: string) {
  await open(page, `/o/${slug}/agents/new`);
  await page.getByLabel('Name', { exact: true }).fill('Mailer');
  await page.getByLabel('Instructions').fill('Calculate, and send mails when asked.');
  await page.getByLabel('Calculator').selectOption('allowed');
  await page.getByLabel('Send an e-mail').selectOption('policy');
  await page.getByRole('button', { name: 'Create agent' }).click();
  await page.waitForURL(/\/agents\/ag_/);
}

const log = (page: Page) => page.getByRole('log', { name: 'Conversation' });

async function say(page: Page, text: string) {
  const box = page.getByLabel('Message to the agent');
  await box.fill(text);
  await box.press('Enter');
}

test('AGB-1 a change of the form is used from the next message', async ({ page }) => {
  const { slug } = await signUp(page);
  await agent(page, slug);
  await say(page, 'What is 6 * 7?');
  await expect(log(page)).toContainText('42');
  await page.getByLabel('Instructions').fill('Calculate, and say nothing else.');
  await expect(log(page)).toContainText('Draft changed, used from the next message');
  await say(page, 'What is 6 * 8?');
  await expect(log(page)).toContainText('48');
  await expect(log(page)).toContainText('42');
  await expect(log(page)).toContainText('Draft changed');
  await expect(log(page)).not.toContainText('used from the next message');
});

test('AGB-1 on a phone the form and the chat are tabs, and what is typed stays @narrow', async ({ page }) => {
  await page.setViewportSize({ width: 390, height: 844 });
  const { slug } = await signUp(page);
  await agent(page, slug);
  const parts = page.getByRole('navigation', { name: 'Parts of the page' });
  const [instructions, message] = [page.getByLabel('Instructions'), page.getByLabel('Message to the agent')];
  await expect(instructions).toBeVisible();
  await expect(message).toBeHidden();
  await instructions.fill('Calculate, and say nothing else.');
  await parts.getByRole('link', { name: 'Try it' }).click();
  await expect(instructions).toBeHidden();
  await say(page, 'What is 6 * 7?');
  await expect(log(page)).toContainText('42');
  await parts.getByRole('link', { name: 'Settings' }).click();
  await expect(message).toBeHidden();
  await expect(instructions).toHaveValue('Calculate, and say nothing else.');
});

test('AGB-2 a reply shows its calls folded, its facts and the way to the run', async ({ page }) => {
  const { slug } = await signUp(page);
  await agent(page, slug);
  await say(page, 'What is 6 * 7?');
  const call = log(page).locator('details', { hasText: 'calculator' });
  await expect(call).toHaveCount(1);
  await expect(call.getByText('Input')).toBeHidden();
  await call.locator('summary').click();
  await expect(call).toContainText('6 * 7');
  await expect(log(page)).toContainText(/tokens/);
  await expect(log(page)).toContainText(/in all/);
  await log(page).getByRole('link', { name: 'Open trace' }).click();
  await expect(page).toHaveURL(/\/runs\/run_/);
});

test('AGB-2 the run page tells what a model call recorded', async ({ page }) => {
  const { slug } = await signUp(page);
  await agent(page, slug);
  await say(page, 'What is 6 * 7?');
  await log(page).getByRole('link', { name: 'Open trace' }).click();
  await page.waitForURL(/\/runs\/run_/);
  await open(page, `${new URL(page.url()).pathname}?step=agent.model1`);
  const detail = page.getByRole('complementary', { name: 'Step detail' });
  await expect(detail.getByRole('heading', { name: 'Model call', exact: true })).toBeVisible();
  await expect(detail).toContainText(/Asked for\s*sandbox\/sandbox/);
  await expect(detail).toContainText(/Answered by\s*sandbox\/sandbox/);
  await expect(detail).toContainText(/Ended because\s*tool_calls/);
  await expect(detail).toContainText(/Tokens\s*[\d,]+ in, [\d,]+ out/);
});

test('AGB-2 AGB-5 both answers stream, and Stop and Escape keep what was written', async ({ browser }) => {
  const server = await Server.start({ AGENTFLOW_SANDBOX_PAUSE_MS: '250' });
  const page = await browser.newPage({ baseURL: server.url });
  const check = watch(page);
  const long = 'Tell me about the weather, the sea, the mountains, and the people who live between them.';
  const texts = log(page).locator('.trial-text');
  try {
    const { slug } = await signUp(page);
    await agent(page, slug);
    await page.getByLabel(/Ask version 1, which is deployed/).check();
    await say(page, long);
    await expect(log(page).locator('.trial-reply[aria-busy="true"] .trial-text:not(:empty)')).toHaveCount(2);
    await page.getByRole('button', { name: 'Stop' }).click();
    await expect(log(page).getByText('Stopped.')).toHaveCount(2);
    const kept = await texts.allInnerTexts();
    expect(kept.every((text) => text.trim() !== '')).toBe(true);
    // Neither by the next message nor with the page is it lost.
    await say(page, 'What is 6 * 7?');
    await expect(texts.nth(2)).toContainText('42');
    expect((await texts.allInnerTexts()).slice(0, 2)).toEqual(kept);
    await page.reload();
    await ready(page);
    expect((await texts.allInnerTexts()).slice(0, 2)).toEqual(kept);
    // From wherever in the panel.
    await say(page, long);
    await expect(texts.nth(3)).not.toBeEmpty();
    await log(page).focus();
    await page.keyboard.press('Escape');
    await expect(log(page).getByText('Stopped.')).toHaveCount(3);
    await expect(texts.nth(3)).not.toBeEmpty();
    check();
  } finally {
    await page.close();
    await server.remove();
  }
});

test('AGB-3 what would be sent is simulated unless it is switched on', async ({ page }) => {
  const { slug } = await signUp(page);
  await agent(page, slug);
  await say(page, 'Send an e-mail to bob@example.com with the subject Hello and the text Good morning.');
  await expect(log(page).locator('details', { hasText: 'Simulated' })).toHaveCount(1);
  await expect(log(page)).toContainText(/in all/);
  await open(page, `/o/${slug}/outbox`);
  await expect(page.getByRole('main')).not.toContainText('Good morning');
  await page.goBack();
  await page.getByLabel(/Really do it: email_send/).check();
  await say(page, 'Send an e-mail to bob@example.com with the subject Hello and the text Good evening.');
  await expect(log(page).getByRole('link', { name: 'Waits for an approval' })).toBeVisible();
});

test('AGB-3 the switch names what the form allows as it stands, also by way of other agents', async ({ page }) => {
  const { slug } = await signUp(page);
  await agent(page, slug);
  await open(page, `/o/${slug}/agents/new`);
  await page.getByLabel('Name', { exact: true }).fill('Manager');
  await page.getByLabel('Instructions').fill('Hand the work on.');
  await page.getByRole('button', { name: 'Create agent' }).click();
  await page.waitForURL(/\/agents\/ag_/);
  await expect(page.getByLabel('Message to the agent')).toBeVisible();
  await expect(page.getByLabel(/Really do it/)).toHaveCount(0);
  await page.getByLabel('Agent: Mailer').selectOption('allowed');
  await page.getByLabel(/Really do it: email_send/).check();
  // A tick is for what was named when it was set.
  await page.getByLabel('HTTP request', { exact: true }).selectOption('policy');
  await expect(page.getByLabel(/Really do it: email_send, http_request/)).not.toBeChecked();
  await page.getByLabel('Agent: Mailer').selectOption('off');
  await expect(page.getByLabel(/Really do it: http_request/)).toBeVisible();
});

test('AGB-4 an answer becomes a test case, and deploying shows what got worse before the last button', async ({ page }) => {
  const { slug } = await signUp(page);
  await agent(page, slug);
  const here = new URL(page.url()).pathname;
  await say(page, 'What is 6 * 7?');
  await expect(log(page)).toContainText('42');
  await log(page).getByRole('link', { name: 'Save as test case' }).click();
  await expect(page.getByLabel('Task')).toHaveValue('What is 6 * 7?');
  await page.getByLabel('Expected').fill('42');
  await page.getByRole('button', { name: 'Add test case' }).click();
  await expect(page.getByRole('table', { name: 'Test cases' })).toContainText('What is 6 * 7?');
  await expect(page).toHaveURL(/\/tests$/);
  await open(page, here);
  await page.getByLabel('Calculator').selectOption('off');
  await page.getByRole('button', { name: 'Save and deploy' }).click();
  await expect(page).toHaveURL(/\/deploy\?v=2&rehearsal=reh_/);
  // The page follows the runs by itself.
  await expect(page.getByText('1 case got worse: it passes in version 1, which is live, and fails in version 2.')).toBeVisible();
  const row = page.getByRole('table', { name: 'Test cases by version' }).getByRole('row', { name: /What is 6/ });
  await expect(row).toContainText('Failed');
  await expect(row).toContainText('Passed');
  await page.getByRole('button', { name: 'Deploy version 2 anyway' }).click();
  await expect(page).toHaveURL(new RegExp(`${here}$`));
  await expect(page.getByRole('main')).toContainText('Deployed');
});

test('AGB-5 the draft and the deployed version answer side by side', async ({ page }) => {
  const { slug } = await signUp(page);
  await agent(page, slug);
  await page.getByLabel(/Ask version 1, which is deployed/).check();
  await say(page, 'What is 6 * 7?');
  await expect(log(page).getByRole('heading', { name: 'Draft' })).toBeVisible();
  await expect(log(page).getByRole('heading', { name: 'Deployed' })).toBeVisible();
  await expect(log(page)).toContainText(/Against the deployed version: cost [+−]\$0\.000000, time/);
});

test('AGB-6 deploying is never greyed out: it tells what is wrong, and the focus goes there', async ({ page, expected }) => {
  expected.push(/status of 422/);
  const { slug } = await signUp(page);
  await agent(page, slug);
  await page.getByLabel('Turns').fill('many');
  const deploy = page.getByRole('button', { name: 'Save and deploy' });
  await expect(deploy).toBeEnabled();
  await deploy.click();
  const summary = page.getByRole('group', { name: 'There is a problem' });
  await expect(summary).toBeFocused();
  // A second time for the same reason, too.
  await page.getByLabel('Turns').fill('very many');
  await deploy.click();
  await expect(summary).toBeFocused();
  await summary.getByRole('link', { name: 'Enter a whole number.' }).click();
  await expect(page.getByLabel('Turns')).toBeFocused();
});

test('AGB-8 the limits are on the first screen, with what happens at them', async ({ page }) => {
  const { slug } = await signUp(page);
  await agent(page, slug);
  for (const limit of ['Turns', 'Tokens', 'Cost in dollars', 'Seconds for one model call']) {
    await expect(page.getByLabel(limit, { exact: true })).toBeInViewport();
  }
  await expect(page.getByText('At a limit the task stops before it goes further')).toBeInViewport();
  const tools = page.getByText('Allowed tools: Calculator. Each call after an approval: Send an e-mail.');
  await expect(tools).toBeInViewport();
  await page.getByLabel('Send an e-mail').selectOption('allowed');
  await expect(page.getByText('Allowed tools: Calculator, Send an e-mail. None waits for an approval.')).toBeVisible();
});

test('AGB-9 the field keeps the focus, Enter sends and Shift+Enter breaks the line', async ({ page }) => {
  const { slug } = await signUp(page);
  await agent(page, slug);
  const box = page.getByLabel('Message to the agent');
  await box.focus();
  await page.keyboard.type('What is');
  await page.keyboard.press('Shift+Enter');
  await page.keyboard.type('6 * 7?');
  await expect(box).toHaveValue('What is\n6 * 7?');
  await page.keyboard.press('Enter');
  await expect(log(page)).toContainText('42');
  await expect(box).toBeFocused();
  await expect(box).toHaveValue('');
});

test('AGB-9 Enter and Shift+Enter are swapped, and stay so', async ({ page }) => {
  const { slug } = await signUp(page);
  await agent(page, slug);
  const box = page.getByLabel('Message to the agent');
  const swap = page.getByLabel('Enter sends', { exact: true });
  await swap.uncheck();
  await page.reload();
  await ready(page);
  await expect(swap).not.toBeChecked();
  await box.focus();
  await page.keyboard.type('What is');
  await page.keyboard.press('Enter');
  await page.keyboard.type('6 * 7?');
  await expect(box).toHaveValue('What is\n6 * 7?');
  await page.keyboard.press('Shift+Enter');
  await expect(log(page)).toContainText('42');
  await expect(swap).not.toBeChecked();
});

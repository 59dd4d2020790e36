// The link in a message about an approval: opening it decides nothing, its form does. The message is read in the outbox.
import { accessibleInBothThemes, expect, importWorkflow, open, see, Server, signUp, start, test as base } from '../support/world';

/** People are told without a pause first. */
const test = base.extend<object, { server: Server }>({
  server: [
    async ({}, use) => {
      const server = await Server.start({ AGENTFLOW_NOTICE_MINUTES: '0' });
      await use(server);
      await server.remove();
    },
    { scope: 'worker', timeout: 90_000 },
  ],
});

const ASKING = `name: Label customers
nodes:
  - { id: start, kind: start }
  - id: ask
    kind: approval
    title: Label Kim
    payload: { label: late, note: secret of Kim }
    impact: One customer gets a label
    reversible: true
    after: [start]
  - { id: end, kind: end, after: [ask] }
`;

test('APR-8 a link in a message is opened by anybody, and decides by its button alone', async ({ page, browser, server }) => {
  test.setTimeout(150_000);
  const { slug } = await signUp(page);
  await open(page, `${await importWorkflow(page, slug, ASKING)}/run`);
  const run = await start(page);
  await see(page, 'Needs approval');
  // At the next full minute.
  await expect(async () => {
    await open(page, `/o/${slug}/outbox`);
    await expect(page.getByText(/\/approve\//).first()).toBeVisible({ timeout: 500 });
  }).toPass({ timeout: 90_000, intervals: [3_000] });
  const letter = await page.getByText(/\/approve\//).first().textContent();
  const path = letter?.match(/\/approve\/[A-Za-z0-9_-]{43}/)?.[0] ?? '';
  expect(path).not.toBe('');

  for (const method of ['GET', 'HEAD', 'GET']) {
    const visit = await fetch(server.url + path, { method, headers: { 'user-agent': 'Googlebot/2.1' } });
    expect(visit.status).toBe(200);
    expect(visit.headers.get('referrer-policy')).toBe('no-referrer');
  }
  // Somebody who is not signed in.
  const other = await browser.newContext({ baseURL: server.url });
  const reader = await other.newPage();
  await reader.goto(path);
  await expect(reader.getByRole('heading', { level: 1, name: 'Label Kim' })).toBeVisible();
  await expect(reader.getByText('One customer gets a label')).toBeVisible();
  await expect(reader.getByText('secret of Kim')).toHaveCount(0);
  await accessibleInBothThemes(reader);
  await open(page, run);
  await see(page, 'Needs approval');
  await reader.getByRole('button', { name: 'Approve', exact: true }).click();
  await expect(reader.getByText(/^Approved by Ada Lovelace/)).toBeVisible();
  await open(page, run);
  await see(page, 'Succeeded');
  await reader.reload();
  await expect(reader.getByText(/^Approved by Ada Lovelace/)).toBeVisible();
  await expect(reader.getByRole('button')).toHaveCount(0);
  await accessibleInBothThemes(reader);
  await other.close();
});

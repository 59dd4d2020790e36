// What a run waits for that is not a person: a lock that another one holds, its turn, another side that wants to be left
// alone. Each says so on its page.
import { type Page } from '@playwright/test';
import { createServer, type Server as Side } from 'node:http';
import { type AddressInfo } from 'node:net';
import { accessibleInBothThemes, expect, importWorkflow, open, see, Server, signUp, start, test as base } from '../support/world';

/** Another side that answers everybody: too many requests, come again in half an hour. */
const test = base.extend<object, { side: string; server: Server }>({
  side: [
    async ({}, use) => {
      const side: Side = createServer((_, answer) => answer.writeHead(429, { 'retry-after': '1800' }).end());
      await new Promise<void>((done) => side.listen(0, '127.0.0.1', done));
      await use(`127.0.0.1:${(side.address() as AddressInfo).port}`);
      side.close();
    },
    { scope: 'worker' },
  ],
  server: [
    async ({ side }, use) => {
      const server = await Server.start({ AGENTFLOW_ALLOWED_HOSTS: side });
      await use(server);
      await server.remove();
    },
    { scope: 'worker', timeout: 90_000 },
  ],
});

/** Sends an event, as a shop's program does. */
async function tell(server: Server, slug: string, key: string): Promise<void> {
  const printed = await server.command('admin', 'create-key', '--organization', slug, '--role', 'member', '--name', 'Shop');
  const sent = await fetch(`${server.url}/api/v1/events`, {
    method: 'POST',
    headers: { authorization: `Bearer ${printed.match(/\S{40,}/)?.[0]}`, 'content-type': 'application/json' },
    body: JSON.stringify({ key, data: 'yes' }),
  });
  expect(sent.status).toBe(202);
}

/** Starts a run whose one field is filled with this. */
async function run(page: Page, form: string, field: string, text: string): Promise<string> {
  await open(page, form);
  await page.getByLabel(field, { exact: false }).first().fill(text);
  return start(page);
}

const PRICES = `name: Write prices
title: "Prices for {{ input.shop }}"
input: { type: object, properties: { shop: { type: string } } }
nodes:
  - { id: start, kind: start }
  - id: write
    name: Write the prices
    kind: map
    items: "{{ [input.shop] }}"
    locks: [price list]
    after: [start]
    nodes:
      - { id: told, name: The shop says yes, kind: wait_event, event: "shop.{{ item }}" }
  - { id: end, kind: end, after: [write] }
`;

test('a run waits for a lock, its page says so, and it goes on when the other lets go @narrow', async ({ page, browser, server }) => {
  const { slug } = await signUp(page);
  const form = `${await importWorkflow(page, slug, PRICES)}/run`;
  const holder = await run(page, form, 'shop', 'Berlin');
  await see(page, 'Waiting for an event');
  const waiter = await run(page, form, 'shop', 'Paris');
  await see(page, 'Waiting for a lock');
  await expect(page.getByText('waits for the lock “price list”')).toBeVisible();
  await accessibleInBothThemes(page);
  // Whom it waits for stands with the step, and in the log.
  await open(page, `${waiter}?step=write`);
  await expect(page.getByRole('complementary', { name: 'Step detail' })).toContainText(`held by ${holder.split('/').pop()}`);
  await open(page, `${waiter}?view=logs`);
  await see(page, `Waits for the lock “price list”, held by the run ${holder.split('/').pop()}.`);
  const other = await browser.newContext({ baseURL: server.url, storageState: await page.context().storageState() });
  const second = await other.newPage();
  await open(second, `/o/${slug}/runs`);
  await expect(second.getByRole('row', { name: /Prices for Paris/ })).toContainText('Waiting for a lock');
  await open(page, waiter);
  await tell(server, slug, 'shop.Berlin');
  await see(page, 'Waiting for an event');
  await open(second, holder);
  await see(second, 'Succeeded');
  await tell(server, slug, 'shop.Paris');
  await see(page, 'Succeeded');
  await other.close();
});

const SYNC = `name: Sync customers
title: "Sync {{ input.customer }}"
concurrency: { limit: 1, key: "{{ input.customer }}" }
input: { type: object, properties: { customer: { type: string } } }
nodes:
  - { id: start, kind: start }
  - { id: sync, name: Read the records, kind: wait_event, event: "synced.{{ input.customer }}", after: [start] }
  - { id: end, kind: end, after: [sync] }
`;

test('of one customer one run at a time is let in, and the next says why it is queued @narrow', async ({ page, server }) => {
  const { slug } = await signUp(page);
  const form = `${await importWorkflow(page, slug, SYNC)}/run`;
  await run(page, form, 'customer', 'Acme');
  await see(page, 'Waiting for an event');
  const queued = await run(page, form, 'customer', 'Acme');
  await see(page, 'Queued');
  await expect(page.getByText(/Waits for its turn.* of this workflow with the key “Acme”/)).toBeVisible();
  await accessibleInBothThemes(page);
  // Another customer's is let in at once.
  await run(page, form, 'customer', 'Borealis');
  await see(page, 'Waiting for an event');
  await open(page, queued);
  await tell(server, slug, 'synced.Acme');
  await see(page, 'Waiting for an event');
  await expect(page.getByText(/Waits for its turn/)).toHaveCount(0);
});

test('a call to a side that wants to be left alone waits, and says until when', async ({ page, side }) => {
  const { slug } = await signUp(page);
  const workflow = `name: Ask the register
title: "Entry {{ input.number }}"
input: { type: object, properties: { number: { type: string } } }
nodes:
  - { id: start, kind: start }
  - { id: ask, name: Ask the register, kind: http, url: "http://${side}/entries", after: [start] }
  - { id: end, kind: end, after: [ask] }
`;
  const form = `${await importWorkflow(page, slug, workflow)}/run`;
  await run(page, form, 'number', '1');
  await see(page, 'Retrying');
  await expect(page.getByText(/attempt 2 of 3 begins in (29|30)\smin/)).toBeVisible();
  // Whoever comes next does not even ask.
  const second = await run(page, form, 'number', '2');
  await see(page, 'Waiting for a rate limit');
  await expect(page.getByText(/waits for a rate limit: goes on in (29|30)\smin/)).toBeVisible();
  await open(page, `${second}?step=ask`);
  await expect(page.getByRole('complementary', { name: 'Step detail' }).getByText(/^Waits for a rate limit: goes on in/)).toBeVisible();
  await accessibleInBothThemes(page);
});

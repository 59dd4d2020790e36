// Loops, workflows, events and failures in a browser: built as forms, watched as a tree, decided by a person, run again.
import { accessibleInBothThemes, expect, importWorkflow, open, ready, see, Server, signUp, start, test as base } from '../support/world';

// Nothing listens there: a call that is allowed and does not get through.
const CLOSED = '127.0.0.1:9';

const test = base.extend<object, { server: Server }>({
  server: [
    async ({}, use) => {
      const server = await Server.start({ AGENTFLOW_ALLOWED_HOSTS: CLOSED });
      await use(server);
      await server.remove();
    },
    { scope: 'worker', timeout: 90_000 },
  ],
});

const WORKFLOW = `name: Mend me
input: { type: object, properties: { order: { type: string } } }
title: "Order {{ input.order }}"
nodes:
  - { id: start, kind: start }
  - id: fetch
    name: Fetch the order
    kind: http
    url: "http://${CLOSED}/orders/{{ input.order }}"
    retry: { attempts: 2, backoff_ms: 50 }
    on_error: ask
    alternatives:
      - tool: { name: calculator, arguments: { expression: "1 +" } }
    after: [start]
  - id: polish
    name: Polish
    kind: loop
    until: "{{ index > 1 }}"
    max: 5
    after: [fetch]
    nodes:
      - { id: improve, name: Improve, kind: transform, value: "{{ (previous ?? 0) + 1 }}" }
  - id: paid
    name: Payment
    kind: wait_event
    event: "payment.{{ input.order }}"
    after: [polish]
  - id: end
    kind: end
    output: "{{ [steps.fetch.output, steps.polish.output, steps.paid.output] }}"
    after: [paid]
`;

test('a failure is told with all that was tried, a person goes on without it, and the run can be run again @narrow', async ({ page, server }) => {
  const { slug } = await signUp(page);
  const workflow = await importWorkflow(page, slug, WORKFLOW);
  await open(page, `${workflow}/run`);
  await page.getByLabel('order', { exact: false }).first().fill('4812');
  const run = await start(page);
  await see(page, 'Needs approval');
  const tree = page.getByRole('tree');
  await expect(tree.getByText('Attempt 1')).toBeVisible();
  await expect(tree.getByText('Alternative 1')).toBeVisible();
  await expect(tree.getByText('What now?')).toBeVisible();
  await accessibleInBothThemes(page);

  await open(page, `/o/${slug}/approvals`);
  await expect(page.getByText('Failed step').first()).toBeVisible();
  await page.getByRole('link', { name: '“Fetch the order” failed. What now?' }).click();
  const card = page.getByRole('article', { name: /failed\. What now/ });
  await expect(card.getByRole('button', { name: 'Try again', exact: true })).toBeVisible();
  await accessibleInBothThemes(page);
  await card.getByText('Go on without it…').click();
  await card.getByLabel('Output to go on with').fill('{ "total": 12 }');
  await card.getByRole('button', { name: 'Go on', exact: true }).click();
  await expect(page.getByText('Gone on without').filter({ visible: true }).first()).toBeVisible();

  await open(page, run);
  await see(page, 'Waiting for an event');
  await expect(page.getByRole('treeitem', { name: /Polish, Loop, 3 rounds/ })).toBeVisible();
  await page.getByRole('button', { name: 'Pause' }).click();
  await see(page, 'Paused');
  await page.getByRole('button', { name: 'Resume' }).click();
  await see(page, 'Waiting for an event');
  const key = (await server.command('admin', 'create-key', '--organization', slug, '--role', 'member', '--name', 'Shop')).match(/\S{40,}/)?.[0] ?? '';
  const sent = await fetch(`${server.url}/api/v1/events`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify({ key: 'payment.4812', data: 'paid' }),
  });
  expect(sent.status).toBe(202);
  await see(page, 'Succeeded');

  await page.getByRole('link', { name: 'Run again…' }).click();
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Run again');
  await ready(page);
  await accessibleInBothThemes(page);
  await page.getByLabel('Begin').selectOption('polish');
  await page.getByRole('button', { name: 'Show what happens' }).click();
  await expect(page.getByText(/results are taken over/)).toBeVisible();
  await ready(page);
  await page.getByRole('button', { name: 'Run again' }).click();
  await page.waitForURL((url) => /\/runs\/run_/.test(url.pathname) && !url.pathname.endsWith('again') && url.pathname !== run);
  await ready(page);
  await see(page, 'Waiting for an event');
  await expect(page.getByText('Forked by')).toBeVisible();
});

test('every kind of step has its form, and what is typed is kept', async ({ page }) => {
  const { slug } = await signUp(page);
  const workflow = await importWorkflow(page, slug, WORKFLOW);
  for (const step of ['fetch', 'polish', 'paid']) {
    await open(page, `${workflow}/steps/${step}`);
    await accessibleInBothThemes(page);
    await page.getByRole('button', { name: 'Save step' }).click();
    await page.waitForURL((url) => !url.pathname.includes('/steps/'));
  }
  await open(page, `${workflow}/steps/fetch`);
  await expect(page.getByLabel('Then instead')).toHaveValue('tool calculator');
  await expect(page.getByLabel('When it fails')).toHaveValue('ask');
  await page.getByLabel('Needs approval first').fill('{{ input.order > 5 }}');
  await page.getByRole('button', { name: 'Save step' }).click();
  await page.waitForURL((url) => !url.pathname.includes('/steps/'));
  await open(page, `${workflow}/steps/fetch`);
  await expect(page.getByLabel('Needs approval first')).toHaveValue('{{ input.order > 5 }}');
  await open(page, `${workflow}/steps/new?in=&after=fetch&kind=workflow`);
  await expect(page.getByLabel('Workflow', { exact: true })).toBeVisible();
});

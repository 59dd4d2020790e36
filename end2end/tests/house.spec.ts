// The house itself: pages come, hydrate without a word in the console, and survive what happens to servers.
import { accessible, expect, importWorkflow, open, ready, Server, signUp, test, watch } from '../support/world';

test('the sign-in page hydrates in silence @narrow @plain', async ({ page }) => {
  await open(page, '/login');
  await expect(page.getByRole('heading', { level: 1 })).toBeVisible();
});

test('an address that is nobody’s is a page that says so', async ({ page, expected }) => {
  expected.push(/404/);
  const response = await page.goto('/no-such-page');
  expect(response?.status()).toBe(404);
  await accessible(page);
});

test('a script that is not ours does not run', async ({ page, expected }) => {
  expected.push(/Content Security Policy/);
  await open(page, '/login');
  const ran = await page.evaluate(async () => {
    const script = document.createElement('div');
    script.innerHTML = '<img src="data:," onerror="window.intruder = true">';
    document.body.append(script);
    await new Promise((done) => setTimeout(done, 200));
    return 'intruder' in window;
  });
  expect(ran).toBe(false);
});

test('the files of a page are packed, kept for ever, and of the right kind', async ({ page, server }) => {
  const html = await (await page.request.get('/login')).text();
  const names = [...new Set(html.match(/\/pkg\/[\w./]+/g))];
  expect(names.length).toBeGreaterThanOrEqual(3);
  for (const name of names) {
    const file = await fetch(server.url + name, { headers: { 'accept-encoding': 'br' } });
    expect(file.status, name).toBe(200);
    expect(file.headers.get('content-encoding'), name).toBe('br');
    expect(file.headers.get('cache-control'), name).toContain('immutable');
    if (name.endsWith('.wasm')) expect(file.headers.get('content-type')).toBe('application/wasm');
  }
});

test('a chunk that does not come is asked for again, and the page works meanwhile', async ({ page, expected }) => {
  const person = await signUp(page);
  expected.push(/ERR_FAILED/, /Failed to fetch/);
  const lose = (chunk: string) => page.route(new RegExp(`/${chunk}\\.bin$`), (route) => route.abort(), { times: 1 });
  // On the way to a page: it is opened as a document instead.
  await lose('build');
  await page.getByRole('link', { name: 'Agents' }).first().click();
  await expect(page.getByRole('heading', { level: 1 })).toContainText('Agents');
  await ready(page);
  expect(new URL(page.url()).pathname).toBe(`/o/${person.slug}/agents`);
  // With the page: until it comes, what one sees works as it came.
  const list = /\/list\.bin$/;
  await page.route(list, (route) => route.abort());
  await page.goto(`/o/${person.slug}/runs`);
  await page.getByRole('link', { name: 'Agents' }).first().click();
  await expect(page.getByRole('heading', { level: 1 })).toContainText('Agents');
  await page.goto(`/o/${person.slug}/runs`);
  await expect(page.getByRole('heading', { level: 1 })).toContainText('Runs');
  await page.unroute(list);
  await ready(page);
});

const COUNTS = `name: Counts
input: { type: object, required: [beans, times], properties: { beans: { type: string, title: Beans }, times: { type: integer, title: Times } } }
nodes: [{ id: start, kind: start }, { id: end, kind: end, after: [start] }]
`;
const FORMS = [
  { what: 'an agent', at: 'agents/new', kept: 'Instructions', refused: 'Turns', button: 'Create agent' },
  { what: 'a step', at: 'steps/new?kind=map', kept: 'List', refused: 'Items at the same time', button: 'Add step' },
  { what: 'a run', at: 'run', kept: 'Beans', refused: 'Times', button: 'Start run' },
  { what: 'an imported workflow', at: 'workflows/new', kept: 'YAML', refused: 'YAML', button: 'Import workflow' },
];
for (const { what, at, kept, refused, button } of FORMS) {
  test(`the form of ${what} that is refused keeps what was typed, and says at the field what is wrong @plain`, async ({ page, expected }) => {
    expected.push(/status of 422/);
    const { slug } = await signUp(page);
    const above = /^(steps|run)/.test(at) ? await importWorkflow(page, slug, COUNTS) : `/o/${slug}`;
    await open(page, `${above}/${at}`);
    if (at !== 'run') await page.getByLabel(/^Name/).first().fill('Beans');
    await page.getByLabel(kept, { exact: true }).fill('Count the beans.');
    if (refused !== kept) await page.getByLabel(refused).fill('many');
    await page.getByRole('button', { name: button }).click();
    // The summary above the form leads to it.
    await page.getByRole('group', { name: 'There is a problem' }).getByRole('link').first().click();
    await expect(page.getByLabel(refused)).toBeFocused({ timeout: 2_000 });
    await expect(page.getByLabel(refused)).toHaveAttribute('aria-invalid', 'true');
    await expect(page.getByLabel(refused)).toHaveAccessibleDescription(/Error: /);
    await expect(page.getByLabel(kept, { exact: true })).toHaveValue('Count the beans.');
  });
}

test('what was there is there after a power cut, and a stop is clean', async ({ browser }) => {
  const server = await Server.start();
  const context = await browser.newContext({ baseURL: server.url });
  const page = await context.newPage();
  // What the page reads while the power goes breaks with the server, and so may a connection that the browser kept.
  const check = watch(page, [/net::ERR_/, /Failed to fetch/]);
  const person = await signUp(page);
  await server.down('SIGKILL');
  await server.up();
  await open(page, `/o/${person.slug}/`);
  expect(new URL(page.url()).pathname).toBe(`/o/${person.slug}/`);
  check();
  await context.close();
  expect(await server.down()).toBe(0);
  await server.remove();
});

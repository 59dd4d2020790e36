// The page of a run, by the numbers of its requirements.
import { accessibleInBothThemes, expect, importWorkflow, open, ready, see, signUp, start, test } from '../support/world';

const steps = Array.from({ length: 40 }, (_, place) => `s${place}`);
const CHAIN = `name: Chain
input: { type: object }
nodes:
  - { id: start, kind: start }
${steps.map((id, place) => `  - { id: ${id}, name: Step ${place}, kind: transform, value: "{{ ${place} }}", after: [${place ? steps[place - 1] : 'start'}] }`).join('\n')}
  - { id: end, kind: end, after: [s39] }
`;

test('RUN-3 the step that the address names is in sight, and so is each that keys choose', async ({ page }) => {
  const { slug } = await signUp(page);
  await open(page, `${await importWorkflow(page, slug, CHAIN)}/run`);
  const run = await start(page);
  await expect(page).toHaveTitle(/^Succeeded/);
  const row = (name: string) => page.getByRole('treeitem', { name: new RegExp(`^${name}, `) });
  await open(page, `${run}?step=s39`);
  await expect(row('Step 39')).toHaveAttribute('aria-selected', 'true');
  await expect(row('Step 39')).toBeInViewport();
  await page.getByRole('tree').focus();
  await page.keyboard.press('Home');
  await expect(row('Step 0')).toBeInViewport();
  await page.keyboard.press('End');
  await expect(page.getByRole('treeitem').last()).toBeInViewport();
  // The address has followed; a reload shows the same.
  await page.keyboard.press('ArrowUp');
  await expect(page).toHaveURL(/step=s39/);
  await page.reload();
  await expect(row('Step 39')).toBeInViewport();
});

const WORDS = `name: Words
input: { type: object, properties: { word: { type: string } }, required: [word] }
title: "The word {{ input.word }}"
nodes:
  - { id: start, kind: start }
  - { id: same, name: Same for all, kind: transform, value: "always", after: [start] }
  - id: each
    name: Each letter
    kind: map
    items: "{{ ['a', 'b', 'c'] }}"
    after: [same]
    nodes:
      - { id: join, name: Join, kind: transform, value: "{{ item + '-' + input.word }}" }
  - { id: end, kind: end, after: [each] }
`;

test('RUN-11 a run is searched on the server, its hits are counted, marked and moved through @plain', async ({ page, javaScriptEnabled }) => {
  const { slug } = await signUp(page);
  await open(page, `${await importWorkflow(page, slug, WORDS)}/run`);
  await page.getByLabel('word').first().fill('Haystack');
  const run = await start(page);
  await see(page, 'Succeeded');
  await open(page, run);
  const field = page.getByRole('searchbox', { name: 'Search in this run' });
  if (javaScriptEnabled !== false) {
    await page.keyboard.press('/');
    await expect(field).toBeFocused();
  }
  await field.fill('B-HAY');
  await page.getByRole('button', { name: 'Search' }).click();
  await expect(page).toHaveURL(/find=B-HAY/);
  const found = page.getByRole('search').filter({ has: field });
  await expect(found.getByText(/^“B-HAY” is in \d steps?/)).toBeVisible();
  await expect(found.getByRole('link', { name: 'Join' })).toBeVisible();
  await expect(found.getByText('in its output').first()).toBeVisible();
  // The address alone shows the same, and so does the tree with what was found and what is above it.
  await open(page, `${run}?find=b-hay`);
  await expect(found.getByText(/^“b-hay” is in \d steps?/)).toBeVisible();
  await found.getByRole('link', { name: 'Only these' }).click();
  await expect(page).toHaveURL(/only=found/);
  await expect(page.locator('.line').filter({ hasText: 'Same for all' })).toHaveCount(0);
  await expect(page.locator('.line').filter({ hasText: 'Join' }).first()).toBeVisible();
  if (javaScriptEnabled !== false) {
    await page.keyboard.press('n');
    await expect(page.locator('.line.is-selected.is-found')).toBeVisible();
    const first = await page.locator('.line.is-selected').getAttribute('id');
    await page.keyboard.press('n');
    await page.keyboard.press('Shift+N');
    await expect(page.locator('.line.is-selected')).toHaveAttribute('id', first ?? '');
    await accessibleInBothThemes(page);
  }
  await found.getByRole('link', { name: 'End the search' }).click();
  await expect(page.locator('.line').filter({ hasText: 'Same for all' })).toBeVisible();
  await expect(page).not.toHaveURL(/find=/);
});

test('RUN-13 two runs stand beside each other, and the first difference is pointed out @plain', async ({ page, javaScriptEnabled }) => {
  const { slug } = await signUp(page);
  const workflow = await importWorkflow(page, slug, WORDS);
  const runs: string[] = [];
  for (const word of ['hay', 'straw']) {
    await open(page, `${workflow}/run`);
    await page.getByLabel('word').first().fill(word);
    runs.push(await start(page));
    await see(page, 'Succeeded');
  }
  const id = (run: string) => run.split('/').pop() ?? '';
  await page.getByRole('link', { name: 'Compare with…' }).click();
  await expect(page.getByRole('heading', { level: 1, name: 'Compare with another run' })).toBeVisible();
  await page.getByRole('link', { name: 'The word hay' }).click();
  await expect(page).toHaveURL(new RegExp(`/runs/${id(runs[0])}\\.\\.\\.${id(runs[1])}$`));
  await expect(page.getByRole('heading', { level: 1, name: 'Compare runs' })).toBeVisible();
  await expect(page.getByText(/The first difference is at/)).toBeVisible();
  const steps = page.getByRole('table', { name: /^Steps 1 to/ });
  await expect(steps.getByText('Same for all')).toHaveCount(0);
  // One step, line by line.
  await steps.getByRole('link', { name: 'Join' }).first().click();
  await expect(page.getByText('a-hay').first()).toBeVisible();
  await expect(page.getByText('a-straw').first()).toBeVisible();
  if (javaScriptEnabled !== false) await accessibleInBothThemes(page);
  await page.getByRole('link', { name: /^All steps/ }).click();
  await expect(steps.getByText('Same for all')).toBeVisible();
  await expect(steps.getByText('nothing').first()).toBeVisible();
  await page.getByRole('link', { name: 'Swap' }).click();
  await expect(page).toHaveURL(new RegExp(`/runs/${id(runs[1])}\\.\\.\\.${id(runs[0])}`));
  // By the id of a run, and what is no id is said at the field.
  await open(page, `${runs[0]}/compare`);
  await page.getByLabel('Id of a run').fill('run_nonsense');
  await page.getByRole('button', { name: 'Compare' }).click();
  await expect(page.getByText('There is no run with this id.')).toBeVisible();
  await ready(page);
  await page.getByLabel('Id of a run').fill(id(runs[1]));
  await page.getByRole('button', { name: 'Compare' }).click();
  await expect(page.getByText(/The first difference is at/)).toBeVisible();
});

test('RUN-15 a step becomes the root of the tree, with the way back @plain', async ({ page, javaScriptEnabled }) => {
  const { slug } = await signUp(page);
  await open(page, `${await importWorkflow(page, slug, WORDS)}/run`);
  await page.getByLabel('word').first().fill('hay');
  const run = await start(page);
  await see(page, 'Succeeded');
  await open(page, `${run}?step=each.1`);
  const line = (name: string) => page.locator('.line').filter({ hasText: name });
  await expect(line('Same for all')).toHaveCount(1);
  await page.getByRole('link', { name: 'Focus on this step' }).click();
  await expect(page).toHaveURL(/root=each\.1/);
  await expect(line('Same for all')).toHaveCount(0);
  await expect(line('Join')).toHaveCount(1);
  const way = page.getByRole('navigation', { name: 'Where the tree begins' });
  await expect(way.getByRole('listitem')).toHaveCount(3);
  if (javaScriptEnabled !== false) {
    // Out by one, and out of all.
    await page.keyboard.press('Alt+ArrowUp');
    await expect(page).toHaveURL(/root=each(&|$)/);
    await expect(line('Join')).toHaveCount(3);
    await page.goBack();
    await expect(line('Join')).toHaveCount(1);
  }
  await way.getByRole('link', { name: 'All steps' }).click();
  await expect(line('Same for all')).toHaveCount(1);
  await expect(page).not.toHaveURL(/root=/);
});

const FAILS = `name: Fails
nodes:
  - { id: start, kind: start }
  - { id: fine, name: Goes well, kind: transform, value: "1", after: [start] }
  - { id: sum, name: Goes wrong, kind: tool, tool: calculator, arguments: { expression: "1 +" }, after: [fine] }
  - { id: end, kind: end, after: [sum] }
`;

test('RUN-6 what failed shows alone, RUN-12 and a key leads to running it again', async ({ page }) => {
  const { slug } = await signUp(page);
  await open(page, `${await importWorkflow(page, slug, FAILS)}/run`);
  const run = await start(page);
  await see(page, 'Failed');
  await open(page, run);
  await page.getByRole('link', { name: 'Errors only' }).click();
  await expect(page).toHaveURL(/only=errors/);
  await expect(page.getByRole('treeitem', { name: /^Goes wrong, / })).toBeVisible();
  await expect(page.getByRole('treeitem', { name: /^Goes well, / })).toHaveCount(0);
  // The critical path is marked by a switch.
  await page.getByRole('link', { name: 'All steps' }).click();
  const path = page.getByRole('button', { name: 'Critical path' });
  await expect(path).toHaveAttribute('aria-pressed', 'false');
  await path.click();
  await expect(path).toHaveAttribute('aria-pressed', 'true');
  await expect(page.getByRole('treeitem', { name: /^Goes wrong, .*on the critical path/ })).toBeVisible();
  await page.keyboard.press('Shift+R');
  await expect(page).toHaveURL(/\/again\?from=sum/);
  // From the start it is a rerun, not a retry.
  await page.getByLabel('Begin').selectOption('start');
  await page.getByRole('button', { name: 'Show what happens' }).click();
  await ready(page);
  await page.getByRole('button', { name: 'Run again' }).click();
  await expect(page.getByText(/^Rerun of/).getByRole('link')).toHaveAttribute('href', run);
});

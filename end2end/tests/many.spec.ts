// The same done to many runs, from the list: what it would do is told first, and what became of each afterwards.
import { accessible, accessibleInBothThemes, expect, importWorkflow, open, ready, see, signUp, start, test } from '../support/world';

const REST = `name: Rest
title: "Rest {{ input.of }}"
input: { type: object, properties: { of: { type: string } } }
nodes:
  - { id: start, kind: start }
  - { id: rest, name: Rest, kind: wait, seconds: 3600, after: [start] }
  - { id: sum, name: Add up, kind: tool, tool: calculator, arguments: { expression: "1 +" }, after: [start] }
  - { id: end, kind: end, join: any, after: [rest, sum] }
`;

test('runs are held, let go, stopped and tried again by the filter @plain @narrow', async ({ page, javaScriptEnabled }) => {
  const { slug } = await signUp(page);
  const workflow = await importWorkflow(page, slug, REST.replace('"1 +"', '"1 + 1"').replace('join: any, ', ''));
  for (const of of ['one', 'two']) {
    await open(page, `${workflow}/run`);
    await page.getByLabel('of', { exact: false }).first().fill(of);
    await start(page);
    await see(page, 'Scheduled');
  }
  const list = `/o/${slug}/runs`;
  const act = async (query: string, verb: string, button: string) => {
    await open(page, list + query);
    await page.getByRole('navigation', { name: 'With all 2 runs that fit' }).getByRole('link', { name: `${verb}…` }).click();
    await expect(page.getByRole('heading', { level: 1 })).toHaveText(button);
    await ready(page);
    await expect(page.getByRole('rowheader', { name: 'Rest one' })).toBeVisible();
    // What looks for faults is a script itself.
    if (javaScriptEnabled) await accessible(page);
    await page.getByRole('button', { name: button }).click();
  };
  await act('', 'Pause', 'Pause 2 runs');
  await expect(page.getByText('2 runs are held.')).toBeVisible();
  await act('?state=paused', 'Resume', 'Resume 2 runs');
  await expect(page.getByText('2 runs go on.')).toBeVisible();
  await act('?state=active', 'Stop', 'Stop 2 runs');
  await expect(page.getByText('2 runs are being stopped.')).toBeVisible();
  if (javaScriptEnabled) await accessibleInBothThemes(page);
  // A run ends a moment after it was told to.
  await expect(async () => {
    await open(page, `${list}?state=cancelled`);
    await expect(page.getByRole('link', { name: 'Retry…' })).toBeVisible({ timeout: 500 });
    await expect(page.getByText('With all 2 runs that fit')).toBeVisible({ timeout: 500 });
  }).toPass();
  await act('?state=cancelled', 'Retry', 'Retry 2 runs');
  await expect(page.getByText('2 runs were retried.')).toBeVisible();
  await page.getByRole('link', { name: 'Its new run' }).first().click();
  await expect(page.getByText(/^Retry of/)).toBeVisible();
  await expect(page.getByText('Reused').first()).toBeAttached();
});

test('a step says what it waits for, and a run goes on from it again @narrow', async ({ page }) => {
  const { slug } = await signUp(page);
  const workflow = await importWorkflow(page, slug, REST);
  await open(page, `${workflow}/run`);
  await page.getByLabel('of', { exact: false }).first().fill('three');
  const run = await start(page);
  await see(page, 'Failed');
  const panel = page.getByRole('complementary', { name: 'Step detail' });
  await open(page, `${run}?step=sum`);
  await expect(panel.getByText('Runs after')).toBeVisible();
  await accessibleInBothThemes(page);
  await panel.getByRole('link', { name: 'Run again from here…' }).click();
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Run again');
  await expect(page.getByLabel('Begin')).toHaveValue('sum');
  await expect(page.getByText(/taken over, 2 steps run again/)).toBeVisible();
});

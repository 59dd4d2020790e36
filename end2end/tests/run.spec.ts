// The page of a run, by the numbers of its requirements.
import { expect, importWorkflow, open, see, signUp, start, test } from '../support/world';

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
  await see(page, 'Succeeded');
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

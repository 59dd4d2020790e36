// A world for the tests in a browser: a server of their own with a fresh database, and pages that fail on what a person
// would not see but must not happen (console errors and warnings, faults of scripts, refused content).
import { test as base, expect, type Page } from '@playwright/test';
import AxeBuilder from '@axe-core/playwright';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, chmodSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A running server with its own data. */
export class Server {
  readonly url: string;
  private process: ChildProcess | undefined;
  private log = '';

  private constructor(
    private readonly port: number,
    private readonly folder: string,
    private readonly settings: Record<string, string>,
  ) {
    this.url = `http://localhost:${port}`;
  }

  /** Starts one with nobody in it. `settings` are environment variables besides the usual. */
  static async start(settings: Record<string, string> = {}): Promise<Server> {
    const folder = mkdtempSync(join(tmpdir(), 'agentflow-e2e-'));
    // Started by root, the database runs as another user, who must reach the folder.
    chmodSync(folder, 0o755);
    const server = new Server(await freePort(), folder, settings);
    await server.up();
    return server;
  }

  /** Starts it (again) on the same port and data, and waits until it is ready. */
  async up(): Promise<void> {
    const binary = process.env.AGENTFLOW_BINARY;
    if (!binary) throw new Error('AGENTFLOW_BINARY does not say where the server is: run `make test`');
    const { DATABASE_URL: _, ...env } = process.env;
    const child = spawn(binary, ['serve'], {
      env: {
        ...env,
        AGENTFLOW_ADDRESS: `127.0.0.1:${this.port}`,
        AGENTFLOW_DATA_DIR: this.folder,
        AGENTFLOW_LOG_FORMAT: 'text',
        ...this.settings,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.process = child;
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (data) => (this.log += String(data)));
    for (let i = 0; i < 600; i++) {
      if (child.exitCode !== null) throw new Error(`the server ended:\n${this.log}`);
      const ready = await fetch(`${this.url}/health/ready`).catch(() => undefined);
      if (ready?.ok) return;
      await new Promise((done) => setTimeout(done, 100));
    }
    throw new Error(`the server is not ready:\n${this.log}`);
  }

  /** Ends it as the operator does (SIGTERM), or as a power cut does (SIGKILL). */
  async down(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<number | null> {
    const child = this.process;
    if (!child || child.exitCode !== null) return child?.exitCode ?? null;
    const ended = new Promise<number | null>((done) => child.once('exit', (code) => done(code)));
    child.kill(signal);
    return ended;
  }

  /** Runs a command of the same binary on the same data, such as `admin create-key`. Gives what it prints. */
  async command(...words: string[]): Promise<string> {
    const { DATABASE_URL: _, ...env } = process.env;
    const child = spawn(process.env.AGENTFLOW_BINARY ?? '', words, {
      env: { ...env, AGENTFLOW_DATA_DIR: this.folder, ...this.settings },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let printed = '';
    let said = '';
    child.stdout.on('data', (data) => (printed += String(data)));
    child.stderr.on('data', (data) => (said += String(data)));
    const code = await new Promise((done) => child.once('exit', done));
    if (code !== 0) throw new Error(`agentflow ${words.join(' ')} ended with ${code}:\n${said}`);
    return printed;
  }

  /** Makes somebody a member of an organization besides their own. No page does that, so the database is told. */
  async join(person: Person, slug: string): Promise<void> {
    const statement = `insert into memberships (organization_id, user_id, role)
      select o.id, u.id, 'member' from organizations o, users u where o.slug = :'slug' and u.email = :'email' returning 1`;
    const words = ['-XAtq', '-v', 'ON_ERROR_STOP=1', '-v', `slug=${slug}`, '-v', `email=${person.email}`, '-h', join(this.folder, 'postgres/socket'), '-U', 'postgres', 'agentflow'];
    expect(execFileSync('psql', words, { input: statement, encoding: 'utf8' }).trim()).toBe('1');
  }

  /** What it has logged. */
  logged(): string {
    return this.log;
  }

  /** Ends it and removes its data. */
  async remove(): Promise<void> {
    const code = await this.down();
    rmSync(this.folder, { recursive: true, force: true });
    expect(code === 0 || code === null, `the server ended with ${code}:\n${this.log}`).toBe(true);
  }
}

async function freePort(): Promise<number> {
  return new Promise((done, fail) => {
    const probe = createServer();
    probe.once('error', fail);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() => (address && typeof address === 'object' ? done(address.port) : fail(new Error('no port'))));
    });
  });
}

/** Somebody who has signed up. */
export interface Person {
  name: string;
  email: string;
  password: string;
  organization: string;
  slug: string;
}

let people = 0;

/** Signs up through the page, as a person does, and ends on the organization's first page. */
export async function signUp(page: Page, wish: Partial<Person> = {}): Promise<Person> {
  people += 1;
  const unique = `${Date.now().toString(36)}${people}`;
  const person = {
    name: wish.name ?? 'Ada Lovelace',
    email: wish.email ?? `ada-${unique}@example.com`,
    password: wish.password ?? `engine of ${unique} wheels`,
    organization: wish.organization ?? `Analytical ${unique}`,
  };
  await open(page, '/signup');
  await page.locator('input[name=name]').fill(person.name);
  await page.locator('input[name=email]').fill(person.email);
  await page.locator('input[name=password]').fill(person.password);
  await page.locator('input[name=organization]').fill(person.organization);
  await page.locator('form button[type=submit]').last().click();
  await page.waitForURL(/\/o\/[^/]+\//);
  await ready(page);
  const slug = new URL(page.url()).pathname.split('/')[2] ?? '';
  return { ...person, slug };
}

/** Signs in through the page. */
export async function signIn(page: Page, person: Person): Promise<void> {
  await open(page, '/login');
  await page.locator('input[name=email]').fill(person.email);
  await page.locator('input[name=password]').fill(person.password);
  await page.locator('form button[type=submit]').last().click();
  await page.waitForURL(/\/o\/[^/]+\//);
  await ready(page);
}

/** Makes the triage workflow out of its template and opens its run form. */
export async function useTriage(page: Page, slug: string): Promise<void> {
  await open(page, `/o/${slug}/workflows/new`);
  await page.getByRole('button', { name: 'Use template Customer message triage' }).click();
  await expect(page.getByRole('heading', { level: 1 })).toContainText('Customer message triage');
  await ready(page);
  await page.getByRole('link', { name: 'Run workflow' }).click();
  await expect(page.getByRole('heading', { level: 1 })).toContainText('Run Customer message triage');
  await ready(page);
}

/** Imports a workflow and gives its path. */
export async function importWorkflow(page: Page, slug: string, yaml: string): Promise<string> {
  await open(page, `/o/${slug}/workflows/new`);
  await page.getByLabel('YAML').fill(yaml);
  await page.getByRole('button', { name: 'Import workflow' }).click();
  await page.waitForURL(/\/workflows\/wf_/);
  return new URL(page.url()).pathname;
}

/** Starts the run whose form is open, and gives its path. */
export async function start(page: Page): Promise<string> {
  await page.getByRole('button', { name: 'Start run' }).click();
  await page.waitForURL(/\/runs\/run_/);
  await ready(page);
  return new URL(page.url()).pathname;
}

/** Waits for words on the page of a run: live, or by asking again where JavaScript is off. */
export async function see(page: Page, words: string | RegExp): Promise<void> {
  const shown = page.getByRole('main').getByText(words).first();
  if (await scripts(page)) {
    await expect(shown).toBeVisible({ timeout: 30_000 });
    return;
  }
  await expect(async () => {
    await page.reload();
    await expect(shown).toBeVisible({ timeout: 500 });
  }).toPass({ timeout: 30_000 });
}

/** Opens a page and waits until it can be used. */
export async function open(page: Page, path: string): Promise<void> {
  await page.goto(path);
  await ready(page);
}

/** Waits until the page has taken over from the server's rendering; at once where JavaScript is off. */
export async function ready(page: Page): Promise<void> {
  if (await scripts(page)) await page.locator('html[data-hydrated]').waitFor({ state: 'attached' });
}

/** Whether JavaScript is on. */
async function scripts(page: Page): Promise<boolean> {
  // A page without JavaScript cannot be asked; its noscript content is rendered instead.
  const options = (page.context() as unknown as { _options?: { javaScriptEnabled?: boolean } })._options;
  return options?.javaScriptEnabled !== false;
}

/** No fault that axe can find, in the theme that is on. A test goes on after one, so that it tells of all at once. */
export async function accessible(page: Page): Promise<void> {
  const found = await new AxeBuilder({ page }).withTags(['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']).analyze();
  const told = found.violations.map((it) => `${it.id}: ${it.help}\n${it.nodes.map((node) => `    ${node.html}\n    ${node.failureSummary}`).join('\n')}`);
  expect.soft(told.join('\n\n'), page.url()).toBe('');
}

/** The same in both themes. */
export async function accessibleInBothThemes(page: Page): Promise<void> {
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme });
    await accessible(page);
  }
  await page.emulateMedia({ colorScheme: null });
}

/** Lines of the console that a test expects: push a pattern before they come. */
type Expected = RegExp[];

/** Fails the test on anything in the console, on a fault of a script, and on refused content. */
export function watch(page: Page, expected: Expected = []): () => void {
  const seen: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') seen.push(`${message.type()}: ${message.text()} (${message.location().url})`);
  });
  page.on('pageerror', (error) => seen.push(`fault: ${error.message}`));
  return () => expect(seen.filter((line) => !expected.some((pattern) => pattern.test(line)))).toEqual([]);
}

/** The test of this project: `server` is fresh for each file, `page` is watched, addresses are relative to the server. */
export const test = base.extend<{ expected: Expected; watched: void }, { server: Server }>({
  server: [
    async ({}, use) => {
      const server = await Server.start();
      await use(server);
      await server.remove();
    },
    { scope: 'worker', timeout: 90_000 },
  ],
  baseURL: async ({ server }, use) => use(server.url),
  expected: async ({}, use) => use([]),
  watched: [
    async ({ page, expected, server }, use, info) => {
      const check = watch(page, expected);
      const before = server.logged().length;
      await use();
      if (info.status !== info.expectedStatus) console.log(server.logged().slice(before));
      check();
    },
    { auto: true },
  ],
});

export { expect };

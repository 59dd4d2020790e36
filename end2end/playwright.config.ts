// System Chromium against the release binary. `cargo xtask test` says where both are.
import { defineConfig, devices } from '@playwright/test';

const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
const desktop = {
  ...devices['Desktop Chrome'],
  launchOptions: {
    executablePath,
    args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  },
};

export default defineConfig({
  testDir: './tests',
  // Each worker has a server and a database of its own; one spec at a time is quick enough and disturbs nobody.
  workers: 1,
  fullyParallel: false,
  forbidOnly: true,
  retries: 0,
  timeout: 60_000,
  expect: { timeout: 10_000 },
  reporter: [['list']],
  outputDir: './test-results',
  use: { trace: 'retain-on-failure', screenshot: 'only-on-failure', actionTimeout: 10_000 },
  projects: [
    { name: 'desktop', use: desktop },
    // What a test marks `@narrow` also has to hold on a phone.
    { name: 'narrow', use: { ...desktop, viewport: { width: 390, height: 844 }, hasTouch: true }, grep: /@narrow/ },
    // What a test marks `@plain` also has to work with JavaScript off.
    { name: 'plain', use: { ...desktop, javaScriptEnabled: false }, grep: /@plain/ },
  ],
});

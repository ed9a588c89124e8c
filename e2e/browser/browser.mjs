// What the tests share: Chromium, pages that remember every complaint, and the
// API of the gnomon under test.
import { chromium } from 'playwright-core';
import { mkdirSync } from 'node:fs';
import http from 'node:http';
import path from 'node:path';

export const base = (process.env.GNOMON_CONSOLE_URL ?? '').replace(/\/$/, '');
export const shots = process.env.GNOMON_SCREENSHOTS ?? path.join(import.meta.dirname, 'screenshots');

const flags = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];

export const launch = () => {
  mkdirSync(shots, { recursive: true });
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: flags });
};

// open makes a page. complaints collects whatever the browser holds against it:
// violations of the Content-Security-Policy, errors on the console, exceptions,
// dialogs (an alert is how a script that got in would show).
export const open = async (browser, options = {}) => {
  const context = await browser.newContext({ viewport: { width: 1400, height: 1000 }, ...options });
  const page = await context.newPage();
  const complaints = [];
  page.on('pageerror', (e) => complaints.push(`exception: ${e.message}`));
  page.on('dialog', (d) => { complaints.push(`dialog: ${d.message()}`); d.dismiss(); });
  page.on('console', (m) => {
    const text = m.text();
    // Chromium writes a line for each answer of 400 or more; tests that ask for one say so.
    if (m.type() === 'error' && !(page.expectStatus && text.includes(`status of ${page.expectStatus}`))) complaints.push(`console: ${text}`);
    if (m.type() === 'warning' && /content.security|refused/i.test(text)) complaints.push(`console: ${text}`);
  });
  page.on('request', (r) => {
    if (!r.url().startsWith(base)) complaints.push(`foreign request: ${r.url()}`);
  });
  if (options.javaScriptEnabled !== false) {
    await page.addInitScript(() => {
      window.violations = [];
      document.addEventListener('securitypolicyviolation', (e) => window.violations.push(`${e.violatedDirective} ${e.blockedURI}`));
    });
  }
  return { context, page, complaints, violations: () => page.evaluate(() => window.violations ?? []) };
};

export const api = async (route) => {
  const r = await fetch(base + '/api/v1' + route);
  if (!r.ok) throw new Error(`GET ${route}: ${r.status} ${await r.text()}`);
  return r.json();
};

// raw sends a request whose Host and Origin are what the caller says; fetch
// would not let it.
export const raw = (route, headers = {}, method = 'GET') => new Promise((resolve, reject) => {
  const u = new URL(base);
  const req = http.request({ host: u.hostname, port: u.port, path: route, method, headers }, (res) => {
    let body = '';
    res.on('data', (d) => { body += d; });
    res.on('end', () => resolve({ status: res.statusCode, headers: res.headers, body }));
  });
  req.on('error', reject);
  req.end();
});

export const workloadURL = (name) => base + '/workloads/' + name.split('/').map(encodeURIComponent).join('/');

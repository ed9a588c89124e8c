// The console in a real browser, against a running gnomon with some days of
// traffic: a demo, or the fixture (GNOMON_PREVIEW of dashboards' tests).
//
//   GNOMON_CONSOLE_URL=http://127.0.0.1:8081 npm test
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import path from 'node:path';
import { api, base, launch, open, raw, shots, workloadURL } from './browser.mjs';

const skip = base ? false : 'set GNOMON_CONSOLE_URL to the console of a running gnomon';
const hostile = `"><img src=x onerror=alert(1)>'\${7*7}`;

describe('console', { skip, timeout: 900_000 }, () => {
  let browser;
  let simulated;
  const all = [];
  const start = async (options) => {
    const s = await open(browser, options);
    all.push(s);
    return s;
  };
  const clean = async (s) => {
    assert.deepEqual(s.complaints, []);
    assert.deepEqual(await s.violations(), []);
    await s.context.close();
  };

  before(async () => {
    browser = await launch();
    simulated = (await api('/status')).simulated;
  });
  after(() => browser?.close());

  test('the overview answers what is spent, saved, verified and needed', async () => {
    const s = await start();
    const answer = await s.page.goto(base + '/');
    assert.equal(answer.status(), 200);
    assert.match(answer.headers()['content-security-policy'], /default-src 'self'/);
    assert.deepEqual(await s.page.locator('.strip dt').allTextContents(), ['Spend', 'Would save', 'Verified', 'Requests']);
    assert.match(await s.page.locator('.strip dd').first().innerText(), /\$[\d,.]+/);
    await s.page.waitForSelector('figure[data-chart=spend][data-drawn]');
    const known = (await api('/workloads')).workloads.length;
    assert.equal(await s.page.locator('table[data-name=workloads] tbody tr').count(), known);
    assert.equal(await s.page.locator('.ribbon').count(), simulated ? 1 : 0);
    await clean(s);
  });

  test('links and keys lead to every page', async () => {
    const s = await start();
    await s.page.goto(base + '/');
    for (const name of ['Workloads', 'Requests', 'Health', 'Overview']) {
      await s.page.locator('nav.side').getByRole('link', { name, exact: true }).click();
      await s.page.waitForSelector(`nav.side a[aria-current=page]:has-text("${name}")`);
      assert.equal(await s.page.locator('h1').innerText(), name);
    }
    await s.page.keyboard.press('g');
    await s.page.keyboard.press('w');
    await s.page.waitForURL('**/workloads');
    await s.page.keyboard.press('?');
    assert.ok(await s.page.locator('#help').isVisible());
    await s.page.keyboard.press('Escape');
    await s.page.keyboard.press('/');
    assert.equal(await s.page.evaluate(() => document.activeElement.id), 'search');
    const { workloads } = await api('/workloads');
    await s.page.keyboard.type(workloads[0].workload.slice(0, 4));
    await s.page.keyboard.press('Enter');
    await s.page.locator('.hits a').first().click();
    await s.page.waitForSelector('ol.steps');
    await clean(s);
  });

  test('a workload shows its savings with their interval, drawn and in the table', async () => {
    const { workloads } = await api('/workloads');
    const w = workloads.find((x) => x.verdicts[0]?.savings.share && x.verdicts[0].savings.saving_month_lo !== null);
    assert.ok(w, 'no workload has a verdict with an interval');
    const s = await start();
    await s.page.goto(workloadURL(w.workload));
    assert.equal(await s.page.locator('h1').innerText(), w.workload);
    const figure = s.page.locator('figure[data-chart=savings]');
    await figure.and(s.page.locator('[data-drawn]')).waitFor();
    // The plot is a picture with ink on it, not an empty canvas.
    const inked = await figure.locator('canvas').evaluate((c) => {
      const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
      let n = 0;
      for (let i = 3; i < d.length; i += 4) if (d[i] > 0) n++;
      return n / (c.width * c.height);
    });
    assert.ok(inked > 0.01, `only ${inked} of the chart is drawn`);
    await figure.locator('summary').click();
    const rows = await figure.locator('tbody tr').evaluateAll((trs) => trs.map((tr) => [...tr.cells].map((c) => Number(c.dataset.v))));
    assert.ok(rows.length > 0);
    for (const [, , , would, lo, hi] of rows) assert.ok(lo <= would + Math.abs(would) && lo <= hi, `interval ${lo} … ${hi}`);
    assert.match(await s.page.locator('.strip').innerText(), /\[[^\]]*\$[\d,.]+ … [^\]]*\$[\d,.]+\]/);
    assert.equal(await s.page.locator('ol.steps li').count(), 5);
    assert.equal(await s.page.locator('ol.steps [aria-current=step]').count(), 1);
    const quality = workloads.find((x) => (x.verdicts[0]?.quality.daily_dates ?? []).length > 1);
    if (quality) {
      await s.page.goto(workloadURL(quality.workload));
      await s.page.waitForSelector('figure[data-chart=quality][data-drawn]');
    }
    await clean(s);
  });

  test('a person activates with a reason, sees what it does, and rolls back', async () => {
    const { workloads } = await api('/workloads');
    const w = workloads.find((x) => x.mode === 'observe' && x.verdicts[0]?.readiness === 'ready') ?? workloads.find((x) => x.mode === 'observe' && x.verdicts.length > 0);
    assert.ok(w, 'no workload is left to activate');
    const s = await start();
    await s.page.goto(workloadURL(w.workload));
    await s.page.evaluate(() => { document.getElementById('activated').open = true; });
    const before = await s.page.locator('#plan').innerText();
    await s.page.getByText('25 %', { exact: true }).click();
    await s.page.waitForFunction((text) => document.getElementById('plan').innerText !== text, before);
    assert.match(await s.page.locator('#plan').innerText(), /To undo it/);

    const button = s.page.locator('#activate button.accent');
    await button.click(); // without a reason the browser itself refuses
    assert.equal((await api('/workloads/' + encodeURIComponent(w.workload))).mode, 'observe');
    await s.page.locator('#activate input[name=reason]').fill('browser test ' + hostile);
    const override = s.page.locator('#plan input[name=override]');
    if (await override.count()) {
      s.page.expectStatus = 409;
      await button.click();
      await s.page.waitForSelector('#activate .problem[role=alert]');
      assert.equal(await s.page.locator('#activate input[name=reason]').inputValue(), 'browser test ' + hostile);
      s.page.expectStatus = 0;
      await s.page.locator('#plan input[name=override]').check();
    }
    await s.page.locator('#activate button.accent').click();
    await s.page.waitForSelector('.done[role=status]');
    assert.match(await s.page.locator('.headline .mode').innerText(), /canary 25 %/);
    assert.match(await s.page.locator('.done').innerText(), /gnomon rollback/);
    const active = await api('/workloads/' + encodeURIComponent(w.workload));
    assert.equal(active.mode, 'canary');
    assert.equal(active.policy.share, 2500);
    assert.equal(active.policy.reason, 'browser test ' + hostile);
    assert.equal(active.policy.salt, undefined);
    // The reason is text everywhere it is shown.
    await s.page.evaluate(() => { document.getElementById('activated').open = true; });
    assert.ok((await s.page.locator('#activated').innerText()).includes(hostile));
    assert.equal(await s.page.locator('img[src=x]').count(), 0);
    await s.page.screenshot({ path: path.join(shots, 'activated.png'), fullPage: true });

    const roll = s.page.locator('.rollback > summary');
    await s.page.evaluate(() => scrollTo(0, 0));
    assert.ok((await roll.boundingBox()).y < 400, 'rolling back needs scrolling');
    await roll.click();
    await s.page.locator('.rollback input[name=reason]').fill('browser test is over');
    await s.page.locator('.rollback form button').click();
    await s.page.waitForFunction(() => document.querySelector('.headline .mode')?.innerText === 'observe');
    assert.match(await s.page.locator('.done').innerText(), /rolled back/);
    assert.equal((await api('/workloads/' + encodeURIComponent(w.workload))).mode, 'observe');
    await clean(s);
  });

  test('requests are filtered in the address, and one is explained candidate by candidate', async () => {
    const s = await start();
    await s.page.goto(base + '/requests');
    const { workloads } = await api('/workloads');
    const name = workloads.find((x) => x.verdicts.length > 0)?.workload ?? workloads[0].workload;
    await s.page.locator('.filter input[name=workload]').fill(name);
    await s.page.locator('.filter select[name=route]').selectOption('would');
    await s.page.waitForFunction((n) => { const q = new URLSearchParams(location.search); return q.get('workload') === n && q.get('route') === 'would'; }, name);
    await s.page.waitForFunction((n) => [...document.querySelectorAll('#request-rows th')].every((c) => c.innerText === n) && document.querySelector('#results'), name);
    assert.equal(new URL(s.page.url()).searchParams.get('status'), null, 'empty fields stand in the address');
    await s.page.reload();
    assert.equal(await s.page.locator('.filter input[name=workload]').inputValue(), name);
    assert.ok(await s.page.locator('#request-rows tr').count() > 0, `no request of ${name} would have moved`);
    await s.page.locator('#request-rows a').first().click();
    await s.page.waitForSelector('table[data-name=candidates]');
    const candidates = s.page.locator('table[data-name=candidates]');
    assert.ok(await candidates.locator('tbody tr').count() >= 2);
    assert.equal(await candidates.locator('tr.chosen').count(), 1);
    assert.match(await s.page.locator('#main').innerText(), /policy version/);
    await s.page.goBack();
    await s.page.waitForFunction((n) => document.querySelector('.filter input[name=workload]')?.value === n, name);
    await s.page.goto(base + '/requests?status=nonsense');
    assert.match(await s.page.locator('.problem').innerText(), /provider_error/);
    await clean(s);
  });

  test('health accounts for every request', async () => {
    const s = await start();
    await s.page.goto(base + '/health');
    const { completeness } = await api('/health');
    assert.equal(await s.page.locator('table[data-name=proxy-lives] tbody tr').count(), completeness.lives.length);
    assert.match(await s.page.locator('.lead').innerText(), /accounted for|on the way|no proxy/);
    await clean(s);
  });

  test('tables sort and are copied as CSV', async () => {
    const s = await start({ permissions: ['clipboard-read', 'clipboard-write'] });
    await s.page.goto(base + '/workloads');
    const spent = () => s.page.locator('table[data-name=workloads] tbody tr td:nth-child(6)').evaluateAll((cells) => cells.map((c) => Number(c.dataset.v)));
    await s.page.getByRole('button', { name: 'Spent' }).click();
    assert.deepEqual(await spent(), (await spent()).toSorted((a, b) => b - a));
    await s.page.getByRole('button', { name: 'Spent' }).click();
    assert.deepEqual(await spent(), (await spent()).toSorted((a, b) => a - b));
    await s.page.getByRole('button', { name: 'Copy as CSV' }).first().click();
    const csv = await s.page.evaluate(() => navigator.clipboard.readText());
    const lines = csv.trim().split('\r\n');
    if (simulated) assert.match(lines.shift(), /SIMULATED/);
    assert.match(lines[0], /^Workload,/);
    assert.equal(lines.length, 1 + (await api('/workloads')).workloads.length);
    await s.page.locator('details.sql summary').first().click();
    assert.match(await s.page.locator('details.sql pre').first().innerText(), /FROM gnomon\.requests AS \w+ FINAL/);
    await clean(s);
  });

  test('text from outside stays text', async () => {
    const s = await start();
    for (const route of [`/search?q=${encodeURIComponent(hostile)}`, `/requests?user=${encodeURIComponent(hostile)}&workload=${encodeURIComponent(hostile)}`]) {
      await s.page.goto(base + route);
      assert.equal(await s.page.locator('img[src=x]').count(), 0);
    }
    s.page.expectStatus = 404;
    await s.page.goto(workloadURL(hostile));
    assert.match(await s.page.locator('h1').innerText(), /There is no workload/);
    s.page.expectStatus = 0;
    for (const w of (await api('/workloads')).workloads) {
      await s.page.goto(workloadURL(w.workload));
      assert.equal(await s.page.locator('h1').innerText(), w.workload);
      assert.equal(await s.page.locator('main img').count(), 0);
    }
    await clean(s);
  });

  test('another host or origin is refused', async () => {
    const host = new URL(base).host;
    for (const [headers, status] of [
      [{ host }, 200], [{ host: 'evil.example' }, 403], [{ host: 'localhost.evil.example:8081' }, 403],
      [{ host, origin: 'https://evil.example' }, 403], [{ host, origin: 'null' }, 403], [{ host, origin: `http://${host}` }, 200],
    ]) {
      for (const route of ['/', '/api/v1/status']) {
        assert.equal((await raw(route, headers)).status, status, `${route} with ${JSON.stringify(headers)}`);
      }
    }
    assert.equal((await raw('/healthz', { host: 'evil.example' })).status, 200);
    const { workloads } = await api('/workloads');
    const form = await raw('/workloads/' + encodeURIComponent(workloads[0].workload), { host, 'content-type': 'application/x-www-form-urlencoded' }, 'POST');
    assert.equal(form.status, 403);
  });

  test('every page reads without JavaScript', async () => {
    const { context, page } = await open(browser, { javaScriptEnabled: false });
    for (const route of ['/', '/workloads', '/requests', '/health']) {
      assert.equal((await page.goto(base + route)).status(), 200);
      assert.ok(await page.locator('table').count() > 0, route);
    }
    await context.close();
  });

  for (const scheme of ['light', 'dark']) {
    test(`pages fit 390, 1024, 1280 and 2560 px and can be read (${scheme})`, async () => {
      const { workloads } = await api('/workloads');
      const { requests } = await api('/requests?limit=1');
      const pages = { overview: '/', workloads: '/workloads', requests: '/requests', health: '/health', request: '/requests/' + requests[0]?.request_id };
      for (const word of ['ready', 'collecting', 'worse', 'not worthwhile']) {
        const w = workloads.find((x) => x.verdicts[0]?.readiness === word);
        if (w) pages['workload-' + word.replace(' ', '-')] = workloadURL(w.workload).slice(base.length);
      }
      for (const width of [390, 1024, 1280, 2560]) {
        const s = await start({ viewport: { width, height: width === 390 ? 800 : 1000 }, colorScheme: scheme });
        for (const [name, route] of Object.entries(pages)) {
          await s.page.goto(base + route);
          const charts = await s.page.locator('figure[data-chart]').count();
          if (charts) await s.page.waitForFunction(() => document.querySelectorAll('figure[data-chart]:not([data-drawn])').length === 0);
          assert.ok(await s.page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${name} is wider than ${width} px`);
          const cut = await s.page.evaluate(() => [...document.querySelectorAll('.tablewrap')].filter((e) => e.scrollWidth > e.clientWidth).map((e) => e.querySelector('table').dataset.name));
          if (width > 1000) assert.deepEqual(cut, [], `${name}: tables are cut at ${width} px`);
          if (name === 'workloads') assert.ok(await s.page.evaluate(() => [...document.querySelectorAll('table[data-name=workloads] .save')].every((e) => e.getBoundingClientRect().right <= innerWidth)), `savings stand outside ${width} px`);
          const faint = await s.page.evaluate(faintText);
          assert.deepEqual(faint, [], `${name} (${scheme}) holds text below AA contrast`);
          await s.page.screenshot({ path: path.join(shots, `${name}-${scheme}-${width}.png`), fullPage: true });
        }
        await clean(s);
      }
    });
  }
});

// faintText lists visible texts whose contrast to the colour behind them is
// below WCAG AA. It runs in the page.
function faintText() {
  const parse = (c) => { const m = c.match(/[\d.]+/g).map(Number); return { r: m[0], g: m[1], b: m[2], a: m[3] ?? 1 }; };
  const over = (f, b) => ({ r: f.r * f.a + b.r * (1 - f.a), g: f.g * f.a + b.g * (1 - f.a), b: f.b * f.a + b.b * (1 - f.a), a: 1 });
  const lum = ({ r, g, b }) => {
    const [x, y, z] = [r, g, b].map((v) => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = (el) => {
    const stack = [];
    for (let e = el; e; e = e.parentElement) {
      const s = getComputedStyle(e);
      if (s.backgroundImage !== 'none') return null; // a pattern: judged by eye
      const c = parse(s.backgroundColor);
      if (c.a > 0) stack.push(c);
      if (c.a === 1) break;
    }
    return stack.reverse().reduce((b, c) => over(c, b), parse(getComputedStyle(document.body).backgroundColor));
  };
  const found = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const el = walk.currentNode.parentElement;
    const text = walk.currentNode.textContent.trim();
    if (!text || !el.checkVisibility() || el.closest('[aria-hidden=true], .vh, .skip, option, dialog:not([open])')) continue;
    const b = behind(el);
    if (!b) continue;
    const s = getComputedStyle(el);
    const f = over(parse(s.color), b);
    const [hi, lo] = [lum(f), lum(b)].sort((x, y) => y - x);
    const ratio = (hi + 0.05) / (lo + 0.05);
    const large = parseFloat(s.fontSize) >= 24 || (parseFloat(s.fontSize) >= 18.66 && Number(s.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) found.push(`${text.slice(0, 40)} (${ratio.toFixed(2)})`);
  }
  return [...new Set(found)];
}

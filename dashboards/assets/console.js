// Sorting, CSV, keys and times. Without it every page still reads.
(() => {
  'use strict';
  const simulated = document.body.dataset.simulated === 'true';

  const say = (text) => {
    const el = document.getElementById('said');
    el.textContent = text;
    setTimeout(() => { if (el.textContent === text) el.textContent = ''; }, 2500);
  };

  // Times in the viewer's zone; UTC stays in the title.
  const localTime = (el) => {
    const t = new Date(el.dateTime);
    if (Number.isNaN(t.getTime())) return;
    const today = t.toDateString() === new Date().toDateString();
    el.textContent = t.toLocaleString('en-GB', today ? { hour: '2-digit', minute: '2-digit', second: '2-digit' } : { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' });
    if (today) el.textContent = 'today ' + el.textContent;
    el.dataset.local = '1';
  };

  const value = (cell) => cell?.dataset.v ?? cell?.textContent.trim() ?? '';
  const compare = (a, b) => {
    const x = a === '' || a === '–' ? NaN : Number(a.replace(/,/g, ''));
    const y = b === '' || b === '–' ? NaN : Number(b.replace(/,/g, ''));
    if (!Number.isNaN(x) && !Number.isNaN(y)) return x - y;
    if (Number.isNaN(x) !== Number.isNaN(y)) return Number.isNaN(x) ? 1 : -1;
    return a.localeCompare(b);
  };

  const sortable = (table) => {
    [...table.tHead.rows[0].cells].forEach((th, i) => {
      if (th.hasAttribute('data-nosort') || !th.textContent.trim()) return;
      const b = document.createElement('button');
      b.type = 'button';
      b.append(...th.childNodes);
      th.append(b);
      b.addEventListener('click', () => {
        const first = th.classList.contains('num') ? 'descending' : 'ascending';
        const other = first === 'ascending' ? 'descending' : 'ascending';
        const dir = th.getAttribute('aria-sort') === first ? other : first;
        for (const h of table.tHead.rows[0].cells) h.removeAttribute('aria-sort');
        th.setAttribute('aria-sort', dir);
        const rows = [...table.tBodies[0].rows].sort((r, s) => compare(value(r.cells[i]), value(s.cells[i])) * (dir === 'ascending' ? 1 : -1));
        table.tBodies[0].append(...rows);
      });
    });
  };

  // A cell that a spreadsheet would run as a formula gets a quote in front.
  const csvCell = (text) => {
    let t = text.replace(/\s+/g, ' ').trim();
    if (/^[=+@\t\r]/.test(t) || /^-[^\d.]/.test(t)) t = "'" + t;
    return /[",\n]/.test(t) ? '"' + t.replace(/"/g, '""') + '"' : t;
  };
  const csv = (table) => {
    const rows = [...table.rows].map((r) => [...r.cells].map((c, i) => {
      const numeric = c.classList.contains('num') && c.dataset.v !== undefined && c.tagName === 'TD' && !/^unpriced/.test(c.textContent.trim());
      return table.tHead.rows[0].cells[i]?.hasAttribute('data-nosort') ? null : csvCell(numeric ? c.dataset.v : (c.querySelector('time')?.dateTime ?? c.textContent));
    }).filter((c) => c !== null).join(','));
    return (simulated ? '# SIMULATED: from a gnomon demo\r\n' : '') + rows.join('\r\n') + '\r\n';
  };
  const copy = async (text, said) => {
    try { await navigator.clipboard.writeText(text); } catch {
      const area = document.createElement('textarea'); // plain http on another host has no clipboard
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand('copy');
      area.remove();
    }
    say(said);
  };

  const tools = (table) => {
    const bar = document.createElement('div');
    bar.className = 'tabletools';
    const b = document.createElement('button');
    b.type = 'button';
    b.textContent = 'Copy as CSV';
    b.addEventListener('click', () => copy(csv(table), table.tBodies[0].rows.length + ' rows copied'));
    bar.append(b);
    table.closest('.tablewrap').before(bar);
  };

  const enhance = (root) => {
    root.querySelectorAll('time:not([data-local])').forEach(localTime);
    root.querySelectorAll('table.data:not([data-ready])').forEach((t) => {
      t.dataset.ready = '1';
      if (t.hasAttribute('data-sortable')) sortable(t);
      tools(t);
    });
    root.querySelectorAll('[data-remember]:not([data-ready])').forEach((el) => {
      el.dataset.ready = '1';
      const key = 'gnomon.' + el.dataset.remember;
      if (!el.value) el.value = localStorage.getItem(key) ?? '';
      el.addEventListener('change', () => localStorage.setItem(key, el.value));
    });
  };

  const openTarget = () => {
    const el = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (el instanceof HTMLDetailsElement) { el.open = true; el.scrollIntoView(); }
  };

  document.addEventListener('click', (e) => {
    const link = e.target.closest?.('[data-copy-link]');
    if (link) copy(location.origin + location.pathname, 'Link copied');
    const help = e.target.closest?.('.keys');
    if (help) document.getElementById('help').showModal();
  });

  let went = 0;
  document.addEventListener('keydown', (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey || e.target.closest?.('input, textarea, select, [contenteditable]')) return;
    const goes = { o: '/', w: '/workloads', r: '/requests', h: '/health' };
    if (e.key === '/') { e.preventDefault(); document.getElementById('search').focus(); }
    else if (e.key === '?') { document.getElementById('help').showModal(); }
    else if (e.key === 'g') { went = Date.now(); return; }
    else if (went && Date.now() - went < 1500 && goes[e.key]) { location.assign(goes[e.key]); }
    went = 0;
  });

  document.addEventListener('htmx:after:swap', () => enhance(document));
  // An address holds only what was chosen: /requests?status=ok, not every empty field.
  document.addEventListener('htmx:config:request', (e) => {
    const { sourceElement, request } = e.detail.ctx;
    if (!sourceElement?.matches?.('form.filter') || !request.body?.entries) return;
    for (const [k, v] of [...request.body.entries()]) if (v === '') request.body.delete(k);
  });
  document.addEventListener('htmx:error', () => say('gnomon did not answer. What is shown may be old.'));
  addEventListener('hashchange', openTarget);
  enhance(document);
  openTarget();
})();

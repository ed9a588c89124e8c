// ClickHouse's own client for Node against the engine that gnomon brings along.
// CLICKHOUSE_URL says where it is, CLICKHOUSE_PASSWORD is the writer's; rows of
// gnomon.requests are there already.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { createClient, ClickHouseError, ClickHouseLogLevel } from '@clickhouse/client';

const url = process.env.CLICKHOUSE_URL;
const log = { level: ClickHouseLogLevel.OFF };
const reader = createClient({ url, log, compression: { response: true } });
const writer = createClient({
  url, log, username: 'gnomon', password: process.env.CLICKHOUSE_PASSWORD, compression: { response: true, request: true },
});
const query_id = () => crypto.randomUUID();
const all = async (c, query, more = {}) => (await c.query({ query, format: 'JSONEachRow', ...more })).json();

before(async () => {
  await writer.command({ query: 'CREATE DATABASE IF NOT EXISTS node' });
  await writer.command({
    query: `CREATE OR REPLACE TABLE node.t (id UInt64, at DateTime64(3, 'UTC'), name LowCardinality(String), cost Nullable(Decimal(18, 9)),
      tags Map(LowCardinality(String), String), rejects Array(UInt16), uid UUID, ok Bool) ENGINE = MergeTree ORDER BY id SETTINGS non_replicated_deduplication_window = 100`,
  });
});
after(async () => { await reader.close(); await writer.close(); });

const row = (id) => ({
  id: String(id), at: '2026-11-21 10:00:00.123', name: 'nä\'me', cost: id % 2 ? null : '0.000000001', tags: { env: 'prod' }, rejects: [1, 65535],
  uid: '01a1fd4a-3e82-7c47-a480-6c5073ebe86d', ok: true,
});

test('it answers a ping, and a ping that selects', async () => {
  assert.equal((await reader.ping()).success, true);
  assert.equal((await reader.ping({ select: true })).success, true);
});

test('what is inserted, packed, comes back in every type', async () => {
  await writer.insert({ table: 'node.t', values: [row(1), row(2)], format: 'JSONEachRow' });
  const rows = await all(reader, 'SELECT * FROM node.t WHERE id <= 2 ORDER BY id', { clickhouse_settings: { output_format_json_quote_64bit_integers: 1, output_format_json_quote_decimals: 1 } });
  assert.deepEqual(rows, [row(1), row(2)]);
});

test('an insert from a stream, a batch under a token and a waiting asynchronous insert are stored once', async () => {
  const { Readable } = await import('node:stream');
  await writer.insert({ table: 'node.t', values: Readable.from((function* () { for (let i = 100; i < 1100; i++) yield row(i); })()), format: 'JSONEachRow' });
  for (let i = 0; i < 2; i++) {
    await writer.insert({ table: 'node.t', values: [row(5000), row(5001)], format: 'JSONEachRow', clickhouse_settings: { insert_deduplication_token: 'node-1' } });
  }
  await writer.insert({ table: 'node.t', values: [row(6000)], format: 'JSONEachRow', clickhouse_settings: { async_insert: 1, wait_for_async_insert: 1 } });
  assert.deepEqual(await all(reader, 'SELECT toUInt32(count()) AS n, toUInt32(uniqExact(id)) AS u FROM node.t WHERE id >= 100'), [{ n: 1003, u: 1003 }]);
});

test('parameters are bound, and cannot be SQL', async () => {
  const query_params = { s: "x' OR 1=1 --", n: 7, a: [1, 2, 3], at: new Date(0) };
  const rows = await all(reader, 'SELECT {s:String} AS s, {n:UInt8} AS n, arraySum({a:Array(UInt8)}) AS a, toString({at:DateTime64(3)}) AS at', { query_params });
  assert.equal(rows[0].s, query_params.s);
  assert.equal(rows[0].n, 7);
});

test('an answer is streamed row by row, and can be left in the middle', async () => {
  const rs = await reader.query({ query: 'SELECT number FROM numbers(1000000)', format: 'JSONCompactEachRow' });
  let n = 0;
  for await (const rows of rs.stream()) n += rows.length;
  assert.equal(n, 1_000_000);
  const id = query_id();
  const endless = await reader.query({ query: "SELECT number, 'left' FROM system.numbers", format: 'JSONEachRow', query_id: id });
  assert.equal(endless.query_id, id);
  for await (const rows of endless.stream()) if (rows.length) break;
  endless.close();
  const running = () => all(writer, "SELECT toUInt32(count()) AS n FROM system.processes WHERE query LIKE '%''left''%' AND query NOT LIKE '%processes%'");
  for (const began = Date.now(); (await running())[0].n !== 0;) assert.ok(Date.now() - began < 10_000, 'the query has not ended');
});

test('a request is given up before its answer', async () => {
  const left = new AbortController();
  const asked = reader.query({ query: "SELECT count() FROM system.numbers WHERE NOT ignore(SHA256(toString(number)))", abort_signal: left.signal });
  setTimeout(() => left.abort(), 200);
  await assert.rejects(asked);
});

test('JSON with its totals, CSV and Parquet are whole', async () => {
  const json = await (await reader.query({ query: 'SELECT count() AS n FROM node.t GROUP BY ok WITH TOTALS', format: 'JSON' })).json();
  assert.equal(json.rows, 1);
  assert.ok(json.totals && json.statistics);
  const csv = await (await reader.query({ query: 'SELECT id, name FROM node.t WHERE id = 1', format: 'CSVWithNames' })).text();
  assert.equal(csv, '"id","name"\n1,"nä\'me"\n');
  const { stream } = await reader.exec({ query: 'SELECT number FROM numbers(10) FORMAT Parquet' });
  const parts = [];
  for await (const c of stream) parts.push(c);
  assert.equal(Buffer.concat(parts).subarray(0, 4).toString(), 'PAR1');
});

test('exceptions are told as such: at once, and after a million rows', async () => {
  await assert.rejects(all(reader, 'SELECT * FROM node.nowhere'), (e) => e instanceof ClickHouseError && e.code === '60');
  await assert.rejects(all(reader, 'SELEC 1'), (e) => e instanceof ClickHouseError);
  const rs = await reader.query({ query: 'SELECT number, throwIf(number = 2900000) FROM numbers(3000000)', format: 'JSONCompactEachRow' });
  let n = 0;
  await assert.rejects(async () => { for await (const rows of rs.stream()) n += rows.length; });
  assert.ok(n > 0 && n < 2_900_001);
});

test('who has no password can read and nothing else', async () => {
  for (const query of ['INSERT INTO node.t (id) SELECT 1', 'DROP TABLE node.t', "KILL QUERY WHERE query_id = 'x'", 'SYSTEM STOP MERGES', "SELECT file('/etc/passwd')"]) {
    await assert.rejects(reader.command({ query }), (e) => e instanceof ClickHouseError && e.code === '164', query);
  }
  await assert.rejects(createClient({ url, log, username: 'gnomon', password: 'wrong' }).command({ query: 'SELECT 1' }), (e) => e.code === '516');
});

test('a session may be named; what would live in it is refused in words', async () => {
  const c = createClient({ url, log, username: 'gnomon', password: process.env.CLICKHOUSE_PASSWORD, session_id: 'mine' });
  assert.deepEqual(await all(c, 'SELECT 1 AS one'), [{ one: 1 }]);
  await assert.rejects(c.command({ query: 'CREATE TEMPORARY TABLE t (a UInt8)' }), (e) => e.code === '48' && /session/.test(e.message));
  await c.close();
});

test("gnomon's own tables and views are read", async () => {
  const rows = await all(reader, 'SELECT * FROM gnomon.requests FINAL ORDER BY ts LIMIT 5');
  assert.ok(rows.length > 0 && rows[0].request_id.length === 36 && rows[0].project);
  assert.ok((await all(reader, 'SELECT * FROM gnomon.completeness')).length > 0);
});

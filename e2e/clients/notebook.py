"""What a notebook does, against the engine that gnomon brings along: the standard
library's HTTP client, and clickhouse-connect where it is installed.

CLICKHOUSE_URL says where the engine is, CLICKHOUSE_PASSWORD is the writer's.
"""
import gzip
import json
import os
import urllib.error
import urllib.parse
import urllib.request

URL = urllib.parse.urlsplit(os.environ["CLICKHOUSE_URL"])
PASSWORD = os.environ["CLICKHOUSE_PASSWORD"]


def ask(query, body=None, headers=None, **params):
    address = f"http://{URL.netloc}/?" + urllib.parse.urlencode({"query": query, **params})
    with urllib.request.urlopen(urllib.request.Request(address, data=body, headers=headers or {}), timeout=30) as r:
        raw = r.read()
        return gzip.decompress(raw) if r.headers.get("Content-Encoding") == "gzip" else raw


def with_the_standard_library():
    assert ask("SELECT 1") == b"1\n"
    rows = json.loads(ask("SELECT workload, count() AS n FROM gnomon.requests FINAL GROUP BY workload FORMAT JSON", output_format_json_quote_64bit_integers="0"))
    assert rows["data"] and rows["data"][0]["n"] > 0, rows
    assert ask("SELECT {x:UInt8} + 1", param_x="41") == b"42\n"
    assert len(ask("SELECT number FROM numbers(100000) FORMAT CSV", headers={"Accept-Encoding": "gzip"}, enable_http_compression="1")) == 588890
    try:
        ask("DROP TABLE gnomon.requests", body=b"")
        raise AssertionError("a reader may drop a table")
    except urllib.error.HTTPError as e:
        assert e.headers["X-ClickHouse-Exception-Code"] == "164", (e.code, e.read())


def with_clickhouse_connect():
    try:
        import clickhouse_connect
    except ImportError:
        print("skipped: clickhouse-connect is not installed (pip install -r e2e/clients/requirements.txt)")
        return
    from clickhouse_connect.driver.exceptions import DatabaseError

    reader = clickhouse_connect.get_client(host=URL.hostname, port=URL.port)
    assert reader.command("SELECT 1") == 1
    result = reader.query("SELECT * FROM gnomon.requests FINAL LIMIT 10")
    assert len(result.result_rows) > 0 and "request_id" in result.column_names
    assert reader.query("SELECT {x:String} AS x, {n:UInt32} AS n", parameters={"x": "it's", "n": 7}).result_rows == [("it's", 7)]
    n = 0  # this client believes that a read-only user may send no settings: they stand in the query
    with reader.query_row_block_stream("SELECT number, toString(number) FROM numbers(300000) SETTINGS max_block_size = 20000") as stream:
        for block in stream:
            n += len(block)
    assert n == 300000, n
    try:
        reader.query("SELECT * FROM nowhere.at_all")
        raise AssertionError("no exception")
    except DatabaseError as e:
        assert "81" in str(e), e
    reader.close()

    writer = clickhouse_connect.get_client(host=URL.hostname, port=URL.port, username="gnomon", password=PASSWORD)
    writer.command("CREATE DATABASE IF NOT EXISTS notebook")
    writer.command("CREATE OR REPLACE TABLE notebook.t (a UInt32, s LowCardinality(String), d Nullable(Decimal(18, 9)), m Map(String, String), t DateTime64(3, 'UTC')) ENGINE = MergeTree ORDER BY a")
    import datetime
    import decimal
    when = datetime.datetime(2026, 11, 21, 10, 0, 0, 123000, tzinfo=datetime.timezone.utc)
    rows = [[i, "x", decimal.Decimal("0.000000001") if i % 2 else None, {"k": "v"}, when] for i in range(1000)]
    writer.insert("notebook.t", rows, column_names=["a", "s", "d", "m", "t"])
    got = writer.query("SELECT * FROM notebook.t ORDER BY a LIMIT 2").result_rows
    assert [list(r) for r in got] == [[0, "x", None, {"k": "v"}, when], [1, "x", decimal.Decimal("0.000000001"), {"k": "v"}, when]] or [list(r)[:4] for r in got] == [r[:4] for r in rows[:2]], got
    assert writer.command("SELECT count() FROM notebook.t") == 1000
    writer.close()


with_the_standard_library()
print("the standard library: well")
with_clickhouse_connect()
print("clickhouse-connect: well")

CREATE DATABASE IF NOT EXISTS gnomon ON CLUSTER 'main';

CREATE TABLE IF NOT EXISTS gnomon.migrations ON CLUSTER 'main' (name String, digest UInt64, version UInt32, at DateTime64(3, 'UTC') DEFAULT now64(3))
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/gnomon/migrations', '{shard}-{replica}', at) ORDER BY name;

-- One row per accepted request. Promised: read it with FINAL. A declared (lost) row has revision 0, an ended one 1: the true row wins
-- whenever it comes. Nothing in the sorting key changes between begin and end, so one request can never be two rows.
-- Sorted by time, so that a span of it is a range of the table: a session's rows lie near each other, and a page of the newest reads little. A part below
-- min_rows_for_wide_part keeps its columns in one file, and a larger one is merged a column at a time: written at once, each column of a wide part takes
-- a megabyte or two of buffers, more than the embedded engine may use in all.
-- Money: US dollars, exact to the nano; NULL = unpriced. No Enum: a newer gnomon may write words this one does not know.
CREATE TABLE IF NOT EXISTS gnomon.requests_shard ON CLUSTER 'main'
(
    project              LowCardinality(String) CODEC(ZSTD(1)),
    ts                   DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    request_id           UUID CODEC(ZSTD(3)),
    revision             UInt8 CODEC(ZSTD(1)),
    boot_id              UInt64 CODEC(ZSTD(1)),
    seq                  UInt64 CODEC(Delta(8), ZSTD(1)),
    status               LowCardinality(String) CODEC(ZSTD(1)),
    workload             LowCardinality(String) CODEC(ZSTD(1)),
    feature              LowCardinality(String) CODEC(ZSTD(1)),
    team                 LowCardinality(String) CODEC(ZSTD(1)),
    user_id              String CODEC(ZSTD(3)),
    session              String CODEC(ZSTD(3)),
    trace_id             String CODEC(ZSTD(1)),
    tags                 Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    key_id               LowCardinality(String) CODEC(ZSTD(1)),
    client_retry         UInt8 CODEC(ZSTD(1)),
    dialect              LowCardinality(String) CODEC(ZSTD(1)),
    operation            LowCardinality(String) CODEC(ZSTD(1)),
    provider             LowCardinality(String) CODEC(ZSTD(1)),
    baseline_provider    LowCardinality(String) CODEC(ZSTD(1)),
    request_model        LowCardinality(String) CODEC(ZSTD(1)),
    served_model         LowCardinality(String) CODEC(ZSTD(1)),
    response_model       LowCardinality(String) CODEC(ZSTD(1)),
    response_id          String CODEC(ZSTD(3)),
    service_tier         LowCardinality(String) CODEC(ZSTD(1)),
    mode                 LowCardinality(String) CODEC(ZSTD(1)),
    arm                  LowCardinality(String) CODEC(ZSTD(1)),
    bypassed             Bool CODEC(ZSTD(1)),
    fallback             Bool CODEC(ZSTD(1)),
    stream               Bool CODEC(ZSTD(1)),
    http_status          UInt16 CODEC(T64, ZSTD(1)),
    error_type           LowCardinality(String) CODEC(ZSTD(1)),
    finish_reason        LowCardinality(String) CODEC(ZSTD(1)),
    input_tokens         UInt32 CODEC(T64, ZSTD(1)),
    cache_read_tokens    UInt32 CODEC(T64, ZSTD(1)),
    cache_write_tokens   UInt32 CODEC(T64, ZSTD(1)),
    cache_write_1h_tokens UInt32 CODEC(T64, ZSTD(1)),
    audio_input_tokens   UInt32 CODEC(T64, ZSTD(1)),
    output_tokens        UInt32 CODEC(T64, ZSTD(1)),
    reasoning_tokens     UInt32 CODEC(T64, ZSTD(1)),
    audio_output_tokens  UInt32 CODEC(T64, ZSTD(1)),
    usage_source         LowCardinality(String) CODEC(ZSTD(1)),
    price_version        UInt32 CODEC(T64, ZSTD(1)),
    cost                 Nullable(Decimal(18, 9)) CODEC(ZSTD(3)),
    list_cost            Nullable(Decimal(18, 9)) CODEC(ZSTD(3)),
    baseline_cost        Nullable(Decimal(18, 9)) CODEC(ZSTD(3)),
    would_route          LowCardinality(String) CODEC(ZSTD(1)),
    would_cost           Nullable(Decimal(18, 9)) CODEC(ZSTD(3)),
    would_output_cost    Nullable(Decimal(18, 9)) CODEC(ZSTD(3)),
    expected_cost        Nullable(Decimal(18, 9)) CODEC(ZSTD(3)),
    task_class           LowCardinality(String) CODEC(ZSTD(1)),
    score                Float32 CODEC(ZSTD(1)),
    novelty              Float32 CODEC(ZSTD(1)),
    p_adequate           Nullable(Float32) CODEC(ZSTD(1)),
    evidence_state       LowCardinality(String) CODEC(ZSTD(1)),
    held                 LowCardinality(String) CODEC(ZSTD(1)),
    gates                UInt64 CODEC(T64, ZSTD(1)),
    candidates           Array(LowCardinality(String)) CODEC(ZSTD(1)),
    rejects              Array(UInt16) CODEC(ZSTD(1)),
    baseline_reject      UInt16 CODEC(T64, ZSTD(1)),
    inputs               String CODEC(ZSTD(6)),
    classifier_version   UInt32 CODEC(T64, ZSTD(1)),
    policy_version       UInt32 CODEC(T64, ZSTD(1)),
    snapshot_hash        UInt64 CODEC(ZSTD(1)),
    prompt_hash          UInt64 CODEC(ZSTD(1)),
    request_bytes        UInt32 CODEC(T64, ZSTD(1)),
    response_bytes       UInt32 CODEC(T64, ZSTD(1)),
    latency_ms           UInt32 CODEC(T64, ZSTD(1)),
    ttft_ms              Nullable(UInt32) CODEC(T64, ZSTD(1)),
    overhead_us          UInt32 CODEC(T64, ZSTD(1)),
    simulated            Bool CODEC(ZSTD(1)),
    schema_version       LowCardinality(String) CODEC(ZSTD(1)),
    extra                String CODEC(ZSTD(1)),
    INDEX idx_request  request_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_workload workload   TYPE set(64) GRANULARITY 4,
    INDEX idx_status   status     TYPE bloom_filter(0.001) GRANULARITY 4,
    INDEX idx_session  session    TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_trace    trace_id   TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_user     user_id    TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/gnomon/{shard}/requests', '{replica}', revision)
PARTITION BY toYYYYMM(ts)
ORDER BY (project, ts, request_id)
TTL toDateTime(ts) + INTERVAL 400 DAY DELETE
SETTINGS ttl_only_drop_parts = 1, min_rows_for_wide_part = 131072, replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800;

-- What is asked and written: each row goes to the shard of its id.
CREATE TABLE IF NOT EXISTS gnomon.requests ON CLUSTER 'main' AS gnomon.requests_shard
ENGINE = Distributed('main', 'gnomon', 'requests_shard', cityHash64(request_id));

INSERT INTO gnomon.migrations (name, digest, version) SELECT '0002_requests.sql', 628783863369278041, 4;

-- One row per graded pair. sampling_probability NULL: a team's own grade, shown and kept out of verdicts.
CREATE TABLE IF NOT EXISTS gnomon.evaluations ON CLUSTER 'main'
(
    project                LowCardinality(String),
    workload               LowCardinality(String),
    request_model          LowCardinality(String),
    candidate              LowCardinality(String),
    request_ts             DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    graded_at              DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    request_id             UUID,
    evaluation_id          UUID,
    cluster                String CODEC(ZSTD(1)),
    grader                 LowCardinality(String),
    grader_version         LowCardinality(String),
    judge_model            LowCardinality(String),
    baseline_snapshot      LowCardinality(String),
    candidate_snapshot     LowCardinality(String),
    prompt_version         UInt64,
    stratum                LowCardinality(String),
    sampling_probability   Nullable(Float64),
    would_route            LowCardinality(String),
    score                  Float32,
    quality_baseline       Float32,
    quality_candidate      Float32,
    outcome                LowCardinality(String),
    candidate_cost         Nullable(Decimal(18, 9)),
    grading_cost           Nullable(Decimal(18, 9)),
    input_tokens           UInt32,
    output_tokens          UInt32,
    baseline_output_tokens UInt32,
    latency_ms             UInt32,
    simulated              Bool,
    schema_version         LowCardinality(String),
    extra                  String CODEC(ZSTD(1))
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/gnomon/evaluations', '{shard}-{replica}')
PARTITION BY toYYYYMM(request_ts)
ORDER BY (project, workload, request_model, candidate, toStartOfHour(request_ts), request_id, evaluation_id)
TTL toDateTime(request_ts) + INTERVAL 400 DAY DELETE
SETTINGS ttl_only_drop_parts = 1, replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800;

INSERT INTO gnomon.migrations (name, digest, version) SELECT '0003_evaluations.sql', 485809707096479825, 4;

-- What the analyzer found, each time it looked. record is the whole verdict as JSON.
CREATE TABLE IF NOT EXISTS gnomon.verdicts ON CLUSTER 'main'
(
    project       LowCardinality(String),
    workload      LowCardinality(String),
    request_model LowCardinality(String),
    provider      LowCardinality(String),
    candidate     LowCardinality(String),
    computed_at   DateTime64(3, 'UTC'),
    readiness     LowCardinality(String),
    record        String CODEC(ZSTD(3))
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/gnomon/verdicts', '{shard}-{replica}')
ORDER BY (project, workload, request_model, provider, candidate, computed_at)
SETTINGS replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800;

INSERT INTO gnomon.migrations (name, digest, version) SELECT '0004_verdicts.sql', 14244427319193102905, 4;

-- Every policy record ever written, also those that lost a race. record is the whole record as JSON, without the salt: who knows the salt
-- can tell, and choose, the arm of a session. offset is the record's place in the policy log; 0 is the first and "not known".
CREATE TABLE IF NOT EXISTS gnomon.policies ON CLUSTER 'main'
(
    project    LowCardinality(String),
    workload   LowCardinality(String),
    version    UInt32,
    replaces   UInt32,
    at         DateTime64(3, 'UTC'),
    offset     Int64,
    mode       LowCardinality(String),
    candidate  LowCardinality(String),
    share      Decimal(9, 4),
    control    Decimal(9, 4),
    overridden Bool,
    actor      String,
    reason     String,
    record     String CODEC(ZSTD(3))
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/gnomon/policies', '{shard}-{replica}')
ORDER BY (project, workload, version, at, actor)
SETTINGS replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800;

INSERT INTO gnomon.migrations (name, digest, version) SELECT '0005_policies.sql', 2676182479129750436, 4;

-- What proxies were told of a candidate, each time.
CREATE TABLE IF NOT EXISTS gnomon.evidence ON CLUSTER 'main'
(
    project        LowCardinality(String),
    workload       LowCardinality(String),
    request_model  LowCardinality(String),
    candidate      LowCardinality(String),
    at             DateTime64(3, 'UTC'),
    state          LowCardinality(String),
    output_ratio   Float64,
    schema_version LowCardinality(String)
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/gnomon/evidence', '{shard}-{replica}')
ORDER BY (project, workload, request_model, candidate, at)
SETTINGS replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800;

INSERT INTO gnomon.migrations (name, digest, version) SELECT '0006_evidence.sql', 12505397133203613372, 4;

-- What proxies say they accepted: another road than the rows it is held against. Counts only grow within a proxy life, so of each minute
-- the last is kept.
CREATE TABLE IF NOT EXISTS gnomon.heartbeats ON CLUSTER 'main'
(
    boot_id        UInt64,
    proxy          LowCardinality(String),
    at             DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    accepted       UInt64 CODEC(Delta(8), ZSTD(1)),
    ended          UInt64 CODEC(Delta(8), ZSTD(1)),
    dropped        UInt64 CODEC(Delta(8), ZSTD(1)),
    last_seq       UInt64 CODEC(Delta(8), ZSTD(1)),
    schema_version LowCardinality(String)
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/gnomon/heartbeats', '{shard}-{replica}', at)
ORDER BY (boot_id, toStartOfMinute(at))
TTL toDateTime(at) + INTERVAL 400 DAY DELETE
SETTINGS replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800;

INSERT INTO gnomon.migrations (name, digest, version) SELECT '0007_heartbeats.sql', 6419757988019871529, 4;

-- Sequence ranges whose events are gone, ids and all, with the reason. Ranges may overlap, and a true row may still come.
CREATE TABLE IF NOT EXISTS gnomon.declared ON CLUSTER 'main'
(
    boot_id        UInt64,
    first_seq      UInt64,
    last_seq       UInt64,
    reason         LowCardinality(String),
    at             DateTime64(3, 'UTC'),
    schema_version LowCardinality(String)
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/gnomon/declared', '{shard}-{replica}')
ORDER BY (boot_id, first_seq, last_seq)
SETTINGS replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800;

INSERT INTO gnomon.migrations (name, digest, version) SELECT '0008_declared.sql', 13674714253176861025, 4;

-- What decisions were taken by, once per hash: sealed snapshots (gnomon.requests.snapshot_hash) and the price books they name. Never
-- expires: with it and the inputs of a row the decision can be taken again. record is JSON, without salts and credentials.
CREATE TABLE IF NOT EXISTS gnomon.snapshots ON CLUSTER 'main'
(
    kind               LowCardinality(String),
    hash               UInt64,
    project            LowCardinality(String),
    at                 DateTime64(3, 'UTC'),
    classifier_version UInt32,
    model_hash         UInt64,
    rules_hash         UInt64,
    prices_hash        UInt64,
    policies_hash      UInt64,
    schema_version     LowCardinality(String),
    record             String CODEC(ZSTD(3))
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/gnomon/snapshots', '{shard}-{replica}')
ORDER BY (kind, hash)
SETTINGS replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800;

INSERT INTO gnomon.migrations (name, digest, version) SELECT '0009_snapshots.sql', 16522212012429593130, 4;

-- Every record of what a discovered workload is called, also those that lost a race. An empty name takes the one before back. offset is the record's place in
-- its log.
CREATE TABLE IF NOT EXISTS gnomon.names ON CLUSTER 'main'
(
    project  LowCardinality(String),
    workload String,
    version  UInt32,
    replaces UInt32,
    at       DateTime64(3, 'UTC'),
    offset   Int64,
    name     String,
    actor    String,
    reason   String,
    record   String CODEC(ZSTD(3))
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/gnomon/names', '{shard}-{replica}')
ORDER BY (project, workload, version, at, actor)
SETTINGS replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800;

INSERT INTO gnomon.migrations (name, digest, version) SELECT '0010_names.sql', 8948153537797359490, 4;

-- What discovered workloads are called: one row for each that a person has named. workload is the name that its requests were recorded under until then. Promised.
CREATE OR REPLACE VIEW gnomon.workload_names ON CLUSTER 'main' AS
SELECT project, workload, p.latest.1 AS name, p.latest.2 AS since, p.latest.3 AS actor, p.latest.4 AS reason
FROM
(
    SELECT project, workload, argMax(v.first, v.version) AS latest
    FROM
    (
        SELECT project, workload, version, argMin((l.name, l.at, l.actor, l.reason), (l.offset, l.at, l.actor)) AS first
        FROM gnomon.names AS l GROUP BY project, workload, version
    ) AS v
    GROUP BY project, workload
) AS p
WHERE name != '';

INSERT INTO gnomon.migrations (name, digest, version) SELECT '0011_view_workload_names.sql', 17992709370320075953, 4;

-- One row per project and workload, over all that is kept. baseline_cost and would_cost are over the same requests. A workload that a person has named has its name. Promised.
CREATE OR REPLACE VIEW gnomon.workloads ON CLUSTER 'main' AS
SELECT
    project, toLowCardinality(transform(concat(project, '/', workload),
        tupleElement((SELECT arraySort(groupArray((concat(project, '/', workload), name))) FROM gnomon.workload_names), 1),
        tupleElement((SELECT arraySort(groupArray((concat(project, '/', workload), name))) FROM gnomon.workload_names), 2), toString(workload))) AS workload, min(ts) AS first_seen, max(ts) AS last_seen, count() AS requests, uniqCombined64(session) AS sessions,
    countIf(status NOT IN ('ok', 'lost')) AS failed_requests, countIf(status = 'lost') AS lost_requests,
    countIf(status != 'lost' AND r.cost IS NULL) AS unpriced_requests, countIf(usage_source IN ('estimated', 'tokenizer')) AS estimated_requests,
    sum(ifNull(r.cost, 0)) AS cost,
    countIf(status != 'lost' AND (r.baseline_cost IS NULL OR r.would_cost IS NULL)) AS uncompared_requests,
    sumIf(ifNull(r.baseline_cost, 0), r.would_cost IS NOT NULL) AS baseline_cost, sumIf(ifNull(r.would_cost, 0), r.baseline_cost IS NOT NULL) AS would_cost,
    topKIf(3)(request_model, request_model != '') AS top_models, max(r.simulated) AS simulated
FROM gnomon.requests AS r FINAL
GROUP BY project, workload;

INSERT INTO gnomon.migrations (name, digest, version) SELECT '0024_view_workloads.sql', 1375934276006717995, 4;

-- One row per request and candidate, in ladder order, with the reason as a word: 'chosen', or why not. A request for which no candidate was
-- looked at has one row with an empty candidate. A workload that a person has named has its name. Promised. The two lists are filled in from the codes of package schemas.
CREATE OR REPLACE VIEW gnomon.rejects ON CLUSTER 'main' AS
SELECT
    project, toLowCardinality(transform(concat(project, '/', workload),
        tupleElement((SELECT arraySort(groupArray((concat(project, '/', workload), name))) FROM gnomon.workload_names), 1),
        tupleElement((SELECT arraySort(groupArray((concat(project, '/', workload), name))) FROM gnomon.workload_names), 2), toString(workload))) AS workload, ts, request_id, if(baseline_provider = '', provider, baseline_provider) AS from_provider, request_model, would_route,
    one.1 AS candidate, one.3 AS rank, transform(one.2, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33], ['chosen', 'tools', 'parallel_tools', 'vision', 'audio', 'json_mode', 'json_schema', 'logprobs', 'multiple_choices', 'context', 'output_ceiling', 'reasoning', 'signed_thinking', 'server_state', 'repeated_key', 'unreadable', 'no_ladder', 'unpriced', 'not_cheaper', 'dialect', 'no_credential', 'unhealthy', 'score', 'novel', 'bypassed', 'operation', 'better_choice', 'residency', 'prediction', 'provider_tools', 'unknown_candidate', 'classifier', 'anonymous', 'key_scope'], 'unknown') AS reason
FROM
(
    SELECT project, workload, ts, request_id, baseline_provider, provider, request_model, would_route,
        arrayJoin(if(empty(candidates), [('', baseline_reject, toUInt32(0))],
            arrayZip(arrayMap(c -> toString(c), candidates), arrayResize(rejects, length(candidates), 65535), arrayEnumerate(candidates)))) AS one
    FROM gnomon.requests FINAL WHERE status != 'lost'
);

INSERT INTO gnomon.migrations (name, digest, version) SELECT '0026_view_rejects.sql', 11237139475715891300, 4;

-- One row per project, workload, policy version, mode, arm and UTC day, where a policy was in force: what treated and control requests cost and how
-- they fared. Both sums are over the same requests. workload is as recorded: a version is one of its policy. Promised.
CREATE OR REPLACE VIEW gnomon.arms_daily ON CLUSTER 'main' AS
SELECT
    project, workload, policy_version, mode, arm, toDate(ts) AS day,
    count() AS requests, uniqExact(session) AS sessions,
    countIf(served_model != request_model OR (r.baseline_provider != '' AND r.baseline_provider != r.provider)) AS routed_requests,
    countIf(fallback) AS fallback_requests, countIf(status != 'ok') AS failed_requests,
    countIf(r.cost IS NULL OR r.baseline_cost IS NULL) AS unpriced_requests, countIf(usage_source IN ('estimated', 'tokenizer')) AS estimated_requests,
    sumIf(ifNull(r.cost, 0), r.baseline_cost IS NOT NULL) AS cost, sumIf(ifNull(r.baseline_cost, 0), r.cost IS NOT NULL) AS baseline_cost,
    quantileTDigest(0.5)(latency_ms) AS latency_ms_p50, quantileTDigest(0.99)(latency_ms) AS latency_ms_p99
FROM gnomon.requests AS r FINAL
WHERE policy_version > 0 AND status != 'lost'
GROUP BY project, workload, policy_version, mode, arm, day;

INSERT INTO gnomon.migrations (name, digest, version) SELECT '0027_view_arms_daily.sql', 15309992013680179300, 4;

-- One row per project, provider, served model, streamed or not, and hour: how long answers took, and gnomon's own part. Times are of requests
-- that ended well; NULL where there is none. Promised.
CREATE OR REPLACE VIEW gnomon.latency_hourly ON CLUSTER 'main' AS
SELECT
    project, provider, served_model, stream, hour, q.requests AS requests, q.failed AS failed_requests, q.limited AS rate_limited_requests,
    if(isNaN(q.latency[1]), NULL, q.latency[1]) AS latency_ms_p50, if(isNaN(q.latency[2]), NULL, q.latency[2]) AS latency_ms_p90, if(isNaN(q.latency[3]), NULL, q.latency[3]) AS latency_ms_p99,
    if(isNaN(q.first[1]), NULL, q.first[1]) AS ttft_ms_p50, if(isNaN(q.first[2]), NULL, q.first[2]) AS ttft_ms_p90, if(isNaN(q.first[3]), NULL, q.first[3]) AS ttft_ms_p99,
    q.ours[1] AS overhead_us_p50, q.ours[2] AS overhead_us_p99
FROM
(
    SELECT
        project, provider, served_model, stream, toStartOfHour(ts) AS hour,
        count() AS requests, countIf(status != 'ok') AS failed, countIf(http_status = 429) AS limited,
        quantilesTDigestIf(0.5, 0.9, 0.99)(r.latency_ms, status = 'ok') AS latency,
        quantilesTDigestIf(0.5, 0.9, 0.99)(ifNull(r.ttft_ms, 0), status = 'ok' AND r.ttft_ms IS NOT NULL) AS first,
        quantilesTDigest(0.5, 0.99)(r.overhead_us) AS ours
    FROM gnomon.requests AS r FINAL
    WHERE status != 'lost'
    GROUP BY project, provider, served_model, stream, hour
) AS q;

INSERT INTO gnomon.migrations (name, digest, version) SELECT '0028_view_latency_hourly.sql', 2523997293656398494, 4;

-- One row per project, workload, requested model, candidate, grader and UTC day of the observed requests: pairs, how they were graded, and what
-- they cost. A workload that a person has named has its name. Promised.
CREATE OR REPLACE VIEW gnomon.rehearsals_daily ON CLUSTER 'main' AS
SELECT
    project, toLowCardinality(transform(concat(project, '/', workload),
        tupleElement((SELECT arraySort(groupArray((concat(project, '/', workload), name))) FROM gnomon.workload_names), 1),
        tupleElement((SELECT arraySort(groupArray((concat(project, '/', workload), name))) FROM gnomon.workload_names), 2), toString(workload))) AS workload, request_model, candidate, grader, toDate(request_ts) AS day,
    count() AS pairs, countIf(outcome = 'graded') AS graded, countIf(outcome = 'ungraded') AS ungraded, countIf(outcome IN ('failed', 'refused', 'truncated')) AS failed,
    countIf(sampling_probability IS NULL) AS own_grades,
    avgIf(toFloat64(e.quality_candidate) - toFloat64(e.quality_baseline), outcome != 'ungraded' AND grader != '') AS mean_difference,
    countIf(e.candidate_cost IS NULL) AS unpriced_pairs, sum(ifNull(e.candidate_cost, 0) + ifNull(e.grading_cost, 0)) AS cost
FROM gnomon.evaluations AS e FINAL
GROUP BY project, workload, request_model, candidate, grader, day;

INSERT INTO gnomon.migrations (name, digest, version) SELECT '0029_view_rehearsals_daily.sql', 11882479852603188975, 4;

-- The latest verdict of each workload, requested model and candidate. Amounts are US dollars a month; NULL where the verdict has none. What was said of a workload under a name that
-- a person has replaced is left out. Promised.
CREATE OR REPLACE VIEW gnomon.latest_verdicts ON CLUSTER 'main' AS
SELECT
    project, workload, request_model, provider, candidate, v.at AS computed_at, v.readiness AS readiness, JSONExtractString(v.record, 'brief') AS brief,
    toDecimal128(JSONExtractInt(v.record, 'savings', 'saving_month'), 9) / 1000000000 AS saving_month,
    toDecimal128(JSONExtract(v.record, 'savings', 'saving_month_lo', 'Nullable(Int64)'), 9) / 1000000000 AS saving_month_lo,
    toDecimal128(JSONExtract(v.record, 'savings', 'saving_month_hi', 'Nullable(Int64)'), 9) / 1000000000 AS saving_month_hi,
    toDecimal128(JSONExtractInt(v.record, 'savings', 'baseline_month'), 9) / 1000000000 AS baseline_month,
    toDecimal128(JSONExtractInt(v.record, 'savings', 'would_month'), 9) / 1000000000 AS would_month,
    toDecimal128(JSONExtractInt(v.record, 'savings', 'rehearsal_spend'), 9) / 1000000000 AS rehearsal_spend,
    JSONExtractUInt(v.record, 'savings', 'days') AS days, JSONExtractFloat(v.record, 'savings', 'routed_share') AS routed_share,
    JSONExtractFloat(v.record, 'savings', 'unpriced_share') AS unpriced_share, JSONExtractFloat(v.record, 'savings', 'estimated_share') AS estimated_share,
    JSONExtractUInt(v.record, 'quality', 'pairs') AS pairs, JSONExtractFloat(v.record, 'quality', 'mean') AS quality_mean,
    JSONExtractFloat(v.record, 'quality', 'lower') AS quality_lower, JSONExtractFloat(v.record, 'quality', 'upper') AS quality_upper,
    JSONExtract(v.record, 'reasons', 'Array(String)') AS reasons,
    arrayMap(w -> JSONExtractString(w, 'text'), JSONExtractArrayRaw(v.record, 'warnings')) AS warnings,
    JSONExtractBool(v.record, 'simulated') AS simulated, v.record AS record
FROM
(
    SELECT project, workload, request_model, provider, candidate, max(l.computed_at) AS at, argMax(l.readiness, l.computed_at) AS readiness, argMax(l.record, l.computed_at) AS record
    FROM gnomon.verdicts AS l WHERE (project, workload) NOT IN (SELECT project, workload FROM gnomon.workload_names) GROUP BY project, workload, request_model, provider, candidate
) AS v;

INSERT INTO gnomon.migrations (name, digest, version) SELECT '0030_view_latest_verdicts.sql', 8367877472465274346, 4;

-- The policies that hold or held: of each version the record that came first in the log. Promised.
CREATE OR REPLACE VIEW gnomon.accepted_policies ON CLUSTER 'main' AS
SELECT
    project, workload, version, p.first.1 AS since, p.first.2 AS mode, p.first.3 AS candidate, p.first.4 AS share, p.first.5 AS control,
    p.first.6 AS overridden, p.first.7 AS actor, p.first.8 AS reason, p.first.9 AS record
FROM
(
    SELECT project, workload, version,
        argMin((l.at, l.mode, l.candidate, l.share, l.control, l.overridden, l.actor, l.reason, l.record), (l.offset, l.at, l.actor)) AS first
    FROM gnomon.policies AS l GROUP BY project, workload, version
) AS p;

INSERT INTO gnomon.migrations (name, digest, version) SELECT '0031_view_accepted_policies.sql', 16080743714738488374, 4;

-- One row per request with what a cell of the rollup sums, so that rollup, views and checks mean the same by each word; not a promise. An amount that is not
-- known adds 0 and is counted. compared_…: over requests whose baseline and would-be cost are both known.
CREATE OR REPLACE VIEW gnomon.request_measures ON CLUSTER 'main' AS
SELECT
    project, toStartOfHour(ts) AS hour, ts,
    workload, team, provider, if(r.baseline_provider = '', r.provider, r.baseline_provider) AS from_provider, request_model, served_model, would_route, evidence_state,
    mode, arm, policy_version, simulated,
    r.baseline_cost IS NOT NULL AND r.would_cost IS NOT NULL AS compared, overhead_us,
    toUInt64(1) AS requests, CAST(status NOT IN ('ok', 'lost'), 'UInt64') AS failed, CAST(status = 'lost', 'UInt64') AS lost, CAST(status != 'lost' AND r.cost IS NULL, 'UInt64') AS unpriced,
    CAST(status != 'lost' AND NOT compared, 'UInt64') AS uncompared, CAST(usage_source IN ('estimated', 'tokenizer'), 'UInt64') AS estimated, CAST(compared AND usage_source IN ('estimated', 'tokenizer'), 'UInt64') AS compared_estimated,
    toUInt64(fallback) AS fallbacks, toUInt64(r.input_tokens) AS input_tokens, toUInt64(r.cache_read_tokens) AS cache_read_tokens, toUInt64(r.cache_write_tokens) AS cache_write_tokens,
    toUInt64(r.output_tokens) AS output_tokens, toUInt64(r.reasoning_tokens) AS reasoning_tokens,
    toDecimal128(ifNull(r.cost, 0), 9) AS cost, toDecimal128(ifNull(r.list_cost, 0), 9) AS list_cost,
    toDecimal128(ifNull(r.baseline_cost, 0), 9) AS baseline_cost, toDecimal128(ifNull(r.would_cost, 0), 9) AS would_cost,
    toDecimal128(if(compared, ifNull(r.baseline_cost, 0), 0), 9) AS compared_baseline_cost, toDecimal128(if(compared, ifNull(r.would_cost, 0), 0), 9) AS compared_would_cost,
    toDecimal128(if(compared, ifNull(r.would_output_cost, 0), 0), 9) AS compared_would_output_cost
FROM gnomon.requests AS r FINAL;

INSERT INTO gnomon.migrations (name, digest, version) SELECT '0038_view_request_measures.sql', 14360089758395028107, 4;

-- The rollup by day: of each project and UTC day that is over one row, whose arrays are the sums of the cells of gnomon.requests_1h. summed is the sum of those
-- hours' delivered, read before the cells were: while it is another one than theirs, the hours are read. Never expires.
CREATE TABLE IF NOT EXISTS gnomon.requests_1d ON CLUSTER 'main'
(
    project LowCardinality(String),
    day     DateTime('UTC'),
    summed  UInt64,
    cells Nested
    (
        workload LowCardinality(String),
        team LowCardinality(String),
        provider LowCardinality(String),
        from_provider LowCardinality(String),
        request_model LowCardinality(String),
        served_model LowCardinality(String),
        would_route LowCardinality(String),
        evidence_state LowCardinality(String),
        mode LowCardinality(String),
        arm LowCardinality(String),
        policy_version UInt32,
        simulated Bool,
        requests UInt64,
        failed UInt64,
        lost UInt64,
        unpriced UInt64,
        uncompared UInt64,
        estimated UInt64,
        compared_estimated UInt64,
        fallbacks UInt64,
        input_tokens UInt64,
        cache_read_tokens UInt64,
        cache_write_tokens UInt64,
        output_tokens UInt64,
        reasoning_tokens UInt64,
        cost Decimal(38, 9),
        list_cost Decimal(38, 9),
        baseline_cost Decimal(38, 9),
        would_cost Decimal(38, 9),
        compared_baseline_cost Decimal(38, 9),
        compared_would_cost Decimal(38, 9),
        compared_would_output_cost Decimal(38, 9)
    )
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/gnomon/requests_1d', '{shard}-{replica}', summed)
PARTITION BY toYear(day)
ORDER BY (project, day)
SETTINGS index_granularity = 64;

INSERT INTO gnomon.migrations (name, digest, version) SELECT '0039_requests_1d.sql', 4448623630919838739, 4;

-- How many rows ingest has sent of each hour, repetitions among them. Written after the rows and before their messages are done with, so that a crash
-- between the two sends both again: an hour whose count is not the one its rollup was computed at has to be computed anew. No clock decides it.
CREATE TABLE IF NOT EXISTS gnomon.deliveries ON CLUSTER 'main'
(
    project   LowCardinality(String),
    hour      DateTime('UTC'),
    delivered UInt64
)
ENGINE = ReplicatedSummingMergeTree('/clickhouse/tables/gnomon/deliveries', '{shard}-{replica}')
ORDER BY (project, hour)
TTL hour + INTERVAL 400 DAY DELETE;

INSERT INTO gnomon.migrations (name, digest, version) SELECT '0040_deliveries.sql', 9704456650224265081, 4;

-- The rollup: of each project and hour one row, whose arrays are the hour's cells. Computed by ingest from gnomon.requests FINAL and replaced as a whole,
-- so that a re-delivery never counts twice, a cell that is no more leaves nothing behind, and no reader sees half an hour. delivered is the count
-- (gnomon.deliveries) that was read before the rows were. Never expires.
CREATE TABLE IF NOT EXISTS gnomon.requests_1h ON CLUSTER 'main'
(
    project     LowCardinality(String),
    hour        DateTime('UTC'),
    delivered   UInt64,
    computed_at DateTime64(3, 'UTC') DEFAULT now64(3),
    requests    UInt64,
    first_ts    DateTime64(3, 'UTC'),
    last_ts     DateTime64(3, 'UTC'),
    simulated   Bool,
    overhead    AggregateFunction(quantilesTDigest(0.5, 0.99), UInt32),
    cells Nested
    (
        workload LowCardinality(String),
        team LowCardinality(String),
        provider LowCardinality(String),
        from_provider LowCardinality(String),
        request_model LowCardinality(String),
        served_model LowCardinality(String),
        would_route LowCardinality(String),
        evidence_state LowCardinality(String),
        mode LowCardinality(String),
        arm LowCardinality(String),
        policy_version UInt32,
        simulated Bool,
        requests UInt64,
        failed UInt64,
        lost UInt64,
        unpriced UInt64,
        uncompared UInt64,
        estimated UInt64,
        compared_estimated UInt64,
        fallbacks UInt64,
        input_tokens UInt64,
        cache_read_tokens UInt64,
        cache_write_tokens UInt64,
        output_tokens UInt64,
        reasoning_tokens UInt64,
        cost Decimal(38, 9),
        list_cost Decimal(38, 9),
        baseline_cost Decimal(38, 9),
        would_cost Decimal(38, 9),
        compared_baseline_cost Decimal(38, 9),
        compared_would_cost Decimal(38, 9),
        compared_would_output_cost Decimal(38, 9)
    )
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/gnomon/requests_1h', '{shard}-{replica}', delivered)
PARTITION BY toYYYYMM(hour)
ORDER BY (project, hour)
SETTINGS index_granularity = 64;

INSERT INTO gnomon.migrations (name, digest, version) SELECT '0041_requests_1h.sql', 12228461821676908693, 4;

-- Why candidates were not chosen, by hour, as gnomon.requests_1h keeps it and written before it. would: another candidate was chosen.
CREATE TABLE IF NOT EXISTS gnomon.rejects_1h ON CLUSTER 'main'
(
    project   LowCardinality(String),
    hour      DateTime('UTC'),
    delivered UInt64,
    cells Nested
    (
        workload LowCardinality(String),
        from_provider LowCardinality(String),
        request_model LowCardinality(String),
        candidate LowCardinality(String),
        rank UInt16,
        would Bool,
        reject UInt16,
        requests UInt64
    )
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/gnomon/rejects_1h', '{shard}-{replica}', delivered)
PARTITION BY toYYYYMM(hour)
ORDER BY (project, hour)
SETTINGS index_granularity = 64;

INSERT INTO gnomon.migrations (name, digest, version) SELECT '0042_rejects_1h.sql', 4410910233096464713, 4;

-- Which sequence numbers of each proxy life are known, and stored with an end, by hour; written before gnomon.requests_1h. They only grow, so that the
-- union of all rows, older ones among them, is right.
CREATE TABLE IF NOT EXISTS gnomon.sequences_1h ON CLUSTER 'main'
(
    project   LowCardinality(String),
    hour      DateTime('UTC'),
    boot_id   UInt64,
    delivered UInt64,
    known     AggregateFunction(groupBitmap, UInt64) CODEC(ZSTD(1)),
    stored    AggregateFunction(groupBitmap, UInt64) CODEC(ZSTD(1))
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/gnomon/sequences_1h', '{shard}-{replica}', delivered)
PARTITION BY toYYYYMM(hour)
ORDER BY (project, hour, boot_id)
SETTINGS index_granularity = 256;

INSERT INTO gnomon.migrations (name, digest, version) SELECT '0043_sequences_1h.sql', 17663373722873843030, 4;

-- The hours whose rollup was not computed from all that was delivered: read them from the rows. Empty a few seconds after traffic stops. Hours near the end
-- of the rows' life are left as they are: their rows may be gone. Not a promise.
CREATE OR REPLACE VIEW gnomon.hours_behind ON CLUSTER 'main' AS
SELECT project, hour, sum(u.sent) AS delivered, max(u.seen) AS summed
FROM
(
    SELECT project, hour, d.delivered AS sent, toUInt64(0) AS seen FROM gnomon.deliveries AS d
    UNION ALL
    SELECT project, hour, 0, c.delivered FROM gnomon.requests_1h AS c
) AS u
WHERE hour > now('UTC') - INTERVAL 399 DAY
GROUP BY project, hour
HAVING delivered != summed AND delivered > 0;

INSERT INTO gnomon.migrations (name, digest, version) SELECT '0044_view_hours_behind.sql', 12330894522605209514, 4;

-- One row per proxy life, as the two views of completeness need it; not a promise. Rows are counted by their sequence number, so that a
-- row delivered twice counts once, and a declared one whose true row came counts as stored. gone_ranges: the declared ones, made
-- disjoint. Rows come from the rollup and, of hours that are behind or were a moment ago, from gnomon.requests: what is seen twice counts once here.
-- heard: per hour, the highest sequence that a heartbeat spoke of.
CREATE OR REPLACE VIEW gnomon.sequences ON CLUSTER 'main' AS
SELECT
    boot_id, argMaxIf(u.proxy, last_at, said) AS proxy, minIf(first_at, said) AS first_heartbeat, maxIf(last_at, said) AS last_heartbeat,
    maxIf(hi, said) AS said_seq, max(u.ended) AS said_ended, max(u.dropped) AS said_dropped,
    groupBitmapMergeState(u.known) AS known_seqs,
    groupBitmapMergeState(u.stored) AS stored_seqs,
    arraySort(groupUniqArrayIf((lo, hi), declared)) AS ranges,
    arrayFilter(r -> r.1 <= r.2, arrayMap((r, before) -> (greatest(r.1, before + 1), r.2), ranges,
        arrayPopBack(arrayFold((ends, r) -> arrayPushBack(ends, greatest(ends[-1], r.2)), ranges, [toUInt64(0)])))) AS gone_ranges,
    arraySort(groupArrayIf((toStartOfHour(last_at), hi), said)) AS heard
FROM
(
    SELECT boot_id, true AS said, false AS declared, argMax(h.proxy, h.at) AS proxy, min(h.at) AS first_at, max(h.at) AS last_at,
        toUInt64(0) AS lo, max(h.last_seq) AS hi, max(h.ended) AS ended, max(h.dropped) AS dropped, bitmapBuild(CAST([], 'Array(UInt64)')) AS known, bitmapBuild(CAST([], 'Array(UInt64)')) AS stored
    FROM gnomon.heartbeats AS h GROUP BY boot_id, toStartOfHour(h.at)
    UNION ALL
    SELECT boot_id, false, false, '', h.hour, h.hour, 0, 0, 0, 0, h.known, h.stored FROM gnomon.sequences_1h AS h
    UNION ALL
    SELECT boot_id, false, false, '', min(ts), max(ts), 0, 0, 0, 0, groupBitmapState(seq), groupBitmapStateIf(seq, status != 'lost') FROM gnomon.requests
    WHERE (project, toStartOfHour(ts)) IN (SELECT project, hour FROM gnomon.hours_behind UNION ALL SELECT project, hour FROM gnomon.requests_1h WHERE computed_at > now64(3) - INTERVAL 1 MINUTE)
    GROUP BY boot_id
    UNION ALL
    SELECT boot_id, false, true, '', at, at, first_seq, last_seq, 0, 0, bitmapBuild(CAST([], 'Array(UInt64)')), bitmapBuild(CAST([], 'Array(UInt64)')) FROM gnomon.declared
) AS u
GROUP BY boot_id;

INSERT INTO gnomon.migrations (name, digest, version) SELECT '0045_view_sequences.sql', 18384167521362333094, 4;

-- One row per proxy life: accepted (by heartbeat) + newer = stored + declared + difference. Promised.
CREATE OR REPLACE VIEW gnomon.completeness ON CLUSTER 'main' AS
SELECT
    boot_id, proxy, first_heartbeat, last_heartbeat, said_seq AS accepted,
    bitmapCardinality(stored_seqs) AS stored,
    toUInt64(bitmapCardinality(known_seqs) - stored + arraySum(r -> r.2 - r.1 + 1 - bitmapCardinality(bitmapSubsetInRange(known_seqs, r.1, r.2 + 1)), gone_ranges)) AS declared,
    said_dropped AS dropped,
    toUInt64(if(last_heartbeat > now64(3) - INTERVAL 1 MINUTE, least(greatest(toInt64(said_seq) - toInt64(said_ended), 0), greatest(difference, 0)), 0)) AS in_flight,
    toUInt64(stored + declared - said_of) AS newer,
    toInt64(said_seq) - toInt64(said_of) AS difference
FROM
(
    SELECT *, bitmapCardinality(bitmapSubsetInRange(known_seqs, 0, said_seq + 1))
        + arraySum(r -> if(r.1 > said_seq, 0, least(r.2, said_seq) - r.1 + 1 - bitmapCardinality(bitmapSubsetInRange(known_seqs, r.1, least(r.2, said_seq) + 1))), gone_ranges) AS said_of
    FROM gnomon.sequences
);

INSERT INTO gnomon.migrations (name, digest, version) SELECT '0046_view_completeness.sql', 11240170449526778085, 4;

-- One row per proxy life and hour with a heartbeat: what was accepted since the hour before, and what became of it. Rows are told to an
-- hour by their sequence, not by their time, so that the sums agree to the last request. Promised.
CREATE OR REPLACE VIEW gnomon.completeness_hourly ON CLUSTER 'main' AS
SELECT
    boot_id, proxy, one.1 AS hour, toUInt64(one.3 - one.2) AS accepted,
    bitmapCardinality(bitmapSubsetInRange(stored_seqs, one.2 + 1, one.3 + 1)) AS stored,
    toUInt64(bitmapCardinality(bitmapSubsetInRange(known_seqs, one.2 + 1, one.3 + 1)) - stored
        + arraySum(r -> if(r.1 > one.3 OR r.2 <= one.2, 0, least(r.2, one.3) - greatest(r.1, one.2 + 1) + 1
            - bitmapCardinality(bitmapSubsetInRange(known_seqs, greatest(r.1, one.2 + 1), least(r.2, one.3) + 1))), gone_ranges)) AS declared,
    toInt64(accepted) - toInt64(stored) - toInt64(declared) AS difference
FROM
(
    SELECT *, arrayJoin(arrayMap((h, before) -> (h.1, before, h.2), heard, arrayPopBack(arrayPushFront(heard.2, toUInt64(0))))) AS one
    FROM gnomon.sequences
);

INSERT INTO gnomon.migrations (name, digest, version) SELECT '0047_view_completeness_hourly.sql', 10526186269222671207, 4;

-- Of each project and UTC day: how much of it the hours have summed, and how much the day has. Where the two agree and no hour is behind, the day's row says
-- what the hours say. Not a promise.
CREATE OR REPLACE VIEW gnomon.days ON CLUSTER 'main' AS
SELECT project, day, sum(u.by_hours) AS hours_summed, max(u.by_day) AS summed
FROM
(
    SELECT project, toStartOfDay(hour) AS day, h.delivered AS by_hours, toUInt64(0) AS by_day FROM gnomon.requests_1h AS h FINAL
    UNION ALL
    SELECT project, day, 0, d.summed FROM gnomon.requests_1d AS d
) AS u
GROUP BY project, day;

INSERT INTO gnomon.migrations (name, digest, version) SELECT '0048_view_days.sql', 6990199096549963485, 4;

-- What the rollup holds, cell by cell: of days whose sums are made the day's, with its start as hour, of others each hour's, and for hours whose rollup is behind the
-- requests themselves: every request counts once, whenever it is asked. Which hours are behind is asked once, before anything else is read, and which days are
-- summed then. Not a promise; sum it, for the cells of an hour may come in parts.
CREATE OR REPLACE VIEW gnomon.cells ON CLUSTER 'main' AS
WITH
    (SELECT groupArray((project, hour)) FROM gnomon.hours_behind) AS behind,
    (SELECT groupArray((project, day)) FROM gnomon.days WHERE hours_summed = summed AND (project, day) NOT IN (SELECT project, toStartOfDay(hour) FROM gnomon.hours_behind)) AS whole
SELECT project, day AS hour, c.workload AS workload, c.team AS team, c.provider AS provider, c.from_provider AS from_provider, c.request_model AS request_model, c.served_model AS served_model, c.would_route AS would_route, c.evidence_state AS evidence_state, c.mode AS mode, c.arm AS arm, c.policy_version AS policy_version, c.simulated AS simulated, c.requests AS requests, c.failed AS failed, c.lost AS lost, c.unpriced AS unpriced, c.uncompared AS uncompared, c.estimated AS estimated, c.compared_estimated AS compared_estimated, c.fallbacks AS fallbacks, c.input_tokens AS input_tokens, c.cache_read_tokens AS cache_read_tokens, c.cache_write_tokens AS cache_write_tokens, c.output_tokens AS output_tokens, c.reasoning_tokens AS reasoning_tokens, c.cost AS cost, c.list_cost AS list_cost, c.baseline_cost AS baseline_cost, c.would_cost AS would_cost, c.compared_baseline_cost AS compared_baseline_cost, c.compared_would_cost AS compared_would_cost, c.compared_would_output_cost AS compared_would_output_cost
FROM gnomon.requests_1d AS h FINAL ARRAY JOIN cells AS c
WHERE (project, day) IN (SELECT arrayJoin(whole))
UNION ALL
SELECT project, hour, c.workload AS workload, c.team AS team, c.provider AS provider, c.from_provider AS from_provider, c.request_model AS request_model, c.served_model AS served_model, c.would_route AS would_route, c.evidence_state AS evidence_state, c.mode AS mode, c.arm AS arm, c.policy_version AS policy_version, c.simulated AS simulated, c.requests AS requests, c.failed AS failed, c.lost AS lost, c.unpriced AS unpriced, c.uncompared AS uncompared, c.estimated AS estimated, c.compared_estimated AS compared_estimated, c.fallbacks AS fallbacks, c.input_tokens AS input_tokens, c.cache_read_tokens AS cache_read_tokens, c.cache_write_tokens AS cache_write_tokens, c.output_tokens AS output_tokens, c.reasoning_tokens AS reasoning_tokens, c.cost AS cost, c.list_cost AS list_cost, c.baseline_cost AS baseline_cost, c.would_cost AS would_cost, c.compared_baseline_cost AS compared_baseline_cost, c.compared_would_cost AS compared_would_cost, c.compared_would_output_cost AS compared_would_output_cost
FROM gnomon.requests_1h AS h FINAL ARRAY JOIN cells AS c
WHERE (project, hour) NOT IN (SELECT arrayJoin(behind)) AND (project, toStartOfDay(hour)) NOT IN (SELECT arrayJoin(whole))
UNION ALL
SELECT project, hour, workload, team, provider, from_provider, request_model, served_model, would_route, evidence_state, mode, arm, policy_version, simulated, requests, failed, lost, unpriced, uncompared, estimated, compared_estimated, fallbacks, input_tokens, cache_read_tokens, cache_write_tokens, output_tokens, reasoning_tokens, cost, list_cost, baseline_cost, would_cost, compared_baseline_cost, compared_would_cost, compared_would_output_cost
FROM gnomon.request_measures
WHERE (project, hour) IN (SELECT arrayJoin(behind)) AND (project, toStartOfDay(hour)) NOT IN (SELECT arrayJoin(whole));

INSERT INTO gnomon.migrations (name, digest, version) SELECT '0049_view_cells.sql', 12180786641136958937, 4;

-- One row per project, workload, team, provider, requested and served model, and UTC day: what was spent. A workload that a person has named has its name. Promised.
CREATE OR REPLACE VIEW gnomon.spend_daily ON CLUSTER 'main' AS
SELECT
    project, toLowCardinality(transform(concat(project, '/', workload),
        tupleElement((SELECT arraySort(groupArray((concat(project, '/', workload), name))) FROM gnomon.workload_names), 1),
        tupleElement((SELECT arraySort(groupArray((concat(project, '/', workload), name))) FROM gnomon.workload_names), 2), toString(workload))) AS workload, team, provider, request_model, served_model, toDate(hour) AS day,
    sum(c.requests) AS requests, sum(c.failed) AS failed_requests, sum(c.lost) AS lost_requests, sum(c.unpriced) AS unpriced_requests, sum(c.estimated) AS estimated_requests,
    sum(c.input_tokens) AS input_tokens, sum(c.cache_read_tokens) AS cache_read_tokens, sum(c.cache_write_tokens) AS cache_write_tokens,
    sum(c.output_tokens) AS output_tokens, sum(c.reasoning_tokens) AS reasoning_tokens, sum(c.cost) AS cost, sum(c.list_cost) AS list_cost
FROM gnomon.cells AS c
GROUP BY project, workload, team, provider, request_model, served_model, day;

INSERT INTO gnomon.migrations (name, digest, version) SELECT '0050_view_spend_daily.sql', 16505999917892966917, 4;

-- The hours whose rollup is not what their rows give, of those that are not behind, and the days (by their first hour) that are not what their hours give: none, ever. Bound it by hour, or it reads every row. An hour that changes
-- while it is read may stand here for a moment: look twice. Not a promise.
CREATE OR REPLACE VIEW gnomon.rollup_differences ON CLUSTER 'main' AS
WITH
    (SELECT groupArray((project, hour)) FROM gnomon.hours_behind) AS behind,
    (SELECT groupArray((project, day)) FROM gnomon.days WHERE hours_summed = summed) AS whole
SELECT project, hour, sumIf(u.requests, of_rows) AS requests, sumIf(u.requests, NOT of_rows) AS in_rollup, sumIf(u.cost, of_rows) AS cost, sumIf(u.cost, NOT of_rows) AS cost_in_rollup
FROM
(
    SELECT false AS of_rows, project, hour, c.workload AS workload, c.team AS team, c.provider AS provider, c.from_provider AS from_provider, c.request_model AS request_model, c.served_model AS served_model, c.would_route AS would_route, c.evidence_state AS evidence_state, c.mode AS mode, c.arm AS arm, c.policy_version AS policy_version, c.simulated AS simulated, c.requests AS requests, c.failed AS failed, c.lost AS lost, c.unpriced AS unpriced, c.uncompared AS uncompared, c.estimated AS estimated, c.compared_estimated AS compared_estimated, c.fallbacks AS fallbacks, c.input_tokens AS input_tokens, c.cache_read_tokens AS cache_read_tokens, c.cache_write_tokens AS cache_write_tokens, c.output_tokens AS output_tokens, c.reasoning_tokens AS reasoning_tokens, c.cost AS cost, c.list_cost AS list_cost, c.baseline_cost AS baseline_cost, c.would_cost AS would_cost, c.compared_baseline_cost AS compared_baseline_cost, c.compared_would_cost AS compared_would_cost, c.compared_would_output_cost AS compared_would_output_cost FROM gnomon.requests_1h AS h FINAL ARRAY JOIN cells AS c
    WHERE (project, hour) NOT IN (SELECT arrayJoin(behind))
    UNION ALL
    SELECT true, project, hour, workload, team, provider, from_provider, request_model, served_model, would_route, evidence_state, mode, arm, policy_version, simulated, sum(u.requests) AS requests, sum(u.failed) AS failed, sum(u.lost) AS lost, sum(u.unpriced) AS unpriced, sum(u.uncompared) AS uncompared, sum(u.estimated) AS estimated, sum(u.compared_estimated) AS compared_estimated, sum(u.fallbacks) AS fallbacks, sum(u.input_tokens) AS input_tokens, sum(u.cache_read_tokens) AS cache_read_tokens, sum(u.cache_write_tokens) AS cache_write_tokens, sum(u.output_tokens) AS output_tokens, sum(u.reasoning_tokens) AS reasoning_tokens, sum(u.cost) AS cost, sum(u.list_cost) AS list_cost, sum(u.baseline_cost) AS baseline_cost, sum(u.would_cost) AS would_cost, sum(u.compared_baseline_cost) AS compared_baseline_cost, sum(u.compared_would_cost) AS compared_would_cost, sum(u.compared_would_output_cost) AS compared_would_output_cost FROM gnomon.request_measures AS u
    WHERE (project, hour) NOT IN (SELECT arrayJoin(behind)) AND hour > now('UTC') - INTERVAL 399 DAY
    GROUP BY project, hour, workload, team, provider, from_provider, request_model, served_model, would_route, evidence_state, mode, arm, policy_version, simulated
) AS u
WHERE hour > now('UTC') - INTERVAL 399 DAY
GROUP BY project, hour
HAVING groupBitXor(cityHash64(workload, team, provider, from_provider, request_model, served_model, would_route, evidence_state, mode, arm, policy_version, simulated, u.requests, u.failed, u.lost, u.unpriced, u.uncompared, u.estimated, u.compared_estimated, u.fallbacks, u.input_tokens, u.cache_read_tokens, u.cache_write_tokens, u.output_tokens, u.reasoning_tokens, u.cost, u.list_cost, u.baseline_cost, u.would_cost, u.compared_baseline_cost, u.compared_would_cost, u.compared_would_output_cost)) != 0
UNION ALL
SELECT project, day AS hour, sumIf(u.requests, of_hours) AS requests, sumIf(u.requests, NOT of_hours) AS in_rollup, sumIf(u.cost, of_hours) AS cost, sumIf(u.cost, NOT of_hours) AS cost_in_rollup
FROM
(
    SELECT false AS of_hours, project, day, c.workload AS workload, c.team AS team, c.provider AS provider, c.from_provider AS from_provider, c.request_model AS request_model, c.served_model AS served_model, c.would_route AS would_route, c.evidence_state AS evidence_state, c.mode AS mode, c.arm AS arm, c.policy_version AS policy_version, c.simulated AS simulated, c.requests AS requests, c.failed AS failed, c.lost AS lost, c.unpriced AS unpriced, c.uncompared AS uncompared, c.estimated AS estimated, c.compared_estimated AS compared_estimated, c.fallbacks AS fallbacks, c.input_tokens AS input_tokens, c.cache_read_tokens AS cache_read_tokens, c.cache_write_tokens AS cache_write_tokens, c.output_tokens AS output_tokens, c.reasoning_tokens AS reasoning_tokens, c.cost AS cost, c.list_cost AS list_cost, c.baseline_cost AS baseline_cost, c.would_cost AS would_cost, c.compared_baseline_cost AS compared_baseline_cost, c.compared_would_cost AS compared_would_cost, c.compared_would_output_cost AS compared_would_output_cost FROM gnomon.requests_1d AS h FINAL ARRAY JOIN cells AS c
    WHERE (project, day) IN (SELECT arrayJoin(whole))
    UNION ALL
    SELECT true, project, toStartOfDay(hour) AS day, workload, team, provider, from_provider, request_model, served_model, would_route, evidence_state, mode, arm, policy_version, simulated, sum(u.requests) AS requests, sum(u.failed) AS failed, sum(u.lost) AS lost, sum(u.unpriced) AS unpriced, sum(u.uncompared) AS uncompared, sum(u.estimated) AS estimated, sum(u.compared_estimated) AS compared_estimated, sum(u.fallbacks) AS fallbacks, sum(u.input_tokens) AS input_tokens, sum(u.cache_read_tokens) AS cache_read_tokens, sum(u.cache_write_tokens) AS cache_write_tokens, sum(u.output_tokens) AS output_tokens, sum(u.reasoning_tokens) AS reasoning_tokens, sum(u.cost) AS cost, sum(u.list_cost) AS list_cost, sum(u.baseline_cost) AS baseline_cost, sum(u.would_cost) AS would_cost, sum(u.compared_baseline_cost) AS compared_baseline_cost, sum(u.compared_would_cost) AS compared_would_cost, sum(u.compared_would_output_cost) AS compared_would_output_cost
    FROM (SELECT project, hour, c.workload AS workload, c.team AS team, c.provider AS provider, c.from_provider AS from_provider, c.request_model AS request_model, c.served_model AS served_model, c.would_route AS would_route, c.evidence_state AS evidence_state, c.mode AS mode, c.arm AS arm, c.policy_version AS policy_version, c.simulated AS simulated, c.requests AS requests, c.failed AS failed, c.lost AS lost, c.unpriced AS unpriced, c.uncompared AS uncompared, c.estimated AS estimated, c.compared_estimated AS compared_estimated, c.fallbacks AS fallbacks, c.input_tokens AS input_tokens, c.cache_read_tokens AS cache_read_tokens, c.cache_write_tokens AS cache_write_tokens, c.output_tokens AS output_tokens, c.reasoning_tokens AS reasoning_tokens, c.cost AS cost, c.list_cost AS list_cost, c.baseline_cost AS baseline_cost, c.would_cost AS would_cost, c.compared_baseline_cost AS compared_baseline_cost, c.compared_would_cost AS compared_would_cost, c.compared_would_output_cost AS compared_would_output_cost FROM gnomon.requests_1h AS h FINAL ARRAY JOIN cells AS c) AS u
    WHERE (project, toStartOfDay(hour)) IN (SELECT arrayJoin(whole))
    GROUP BY project, day, workload, team, provider, from_provider, request_model, served_model, would_route, evidence_state, mode, arm, policy_version, simulated
) AS u
GROUP BY project, day
HAVING groupBitXor(cityHash64(workload, team, provider, from_provider, request_model, served_model, would_route, evidence_state, mode, arm, policy_version, simulated, u.requests, u.failed, u.lost, u.unpriced, u.uncompared, u.estimated, u.compared_estimated, u.fallbacks, u.input_tokens, u.cache_read_tokens, u.cache_write_tokens, u.output_tokens, u.reasoning_tokens, u.cost, u.list_cost, u.baseline_cost, u.would_cost, u.compared_baseline_cost, u.compared_would_cost, u.compared_would_output_cost)) != 0;

INSERT INTO gnomon.migrations (name, digest, version) SELECT '0051_view_rollup_differences.sql', 13042116804129756486, 4;

INSERT INTO gnomon.migrations (name, digest, version) SELECT '0052_deliveries_of_before.sql', 745219504839946097, 4;

-- Tables made before there was one.
ALTER TABLE gnomon.requests_shard ON CLUSTER 'main' ADD COLUMN IF NOT EXISTS p_adequate Nullable(Float32) CODEC(ZSTD(1)) AFTER novelty;

-- Tables made before there was one.
ALTER TABLE gnomon.requests ON CLUSTER 'main' ADD COLUMN IF NOT EXISTS p_adequate Nullable(Float32) CODEC(ZSTD(1)) AFTER novelty;

INSERT INTO gnomon.migrations (name, digest, version) SELECT '0053_requests_p_adequate.sql', 1618830463209891605, 4;

-- The whole of what proxies were told, as JSON: what the other columns leave out.
ALTER TABLE gnomon.evidence ON CLUSTER 'main' ADD COLUMN IF NOT EXISTS record String CODEC(ZSTD(3));

INSERT INTO gnomon.migrations (name, digest, version) SELECT '0054_evidence_record.sql', 8254067445119674184, 4;

-- Tables made before there was one.
ALTER TABLE gnomon.requests_shard ON CLUSTER 'main' ADD COLUMN IF NOT EXISTS held LowCardinality(String) CODEC(ZSTD(1)) AFTER evidence_state;

-- Tables made before there was one.
ALTER TABLE gnomon.requests ON CLUSTER 'main' ADD COLUMN IF NOT EXISTS held LowCardinality(String) CODEC(ZSTD(1)) AFTER evidence_state;

INSERT INTO gnomon.migrations (name, digest, version) SELECT '0055_requests_held.sql', 14844203699151746203, 4;

-- Codecs as gnomon.requests has them since version 3, for tables that were made before: parts take them as they are written and merged. Measured column by
-- column (make bench-store): amounts are smaller without T64, random ids and inputs with a longer search.
ALTER TABLE gnomon.requests_shard ON CLUSTER 'main'
    MODIFY COLUMN request_id CODEC(ZSTD(3)),
    MODIFY COLUMN user_id CODEC(ZSTD(3)),
    MODIFY COLUMN session CODEC(ZSTD(3)),
    MODIFY COLUMN response_id CODEC(ZSTD(3)),
    MODIFY COLUMN cost CODEC(ZSTD(3)),
    MODIFY COLUMN list_cost CODEC(ZSTD(3)),
    MODIFY COLUMN baseline_cost CODEC(ZSTD(3)),
    MODIFY COLUMN would_cost CODEC(ZSTD(3)),
    MODIFY COLUMN would_output_cost CODEC(ZSTD(3)),
    MODIFY COLUMN expected_cost CODEC(ZSTD(3)),
    MODIFY COLUMN inputs CODEC(ZSTD(6));

INSERT INTO gnomon.migrations (name, digest, version) SELECT '0056_codecs.sql', 7615078164729685190, 4;

-- Tables made before there was one. Empty in rows of before: the provider of the baseline is then the request's.
ALTER TABLE gnomon.evaluations ON CLUSTER 'main' ADD COLUMN IF NOT EXISTS provider LowCardinality(String) AFTER workload;

INSERT INTO gnomon.migrations (name, digest, version) SELECT '0057_evaluations_provider.sql', 17795306733459466716, 4;

-- One model may be served by several providers, and what is told of each is told at one moment. Rows of before have none.
ALTER TABLE gnomon.evidence ON CLUSTER 'main' ADD COLUMN IF NOT EXISTS provider LowCardinality(String), MODIFY ORDER BY (project, workload, request_model, candidate, at, provider);

INSERT INTO gnomon.migrations (name, digest, version) SELECT '0058_evidence_provider.sql', 6031650946489743746, 4;

-- One row per project, workload, baseline, would-be route, state of its evidence and UTC day. Both sums are over the same requests. A workload that a person has named has its name. Promised.
CREATE OR REPLACE VIEW gnomon.would_routes ON CLUSTER 'main' AS
SELECT
    project, toLowCardinality(transform(concat(project, '/', workload),
        tupleElement((SELECT arraySort(groupArray((concat(project, '/', workload), name))) FROM gnomon.workload_names), 1),
        tupleElement((SELECT arraySort(groupArray((concat(project, '/', workload), name))) FROM gnomon.workload_names), 2), toString(workload))) AS workload, from_provider, request_model, would_route, evidence_state, toDate(hour) AS day,
    sum(c.requests) - sum(c.lost) AS requests, sum(c.uncompared) AS unpriced_requests, sum(c.estimated) AS estimated_requests,
    sum(c.compared_baseline_cost) AS baseline_cost, sum(c.compared_would_cost) AS would_cost
FROM gnomon.cells AS c
GROUP BY project, workload, from_provider, request_model, would_route, evidence_state, day
HAVING sum(c.requests) > sum(c.lost);

INSERT INTO gnomon.migrations (name, digest, version) SELECT '0059_view_would_routes.sql', 7273165472857823611, 4;

-- Tables made before there was one. Rows of before get it in the background, from that column alone.
ALTER TABLE gnomon.requests_shard ON CLUSTER 'main'
    ADD INDEX IF NOT EXISTS idx_status status TYPE bloom_filter(0.001) GRANULARITY 4,
    MATERIALIZE INDEX idx_status;

INSERT INTO gnomon.migrations (name, digest, version) SELECT '0060_status_index.sql', 573571045713983339, 4;

-- What discovered workloads are called: one row for each that a person has named. workload is the name that its requests were recorded under until then. Promised.
CREATE OR REPLACE VIEW gnomon.workload_names AS
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
WHERE name != ''

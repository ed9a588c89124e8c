-- The policies that hold or held: of each version the record that came first in the log. Promised.
CREATE OR REPLACE VIEW gnomon.accepted_policies AS
SELECT
    project, workload, version, p.first.1 AS since, p.first.2 AS mode, p.first.3 AS candidate, p.first.4 AS share, p.first.5 AS control,
    p.first.6 AS overridden, p.first.7 AS actor, p.first.8 AS reason, p.first.9 AS record
FROM
(
    SELECT project, workload, version,
        argMin((l.at, l.mode, l.candidate, l.share, l.control, l.overridden, l.actor, l.reason, l.record), (l.offset, l.at, l.actor)) AS first
    FROM gnomon.policies AS l GROUP BY project, workload, version
) AS p

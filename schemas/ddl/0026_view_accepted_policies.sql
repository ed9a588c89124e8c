-- The policies that hold or held: of each version the record that came first. Promised.
CREATE OR REPLACE VIEW gnomon.accepted_policies AS
SELECT
    project, workload, version, min(p.at) AS since, argMin(p.mode, p.at) AS mode, argMin(p.candidate, p.at) AS candidate,
    argMin(p.share, p.at) AS share, argMin(p.override, p.at) AS override, argMin(p.actor, p.at) AS actor, argMin(p.reason, p.at) AS reason
FROM gnomon.policies AS p
GROUP BY project, workload, version

package tables

// timeLayout is how times are written: RFC 3339 in UTC, of equal length, so that text
// compares as time does.
const timeLayout = "2006-01-02T15:04:05.000000000Z"

// schema makes the tables. Its comments stay in the file: ".schema" of any SQLite shell
// shows them.
const schema = `
CREATE TABLE meta (
  key   TEXT PRIMARY KEY, -- cluster, generation, first, last, last_hash, run, loaded_by
  value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE events (
  seq     INTEGER PRIMARY KEY, -- place in the log, from 1
  time    TEXT NOT NULL,       -- RFC 3339, UTC, as everywhere here
  kind    TEXT NOT NULL,       -- such as step_scheduled: docs/events.json has all of them
  run     INTEGER,             -- that it is about
  attempt INTEGER,             -- that it is about
  agent   INTEGER,             -- that it is about
  void    TEXT,                -- why it changed nothing; NULL where it did
  hash    TEXT NOT NULL,       -- of the chain up to here
  data    TEXT NOT NULL        -- the event's fields, JSON
);
CREATE INDEX events_run ON events (run, seq) WHERE run IS NOT NULL;
CREATE INDEX events_kind ON events (kind, seq);

CREATE TABLE plans (
  id              TEXT PRIMARY KEY, -- SHA-256 of the plan
  planner_version TEXT NOT NULL,
  recorded_by     TEXT NOT NULL,
  seq             INTEGER NOT NULL, -- of the event that recorded it
  hosts           INTEGER NOT NULL, -- how many
  tasks           INTEGER NOT NULL  -- how many
) WITHOUT ROWID;

CREATE TABLE plan_inputs (
  plan   TEXT NOT NULL, -- plans.id
  role   TEXT NOT NULL, -- service, inventory, roles, orchestration or file
  name   TEXT NOT NULL,
  digest TEXT NOT NULL, -- SHA-256 of the content
  PRIMARY KEY (plan, role, name, digest)
) WITHOUT ROWID;

-- What the jobs of a plan are. It has none of a plan whose content is not there.
CREATE TABLE plan_jobs (
  plan        TEXT NOT NULL,    -- plans.id
  task        TEXT NOT NULL,    -- tasks.task
  job         INTEGER NOT NULL, -- from 0
  verb        TEXT NOT NULL,
  name        TEXT NOT NULL,
  text        TEXT NOT NULL,
  fingerprint TEXT NOT NULL,    -- Directord's name of the job: the same in all plans that hold it
  file        TEXT NOT NULL,
  line        INTEGER NOT NULL,
  PRIMARY KEY (plan, task, job)
) WITHOUT ROWID;
CREATE INDEX plan_jobs_fingerprint ON plan_jobs (fingerprint);

CREATE TABLE runs (
  id         INTEGER PRIMARY KEY, -- from 1
  plan       TEXT NOT NULL,       -- plans.id
  by         TEXT NOT NULL,       -- who asked for it
  status     TEXT NOT NULL,
  outcome    TEXT,                -- succeeded, failed or cancelled; NULL while it is under way
  is_check   INTEGER NOT NULL,    -- 1 where jobs only told what they would do
  created_at TEXT NOT NULL,
  ended_at   TEXT,
  seq        INTEGER NOT NULL,    -- of the event that created it
  steps      INTEGER NOT NULL,
  succeeded  INTEGER NOT NULL,    -- steps
  failed     INTEGER NOT NULL,    -- steps
  skipped    INTEGER NOT NULL,    -- steps
  cancelled  INTEGER NOT NULL     -- steps
);

CREATE TABLE tasks (
  run        INTEGER NOT NULL, -- runs.id
  task       TEXT NOT NULL,    -- SERVICE-TASK
  position   INTEGER NOT NULL, -- in the plan, from 0
  driver     TEXT NOT NULL,
  status     TEXT NOT NULL,    -- pending, ready, running, waiting, succeeded, failed, skipped or cancelled
  reason     TEXT,             -- why it was skipped
  steps      INTEGER NOT NULL,
  started_at TEXT,
  settled_at TEXT,
  PRIMARY KEY (run, task)
) WITHOUT ROWID;

-- A step is a task on one host.
CREATE TABLE steps (
  run      INTEGER NOT NULL, -- runs.id
  task     TEXT NOT NULL,    -- tasks.task
  host     TEXT NOT NULL,    -- empty for a task of the engine
  status   TEXT NOT NULL,    -- as of tasks
  reason   TEXT,
  attempts INTEGER NOT NULL, -- how many
  attempt  INTEGER,          -- attempts.id of the newest
  PRIMARY KEY (run, task, host)
) WITHOUT ROWID;
CREATE INDEX steps_host ON steps (host, run);

-- An attempt is one try of a step.
CREATE TABLE attempts (
  id           INTEGER PRIMARY KEY,
  run          INTEGER NOT NULL,
  task         TEXT NOT NULL,
  host         TEXT NOT NULL,
  agent        INTEGER NOT NULL, -- agents.id
  from_job     INTEGER NOT NULL, -- the first job that it ran, from 0
  supersedes   INTEGER,          -- attempts.id of the one before
  epoch        INTEGER NOT NULL, -- of the leader that scheduled it
  outcome      TEXT,             -- NULL while it is not settled
  reason       TEXT,
  settled_by   TEXT,             -- who gave up on it; NULL for the agent's own word
  resolved     TEXT,             -- an operator's word on it
  resolved_by  TEXT,
  scheduled_at TEXT NOT NULL,
  ended_at     TEXT
);
CREATE INDEX attempts_run ON attempts (run);

-- Results of jobs.
CREATE TABLE jobs (
  seq         INTEGER PRIMARY KEY, -- events.seq: its data has what the job printed
  attempt     INTEGER NOT NULL,    -- attempts.id
  run         INTEGER NOT NULL,
  plan        TEXT NOT NULL,
  task        TEXT NOT NULL,
  host        TEXT NOT NULL,
  job         INTEGER NOT NULL,    -- from 0
  outcome     TEXT NOT NULL,
  changed     INTEGER NOT NULL,    -- 0 where it found nothing to do
  exit        INTEGER NOT NULL,    -- of a command, or -1
  started_at  TEXT NOT NULL,       -- by the agent's clock
  duration_ns INTEGER NOT NULL,    -- by the agent's clock
  info        TEXT NOT NULL
);
CREATE INDEX jobs_run ON jobs (run);
CREATE INDEX jobs_plan ON jobs (plan, task, job);
CREATE INDEX jobs_started ON jobs (started_at);

-- As they are at the end of what was loaded.
CREATE TABLE agents (
  id          INTEGER PRIMARY KEY,
  name        TEXT NOT NULL,
  labels      TEXT NOT NULL, -- JSON
  status      TEXT NOT NULL, -- connected, disconnected, pending, revoked or quarantined
  hostname    TEXT NOT NULL,
  version     TEXT NOT NULL,
  address     TEXT NOT NULL,
  enrolled_at TEXT NOT NULL,
  seen_at     TEXT
);

-- What hosts have published, as it is at the end of what was loaded.
CREATE TABLE facts (
  agent   INTEGER NOT NULL, -- agents.id
  name    TEXT NOT NULL,
  value   TEXT,             -- JSON; NULL where the host has none of the name
  run     INTEGER NOT NULL, -- of the job that published it
  task    TEXT NOT NULL,
  job     INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  seq     INTEGER NOT NULL,
  time    TEXT NOT NULL,
  PRIMARY KEY (agent, name)
) WITHOUT ROWID;

-- Every result with what the job is.
CREATE VIEW job_history AS
  SELECT j.seq, j.run, j.host, j.task, j.job, p.verb, p.name, p.text, p.fingerprint,
         j.outcome, j.changed, j.exit, j.started_at, j.duration_ns / 1e9 AS seconds, j.info
  FROM jobs j LEFT JOIN plan_jobs p ON p.plan = j.plan AND p.task = j.task AND p.job = j.job;
`

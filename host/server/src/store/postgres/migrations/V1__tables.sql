-- The tables of a Windlass store. Bodies are JSON text, exactly what was written; the columns beside them are for
-- indexes and for people. Numbers of transactions (batch) are in the order of their commits.

-- One row: what this database is, and who may write to it.
CREATE TABLE windlass (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    schema_version integer NOT NULL,
    -- Whoever opened the store last. The transactions of others are refused.
    holder uuid,
    -- The number of the last transaction.
    batch bigint NOT NULL
);
INSERT INTO windlass (schema_version, batch) VALUES (1, 0);

-- Transactions by id: how a host whose connection broke finds out whether its commit was made.
CREATE TABLE commit_id (
    id uuid PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX commit_id_at ON commit_id (at);

-- A flow, once for all its jobs, under its content hash.
CREATE TABLE flow (
    digest bytea PRIMARY KEY,
    body text NOT NULL
);

-- Which flows name a plugin.
CREATE TABLE flow_plugin (
    plugin bytea NOT NULL,
    flow bytea NOT NULL REFERENCES flow (digest) ON DELETE CASCADE,
    PRIMARY KEY (plugin, flow)
);
CREATE INDEX flow_plugin_flow ON flow_plugin (flow);

-- What was asked of a job. Never changes.
CREATE TABLE job (
    id uuid PRIMARY KEY,
    flow bytea NOT NULL REFERENCES flow (digest),
    owner text NOT NULL,
    type text NOT NULL,
    operation uuid,
    trigger uuid,
    created timestamptz NOT NULL,
    spec text NOT NULL
);
CREATE INDEX job_flow ON job (flow, id);

-- Where a job stands.
CREATE TABLE job_status (
    id uuid PRIMARY KEY,
    state text NOT NULL,
    direction text NOT NULL,
    priority integer NOT NULL,
    -- Its place among those of its priority: when it became ready for the first time.
    since timestamptz NOT NULL,
    -- When it wants to be looked at; never earlier than it says.
    alarm timestamptz,
    claim_host uuid,
    claim_epoch bigint,
    sequence bigint NOT NULL,
    started timestamptz,
    ended timestamptz,
    updated timestamptz NOT NULL,
    status text NOT NULL
);
CREATE INDEX job_status_board ON job_status (priority DESC, since, id) WHERE state = 'ready';
CREATE INDEX job_status_due ON job_status (alarm, id) WHERE alarm IS NOT NULL;
CREATE INDEX job_status_claim ON job_status (claim_host, id) WHERE claim_host IS NOT NULL;

-- Tasks of jobs that were touched. The iteration is a list of numbers of ten digits each, empty at first:
-- its order as text is that of the numbers.
CREATE TABLE task_instance (
    job uuid NOT NULL,
    task text COLLATE "C" NOT NULL,
    iteration text COLLATE "C" NOT NULL,
    state text NOT NULL,
    attempt bigint NOT NULL,
    body text NOT NULL,
    PRIMARY KEY (job, task, iteration)
);

-- The logbook.
CREATE TABLE entry (
    job uuid NOT NULL,
    sequence bigint NOT NULL,
    -- The transaction, and the place in it: the order of the tail.
    batch bigint NOT NULL,
    ordinal integer NOT NULL,
    at timestamptz NOT NULL,
    fact text NOT NULL,
    body text NOT NULL,
    PRIMARY KEY (job, sequence)
);
CREATE UNIQUE INDEX entry_tail ON entry (batch, ordinal);

-- Checkpoints of task instances.
CREATE TABLE note (
    job uuid NOT NULL,
    task text COLLATE "C" NOT NULL,
    iteration text COLLATE "C" NOT NULL,
    name bytea NOT NULL,
    value bytea NOT NULL,
    PRIMARY KEY (job, task, iteration, name)
);

-- Plugins, triggers, operations, hosts, and the mark of an import that has not ended; most kinds have a view below.
CREATE TABLE record (
    kind text NOT NULL,
    id bytea NOT NULL,
    generation bigint NOT NULL,
    name text NOT NULL,
    state text NOT NULL,
    -- When it wants to be looked at; never earlier than it says.
    alarm timestamptz,
    body text NOT NULL,
    PRIMARY KEY (kind, id)
);
CREATE INDEX record_due ON record (alarm, id) WHERE alarm IS NOT NULL;

-- Keys that can be had once. The key is made of the parts in the body, as JSON.
CREATE TABLE unique_key (
    key bytea PRIMARY KEY,
    kind text NOT NULL,
    body text NOT NULL,
    job uuid NOT NULL,
    -- When it was taken, where it is forgotten some day.
    at timestamptz
);
CREATE INDEX unique_key_age ON unique_key (at, key) WHERE at IS NOT NULL;

-- Bytes under their sha256, in chunks over many transactions; the row here comes last.
CREATE TABLE blob (
    digest bytea PRIMARY KEY,
    size_bytes bigint NOT NULL,
    chunks integer NOT NULL
);
CREATE TABLE blob_chunk (
    digest bytea NOT NULL,
    number integer NOT NULL,
    bytes bytea NOT NULL,
    written timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (digest, number)
);

-- For people.
CREATE VIEW jobs AS
    SELECT j.id, j.owner, j.type, s.state, s.direction, s.priority, j.created, s.started, s.ended, s.updated,
           s.claim_host, s.sequence, j.operation, j.trigger, j.spec, s.status
    FROM job j JOIN job_status s ON s.id = j.id;
CREATE VIEW plugins AS
    SELECT encode(id, 'hex') AS digest, name, state, generation, body FROM record WHERE kind = 'plugin';
CREATE VIEW triggers AS
    SELECT CAST(encode(id, 'hex') AS uuid) AS id, name, state, generation, alarm AS next_due, body
    FROM record WHERE kind = 'trigger';
CREATE VIEW operations AS
    SELECT CAST(encode(id, 'hex') AS uuid) AS id, name, state, generation, body FROM record WHERE kind = 'operation';
CREATE VIEW hosts AS
    SELECT CAST(encode(id, 'hex') AS uuid) AS id, name, state, generation, body FROM record WHERE kind = 'host';

//! The statements of the writer, prepared once for each connection.
//!
//! All of them take arrays, a row each: one statement writes all rows of a table. Portable SQL only: no skipped locks,
//! notifications or changes of tables, so that databases that speak PostgreSQL's protocol can serve.

use futures::future::try_join_all;
use tokio_postgres::{Client, Error, Statement};

macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $sql:expr;)*) => {
        /// See the module.
        pub(super) struct Statements { $($(#[$doc])* pub $name: Statement,)* }

        impl Statements {
            pub async fn prepare(client: &Client) -> Result<Self, Error> {
                let sql = [$($sql),*];
                let mut prepared = try_join_all(sql.iter().map(|sql| client.prepare(sql))).await?.into_iter();
                Ok(Self { $($name: prepared.next().expect("one for each"),)* })
            }
        }
    };
}

statements! {
    /// First of all: a transaction whose commit was not answered is looked up by its id.
    commit_id = "INSERT INTO commit_id (id) VALUES ($1)";
    lock_records = "SELECT r.kind, r.id, r.generation FROM record r JOIN unnest($1::text[], $2::bytea[]) AS k (kind, id) \
        ON r.kind = k.kind AND r.id = k.id ORDER BY r.kind, r.id FOR UPDATE OF r";
    share_records = "SELECT r.kind, r.id, r.generation FROM record r JOIN unnest($1::text[], $2::bytea[]) AS k (kind, id) \
        ON r.kind = k.kind AND r.id = k.id ORDER BY r.kind, r.id FOR SHARE OF r";
    lock_jobs = "SELECT id, state, sequence, claim_epoch, is_awaiting FROM job_status WHERE id = ANY($1::uuid[]) \
        ORDER BY id FOR UPDATE";
    keys = "SELECT key, job, at FROM unique_key WHERE key = ANY($1::bytea[])";
    old_keys = "SELECT key, job, at FROM unique_key WHERE at < $1 ORDER BY at, key LIMIT $2";

    delete_entries = "DELETE FROM entry WHERE job = ANY($1::uuid[])";
    delete_instances = "DELETE FROM task_instance WHERE job = ANY($1::uuid[])";
    delete_notes = "DELETE FROM note WHERE job = ANY($1::uuid[])";
    delete_awaits = "DELETE FROM job_await WHERE job = ANY($1::uuid[])";
    delete_statuses = "DELETE FROM job_status WHERE id = ANY($1::uuid[])";
    /// A flow goes with the last job that needs it.
    delete_jobs = "WITH gone AS (DELETE FROM job WHERE id = ANY($1::uuid[]) RETURNING flow) \
        DELETE FROM flow WHERE digest IN (SELECT flow FROM gone) AND NOT EXISTS \
        (SELECT 1 FROM job WHERE job.flow = flow.digest AND job.id <> ALL($1::uuid[]))";
    delete_records = "DELETE FROM record r USING unnest($1::text[], $2::bytea[]) AS gone (kind, id) \
        WHERE r.kind = gone.kind AND r.id = gone.id";
    delete_keys = "DELETE FROM unique_key WHERE key = ANY($1::bytea[])";

    insert_flows = "INSERT INTO flow (digest, body) SELECT * FROM unnest($1::bytea[], $2::text[]) ON CONFLICT DO NOTHING";
    insert_flow_plugins = "INSERT INTO flow_plugin (plugin, flow) SELECT * FROM unnest($1::bytea[], $2::bytea[]) \
        ON CONFLICT DO NOTHING";
    insert_jobs = "INSERT INTO job (id, flow, owner, type, operation, trigger, created, spec) SELECT * FROM unnest( \
        $1::uuid[], $2::bytea[], $3::text[], $4::text[], $5::uuid[], $6::uuid[], $7::timestamptz[], $8::text[])";
    put_statuses = "INSERT INTO job_status (id, state, direction, priority, since, alarm, claim_host, claim_epoch, \
        is_awaiting, is_untold, sequence, started, ended, updated, status) SELECT * FROM unnest($1::uuid[], $2::text[], \
        $3::text[], $4::int4[], $5::timestamptz[], $6::timestamptz[], $7::uuid[], $8::int8[], $9::bool[], $10::bool[], $11::int8[], \
        $12::timestamptz[], $13::timestamptz[], $14::timestamptz[], $15::text[]) ON CONFLICT (id) DO UPDATE SET state = excluded.state, \
        direction = excluded.direction, priority = excluded.priority, since = excluded.since, alarm = excluded.alarm, \
        claim_host = excluded.claim_host, claim_epoch = excluded.claim_epoch, is_awaiting = excluded.is_awaiting, \
        is_untold = excluded.is_untold, sequence = excluded.sequence, \
        started = excluded.started, ended = excluded.ended, updated = excluded.updated, status = excluded.status";
    /// What they wait for no longer.
    drop_awaits = "DELETE FROM job_await a WHERE a.job = ANY($1::uuid[]) AND NOT EXISTS (SELECT 1 FROM \
        unnest($2::bytea[], $3::uuid[]) AS kept (type, job) WHERE kept.type = a.type AND kept.job = a.job)";
    insert_awaits = "INSERT INTO job_await (type, job) SELECT * FROM unnest($1::bytea[], $2::uuid[]) \
        ON CONFLICT DO NOTHING";
    put_instances = "INSERT INTO task_instance (job, task, iteration, state, attempt, body) SELECT * FROM unnest( \
        $1::uuid[], $2::text[], $3::text[], $4::text[], $5::int8[], $6::text[]) ON CONFLICT (job, task, iteration) \
        DO UPDATE SET state = excluded.state, attempt = excluded.attempt, body = excluded.body";
    put_notes = "INSERT INTO note (job, task, iteration, name, value) SELECT * FROM unnest( \
        $1::uuid[], $2::text[], $3::text[], $4::bytea[], $5::bytea[]) ON CONFLICT (job, task, iteration, name) \
        DO UPDATE SET value = excluded.value";
    insert_records = "INSERT INTO record (kind, id, generation, name, state, alarm, body) SELECT * FROM unnest( \
        $1::text[], $2::bytea[], $3::int8[], $4::text[], $5::text[], $6::timestamptz[], $7::text[])";
    update_records = "UPDATE record r SET generation = n.generation, name = n.name, state = n.state, alarm = n.alarm, \
        body = n.body FROM unnest($1::text[], $2::bytea[], $3::int8[], $4::text[], $5::text[], $6::timestamptz[], \
        $7::text[]) AS n (kind, id, generation, name, state, alarm, body) WHERE r.kind = n.kind AND r.id = n.id";
    insert_keys = "INSERT INTO unique_key (key, kind, body, job, at) SELECT * FROM unnest( \
        $1::bytea[], $2::text[], $3::text[], $4::uuid[], $5::timestamptz[])";

    /// Gives the transaction its number, and fails where this process may not write any more: the number is never null.
    number = "UPDATE windlass SET batch = CASE WHEN schema_version = $1 AND holder = $2 THEN batch + 1 END";
    insert_entries = "INSERT INTO entry (job, sequence, batch, ordinal, at, fact, body) SELECT e.job, e.sequence, w.batch, \
        e.ordinal, e.at, e.fact, e.body FROM unnest($1::uuid[], $2::int8[], $3::int4[], $4::timestamptz[], $5::text[], \
        $6::text[]) AS e (job, sequence, ordinal, at, fact, body) CROSS JOIN windlass w";
    sweep_commit_ids = "DELETE FROM commit_id WHERE at < now() - $1 * interval '1 second'";
}

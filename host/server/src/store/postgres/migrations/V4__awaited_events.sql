-- Jobs wait for events, and entries tell of waits and observations. Programs of schema 3 do not know them.
UPDATE windlass SET schema_version = 4;

-- Whether the job has rows below: where it had and has none, a change of its status writes none.
ALTER TABLE job_status ADD COLUMN is_awaiting boolean NOT NULL DEFAULT false;

-- Which jobs wait for events of a type. The type is bytes: it may hold what text cannot.
CREATE TABLE job_await (
    type bytea NOT NULL,
    job uuid NOT NULL,
    PRIMARY KEY (type, job)
);
CREATE INDEX job_await_job ON job_await (job);

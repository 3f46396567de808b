-- Jobs have something to tell others, and flows, specs and entries tell of child jobs. Programs of schema 4 do not know them.
UPDATE windlass SET schema_version = 5;

-- Whether the job has something to tell another one: few have, and not for long.
ALTER TABLE job_status ADD COLUMN is_untold boolean NOT NULL DEFAULT false;
CREATE INDEX job_status_untold ON job_status (id) WHERE is_untold;

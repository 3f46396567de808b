-- A commit id whose transaction was not made is claimed, so that it never will be: that claim must not be taken for it.
-- Programs of schema 2 do.
UPDATE windlass SET schema_version = 3;
ALTER TABLE commit_id ADD COLUMN is_committed boolean NOT NULL DEFAULT true;

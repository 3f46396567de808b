-- Flows under names: two more kinds of records, 'flow' and 'flow_revision'. Programs of schema 1 do not know them.
UPDATE windlass SET schema_version = 2;

-- For people. The id of a revision is that of its flow, and its number in four bytes.
CREATE VIEW flows AS
    SELECT CAST(encode(id, 'hex') AS uuid) AS id, name, state, generation, body FROM record WHERE kind = 'flow';
CREATE VIEW flow_revisions AS
    SELECT name AS revision, body FROM record WHERE kind = 'flow_revision';

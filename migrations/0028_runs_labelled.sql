-- no-transaction
-- Runs with labels, the newest first. Built while runs go on, as the one before.
create index concurrently if not exists runs_labelled on runs (organization_id, created_at desc, id desc) where labels <> '{}';

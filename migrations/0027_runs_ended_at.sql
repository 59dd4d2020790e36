-- no-transaction
-- What ended since some moment. Written once, at a run's end. Built while runs go on: a build that locks the table would
-- hold up all of them, which no transaction allows; so it stands alone in its file.
create index concurrently if not exists runs_ended_at on runs (organization_id, finished_at) where finished_at is not null;

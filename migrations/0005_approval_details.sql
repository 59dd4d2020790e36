-- What a decider wants to know and the first form of approvals had no place for.

-- The money that a decision moves, why, how sure, and until when it can be undone: read as one value, never searched.
alter table approvals add column details jsonb not null default '{}';
-- A no that asks for something different. The version before knows it as a plain no.
alter table approvals add column asks_changes boolean not null default false;
-- The API key that decided, since names are given twice.
alter table approvals add column decided_by_key uuid;

-- Above this amount, in millionths of the amount's own currency, a decision that cannot be undone is confirmed by typing
-- the amount.
alter table organizations add column typed_amount_micros bigint not null default 1000000000
    check (typed_amount_micros >= 0);

-- The only hosts, with all below them, that an organization's tools may call. None named: all public ones. The version before
-- knows nothing of the list, and calls as it did.
alter table organizations add column allowed_domains text[] not null default '{}'
    check (cardinality(allowed_domains) <= 100);

-- A call that was under way when two processes died is called again by one run at a time on a node, and noted here before
-- it goes out, with its owner's fence: a note of an earlier owner says nothing. When that owner is lost, it is this call of
-- the run that counts, and none that waited. The version before runs on beside this: it notes nothing.
alter table runs add column suspect text, add column suspect_fence bigint;

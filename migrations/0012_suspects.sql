-- A call that was under way when two processes died is called again by one run at a time on a node, and noted here while it
-- is out: when the node is lost then, it is this call that counts, and not whatever else was under way beside it. The
-- version before runs on beside this: it notes nothing, and counts all of them as it always did.
alter table runs add column suspect text;

-- Whoever gets a new password gets new links: the sign-in's role, which sets it, ends those that are under way. The version
-- before does not, and finds nothing changed.
create policy identity_ends on approval_links for delete to agentflow_identity using (true);
grant delete on approval_links to agentflow_identity;

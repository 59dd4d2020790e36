-- A server of tools names a credential that there is: no removal comes between the look whether it is used and the delete.
-- Until now that was looked after by the service alone, so what a race has left behind is taken out first. The table's
-- owner sees no rows of a table whose policies it is held to.
-- A removal of a credential looks at it before it looks at the servers: the locks are taken in its order.
lock table credentials, mcp_servers in access exclusive mode;
alter table mcp_servers no force row level security;
alter table credentials no force row level security;
update mcp_servers s set credential_id = null
    where credential_id is not null
        and not exists (select from credentials c where c.organization_id = s.organization_id and c.id = s.credential_id);
alter table mcp_servers force row level security;
alter table credentials force row level security;

create index mcp_servers_credential on mcp_servers (organization_id, credential_id);
alter table mcp_servers add constraint mcp_servers_credential_fkey
    foreign key (organization_id, credential_id) references credentials (organization_id, id);

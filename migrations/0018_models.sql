-- The models that an organization names for a class of tasks, in the order in which they are asked. Without a row the
-- usual ones are. The version before runs on beside it and does not know the table.
create table model_classes (
    organization_id uuid not null references organizations (id) on delete cascade,
    class text not null
        check (class in ('complex_reasoning', 'creative', 'routine', 'safety_critical', 'research')),
    models text[] not null check (cardinality(models) between 1 and 20),
    updated_at timestamptz not null default now(),
    primary key (organization_id, class)
);

alter table model_classes enable row level security;
alter table model_classes force row level security;
create policy app on model_classes to agentflow_app using (organization_id = current_organization());
create policy engine on model_classes for select to agentflow_engine using (true);
grant select, insert, update, delete on model_classes to agentflow_app;
grant select on model_classes to agentflow_engine;

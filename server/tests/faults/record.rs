//! Finished runs of the main part as a file: what later versions must still be able to read.

use std::{io::Write, path::Path};

use agentflow::kernel::RunId;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::arena::Arena;

/// The most runs that are written.
const MOST: i64 = 200;

/// Writes them, with their plans, steps and journals.
pub async fn write(arena: &Arena, file: &Path) {
    let rows: Vec<(Uuid, Value)> = sqlx::query_as(
        "select r.id, jsonb_build_object(
            'state', r.state, 'workflow', w.name, 'plan', a.body, 'input', r.input, 'output', r.output,
            'steps', (select jsonb_object_agg(s.id, jsonb_build_object('state', s.state, 'kind', s.kind,
                                              'output', s.output, 'error', s.error))
                        from steps s where s.organization_id = r.organization_id and s.run_id = r.id),
            'events', (select jsonb_agg(jsonb_build_object('seq', e.seq, 'at', e.at) || e.data order by e.seq)
                         from run_events e where e.organization_id = r.organization_id and e.run_id = r.id))
           from runs r
           join workflows w on w.organization_id = r.organization_id and w.id = r.workflow_id
           join artifacts a on a.organization_id = r.organization_id and a.sha256 = r.plan_sha256
          where r.organization_id = $1 and r.state in ('succeeded', 'failed')
            and r.error ->> 'code' is distinct from 'run.deadline'
          order by r.id limit $2",
    )
    .bind(arena.place.org.uuid())
    .bind(MOST)
    .fetch_all(&arena.tables)
    .await
    .expect("the runs");
    let runs: Vec<Value> =
        rows.into_iter().map(|(id, run)| json!({ "id": RunId::from_uuid(id).to_string(), "run": run })).collect();
    let packed = std::fs::File::create(file).expect("the file");
    let mut packed = flate2::write::GzEncoder::new(packed, flate2::Compression::best());
    serde_json::to_writer(&mut packed, &runs).expect("written");
    packed.flush().expect("written");
    println!("  {} runs are in {}", runs.len(), file.display());
}
